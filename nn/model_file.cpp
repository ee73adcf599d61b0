#include "nn/model_file.h"

#include <array>
#include <cmath>

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

const OtherTensor* find_other(const SafeTensors& file, const std::string& name) {
  for (const OtherTensor& t : file.others)
    if (t.name == name) return &t;
  return nullptr;
}

bool has(const ParamStore& params, const std::string& name) {
  return params.parameters().find(name) >= 0 || params.statistics().find(name) >= 0;
}

// What keeps `file` from being this model, one item a difference.
std::vector<std::string> differences(const SafeTensors& file, const ParamStore& params) {
  std::vector<std::string> found;
  for (const RangeTable* table : {&params.parameters(), &params.statistics()})
    for (const Range& range : *table) {
      const std::vector<int64_t> shape = foreign(range).shape;
      if (const OtherTensor* other = find_other(file, range.name))
        found.push_back(range.name + " is " + other->dtype + ", expected F32");
      else if (const NamedTensor* t = file.find(range.name); t == nullptr)
        found.push_back(range.name + " is missing");
      else if (t->shape != shape)
        found.push_back(range.name + " is " + text(t->shape) + ", expected " + text(shape));
    }
  for (const NamedTensor& t : file.tensors)
    if (!has(params, t.name)) found.push_back(t.name + " is not part of the model");
  for (const OtherTensor& t : file.others)
    if (!has(params, t.name) && !t.name.ends_with(".num_batches_tracked"))
      found.push_back(t.name + " is not part of the model");
  return found;
}

void check_finite(const SafeTensors& file, const std::filesystem::path& path) {
  for (const NamedTensor& t : file.tensors)
    for (float value : t.values.span())
      if (!std::isfinite(value))
        fail(ExitCode::input, "{}: {} holds a value that is not finite", path.string(), t.name);
}

// The sizes that would make `layout`, a network of some sizes, the one in the file: channels from
// the first weight, classes from the last parameter.
std::optional<InputSpec> infer_spec(const SafeTensors& file, const RangeTable& layout) {
  constexpr int64_t kMost = 1 << 20;  // of anything: a file's claim must not become an allocation
  const NamedTensor* first = file.find(layout[0].name);
  const NamedTensor* last = file.find(layout[layout.count() - 1].name);
  if (first == nullptr || last == nullptr || first->shape.size() < 2 || last->shape.empty())
    return {};
  InputSpec spec{.classes = last->shape[0]};
  if (first->shape.size() == 4) {
    spec.channels = first->shape[1];
  } else {  // square images of three channels
    const auto side = std::lround(std::sqrt(static_cast<double>(first->shape[1]) / 3));
    spec.height = spec.width = side;
  }
  for (int64_t extent : {spec.height, spec.channels, spec.classes})
    if (extent < 1 || extent > kMost) return {};
  if (spec.height * spec.width * spec.channels > kMost) return {};
  return spec;
}

}  // namespace

std::vector<NamedTensor> to_pytorch(const RangeTable& table, const Tensor& flat) {
  const Tensor here = flat.to({});
  std::vector<NamedTensor> tensors;
  for (const Range& range : table)
    tensors.push_back(exported(range, ParamStore::view(here, range)));
  return tensors;
}

void save_model(const std::filesystem::path& path, const Model& model, const Metadata& metadata) {
  const ParamStore& params = model.params;
  std::vector<NamedTensor> tensors = to_pytorch(params.parameters(), params.values());
  for (NamedTensor& t : to_pytorch(params.statistics(), params.statistic_values()))
    tensors.push_back(std::move(t));
  write_safetensors(path, tensors, metadata);
}

void load_model(const std::filesystem::path& path, Model& model) {
  fill_model(read_safetensors(path), path, model);
}

void fill_model(const SafeTensors& file, const std::filesystem::path& path, Model& model) {
  const ParamStore& params = model.params;
  const std::vector<std::string> wrong = differences(file, params);
  if (!wrong.empty()) {
    std::string first;
    for (size_t i = 0; i < wrong.size() && i < 3; ++i) first += (i > 0 ? "; " : "") + wrong[i];
    fail(ExitCode::input, "{}: does not fit the model {} ({} differences: {}{})", path.string(),
         model.name, wrong.size(), first, wrong.size() > 3 ? "; ..." : "");
  }
  check_finite(file, path);
  const auto fill = [&](const RangeTable& table, const Tensor& flat) {
    on_host(flat, [&](const Tensor& here) {
      for (const Range& range : table)
        import(*file.find(range.name), range, ParamStore::view(here, range));
    });
  };
  fill(params.parameters(), params.values());
  fill(params.statistics(), params.statistic_values());
}

std::optional<Identity> identify(const SafeTensors& file, const std::string& only) {
  for (const ModelEntry& entry : models()) {
    if (!only.empty() && entry.name != only) continue;
    const Model ours = entry.make(entry.spec);
    const std::optional<InputSpec> spec = infer_spec(file, ours.params.parameters());
    if (!spec) continue;
    if (differences(file, entry.make(*spec).params).empty()) return Identity{entry.name, *spec};
  }
  return {};
}

Model make_model(const Identity& wanted, const SafeTensors& file,
                 const std::filesystem::path& path) {
  Model small = make_model(wanted.model, InputSpec{});
  const std::optional<InputSpec> backed = infer_spec(file, small.params.parameters());
  if (!backed) fill_model(file, path, small);  // says what is missing
  const InputSpec& spec = wanted.spec;
  const bool reads_pixels = small.params.parameters()[0].shape.rank() == 2;
  const auto inputs = [&](const InputSpec& s) {
    return reads_pixels ? s.height * s.width * s.channels : s.channels;
  };
  if (!backed || spec.classes != backed->classes || inputs(spec) != inputs(*backed))
    fail(ExitCode::input,
         "{}: the weights are not those of {} for images of {} x {} x {} and {} classes",
         path.string(), wanted.model, spec.height, spec.width, spec.channels, spec.classes);
  Model model = make_model(wanted.model, spec);
  fill_model(file, path, model);
  return model;
}

}  // namespace expunge::nn
