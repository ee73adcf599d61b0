#include "nn/checkpoint.h"

#include <bit>
#include <charconv>
#include <cstring>

#include "core/safetensors.h"

namespace expunge::nn {
namespace {

// A tensor in PyTorch's order: extents of its dimensions there, and for each the stride it has
// here.
struct Foreign {
  std::vector<int64_t> shape;    // as PyTorch's state_dict has it
  std::vector<int64_t> extents;  // dimensions walked in PyTorch's order, at most four
  std::vector<int64_t> strides;  // of these dimensions in our memory
};

Foreign foreign(const Range& range) {
  const Shape& s = range.shape;
  if (range.layout == Layout::krsc)  // (K, R, S, C) here, (K, C, R, S) there
    return {{s[0], s[3], s[1], s[2]},
            {s[0], s[3], s[1], s[2]},
            {s[1] * s[2] * s[3], 1, s[2] * s[3], s[3]}};
  if (range.layout == Layout::after_map) {  // columns (h, w, c) here, (c, h, w) there
    const Shape& m = range.map;
    return {{s[0], s[1]}, {s[0], m[2], m[0], m[1]}, {s[1], 1, m[1] * m[2], m[2]}};
  }
  return {{s.begin(), s.end()}, {s.size()}, {1}};
}

// Calls visit(index there, index here) for every element.
template <class Visit>
void for_each_element(const Foreign& f, Visit visit) {
  std::array<int64_t, 4> extent{1, 1, 1, 1}, stride{};
  for (size_t d = 0; d < f.extents.size(); ++d) extent[d] = f.extents[d], stride[d] = f.strides[d];
  int64_t there = 0;
  for (int64_t a = 0; a < extent[0]; ++a)
    for (int64_t b = 0; b < extent[1]; ++b)
      for (int64_t c = 0; c < extent[2]; ++c)
        for (int64_t d = 0; d < extent[3]; ++d)
          visit(there++, a * stride[0] + b * stride[1] + c * stride[2] + d * stride[3]);
}

NamedTensor exported(const Range& range, const Tensor& values) {
  const Foreign f = foreign(range);
  Tensor out({range.size});
  for_each_element(f,
                   [&](int64_t there, int64_t here) { out.data()[there] = values.data()[here]; });
  return {range.name, f.shape, out};
}

void import(const NamedTensor& from, const Range& range, const Tensor& values) {
  for_each_element(foreign(range), [&](int64_t there, int64_t here) {
    values.data()[here] = from.values.data()[there];
  });
}

std::string text(const std::vector<int64_t>& shape) {
  std::string out = "(";
  for (int64_t extent : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(extent);
  return out + ")";
}

// What keeps `file` from being this model, one item a difference.
std::vector<std::string> differences(const SafeTensors& file, const ParamStore& params) {
  std::vector<std::string> found;
  for (const RangeTable* table : {&params.parameters(), &params.statistics()})
    for (const Range& range : *table) {
      const NamedTensor* t = file.find(range.name);
      if (t == nullptr)
        found.push_back(range.name + " is missing");
      else if (t->shape != foreign(range).shape)
        found.push_back(range.name + " is " + text(t->shape) + ", expected " +
                        text(foreign(range).shape));
    }
  for (const NamedTensor& t : file.tensors)
    if (params.parameters().find(t.name) < 0 && params.statistics().find(t.name) < 0)
      found.push_back(t.name + " is not part of the model");
  return found;
}

// A flat buffer as it lies in memory, padding included.
NamedTensor raw(const std::string& name, const Tensor& buffer) {
  return {name, {buffer.size()}, buffer};
}

template <class T>
T number(const Metadata& metadata, const std::string& key, const std::filesystem::path& path) {
  const auto it = metadata.find(key);
  T value{};
  if (it != metadata.end()) {
    const auto [end, error] =
        std::from_chars(it->second.data(), it->second.data() + it->second.size(), value);
    if (error == std::errc() && end == it->second.data() + it->second.size()) return value;
  }
  fail(ExitCode::input, "{}: the metadata has no number '{}', so this is not a training state",
       path.string(), key);
}

constexpr const char* kNote = "note.";

}  // namespace

void save_model(const std::filesystem::path& path, const Model& model,
                const std::map<std::string, std::string>& metadata) {
  const ParamStore& params = model.params;
  std::vector<NamedTensor> tensors;
  for (int i = 0; i < params.parameters().count(); ++i)
    tensors.push_back(exported(params.parameters()[i], params.value(i)));
  for (int i = 0; i < params.statistics().count(); ++i)
    tensors.push_back(exported(params.statistics()[i], params.statistic(i)));
  write_safetensors(path, tensors, metadata);
}

void load_model(const std::filesystem::path& path, Model& model) {
  const SafeTensors file = read_safetensors(path);
  const ParamStore& params = model.params;
  const std::vector<std::string> wrong = differences(file, params);
  if (!wrong.empty()) {
    std::string first;
    for (size_t i = 0; i < wrong.size() && i < 3; ++i) first += (i > 0 ? "; " : "") + wrong[i];
    fail(ExitCode::input, "{}: does not fit the model {} ({} differences: {}{})", path.string(),
         model.name, wrong.size(), first, wrong.size() > 3 ? "; ..." : "");
  }
  for (int i = 0; i < params.parameters().count(); ++i)
    import(*file.find(params.parameters()[i].name), params.parameters()[i], params.value(i));
  for (int i = 0; i < params.statistics().count(); ++i)
    import(*file.find(params.statistics()[i].name), params.statistics()[i], params.statistic(i));
}

void save_state(const std::filesystem::path& path, const Model& model, const Optimizer& optimizer,
                const TrainState& state) {
  std::vector<NamedTensor> tensors = {raw("values", model.params.values()),
                                      raw("statistics", model.params.statistic_values())};
  for (const Optimizer::State& s : optimizer.state())
    tensors.push_back(raw("optimizer." + s.name, s.buffer));
  const FitPosition& at = state.position;
  Metadata metadata = {{"format", "expunge.state/1"},
                       {"model", model.name},
                       {"epoch", std::to_string(at.epoch)},
                       {"batch", std::to_string(at.batch)},
                       {"step", std::to_string(at.step)},
                       {"samples", std::to_string(at.samples)},
                       {"correct", std::to_string(at.correct)},
                       {"loss_sum_bits", std::to_string(std::bit_cast<uint64_t>(at.loss_sum))}};
  for (const auto& [key, value] : state.notes) metadata[kNote + key] = value;
  write_safetensors(path, tensors, metadata);
}

TrainState load_state(const std::filesystem::path& path, Model& model, Optimizer& optimizer) {
  const SafeTensors file = read_safetensors(path);
  std::vector<std::pair<std::string, Tensor>> wanted = {
      {"values", model.params.values()}, {"statistics", model.params.statistic_values()}};
  for (const Optimizer::State& s : optimizer.state())
    wanted.emplace_back("optimizer." + s.name, s.buffer);
  for (const auto& [name, buffer] : wanted) {
    const NamedTensor* t = file.find(name);
    if (t == nullptr || t->values.size() != buffer.size())
      fail(ExitCode::input, "{}: '{}' is {}, expected ({}) for the model {} and its optimizer",
           path.string(), name, t == nullptr ? "missing" : text(t->shape), buffer.size(),
           model.name);
  }
  TrainState state;
  state.position = {
      .epoch = number<int>(file.metadata, "epoch", path),
      .batch = number<int64_t>(file.metadata, "batch", path),
      .step = number<int64_t>(file.metadata, "step", path),
      .loss_sum = std::bit_cast<double>(number<uint64_t>(file.metadata, "loss_sum_bits", path)),
      .samples = number<int64_t>(file.metadata, "samples", path),
      .correct = number<int64_t>(file.metadata, "correct", path)};
  for (const auto& [key, value] : file.metadata)
    if (key.starts_with(kNote)) state.notes[key.substr(std::strlen(kNote))] = value;
  for (const auto& [name, buffer] : wanted)
    std::memcpy(buffer.bytes(), file.find(name)->values.bytes(),
                static_cast<size_t>(buffer.size()) * sizeof(float));
  return state;
}

}  // namespace expunge::nn
