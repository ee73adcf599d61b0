#include "nn/checkpoint.h"

#include <bit>
#include <charconv>
#include <cstring>

#include "core/safetensors.h"

namespace expunge::nn {
namespace {

// A flat buffer as it lies in memory, padding included.
NamedTensor raw(const std::string& name, const Tensor& buffer) {
  return {name, {buffer.size()}, buffer.to({})};
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

// All that a run remembers.
std::vector<NamedBuffer> buffers_of(const Model& model, const Optimizer& optimizer,
                                    std::span<const NamedBuffer> extra) {
  std::vector<NamedBuffer> all = {{"values", model.params.values()},
                                  {"statistics", model.params.statistic_values()}};
  for (const NamedBuffer& s : optimizer.state()) all.push_back({"optimizer." + s.name, s.buffer});
  for (const NamedBuffer& s : optimizer.loss_scale().state()) all.push_back(s);
  for (const NamedBuffer& s : extra) all.push_back({"extra." + s.name, s.buffer});
  return all;
}

constexpr const char* kNote = "note.";

}  // namespace

void save_state(const std::filesystem::path& path, const Model& model, const Optimizer& optimizer,
                const TrainState& state, std::span<const NamedBuffer> extra) {
  std::vector<NamedTensor> tensors;
  for (const NamedBuffer& s : buffers_of(model, optimizer, extra))
    tensors.push_back(raw(s.name, s.buffer));
  const FitPosition& at = state.position;
  Metadata metadata = {{"format", kStateFormat},
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

TrainState load_state(const std::filesystem::path& path, Model& model, Optimizer& optimizer,
                      std::span<const NamedBuffer> extra) {
  const SafeTensors file = read_safetensors(path);
  const std::vector<NamedBuffer> wanted = buffers_of(model, optimizer, extra);
  for (const auto& [name, buffer] : wanted) {
    const NamedTensor* t = file.find(name);
    if (t == nullptr || t->values.size() != buffer.size())
      fail(ExitCode::input, "{}: '{}' is {}, expected ({}) for the model {} and its optimizer",
           path.string(), name, t == nullptr ? "missing" : fmt::format("({})", t->values.size()),
           buffer.size(), model.name);
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
    buffer.copy_from(file.find(name)->values.reshape(buffer.shape()));
  return state;
}

}  // namespace expunge::nn
