#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/file.h"
#include "data/image.h"
#include "nn/checkpoint.h"
#include "nn/model_file.h"
#include "tools/model_card.h"
#include "tools/run_folder.h"
#include "tools/verbs.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

// Of one tensor's values; sums in double.
struct Statistics {
  double mean = 0, std = 0;
  float min = 0, max = 0;
  int64_t not_finite = 0;
};

Statistics statistics_of(const Tensor& values) {
  Statistics s;
  double sum = 0, squares = 0;
  int64_t n = 0;
  for (float v : values.span()) {
    if (!std::isfinite(v)) {
      ++s.not_finite;
      continue;
    }
    s.min = n == 0 ? v : std::min(s.min, v);
    s.max = n == 0 ? v : std::max(s.max, v);
    sum += v, squares += double{v} * v, ++n;
  }
  if (n == 0) return s;
  s.mean = sum / static_cast<double>(n);
  s.std = std::sqrt(std::max(0.0, squares / static_cast<double>(n) - s.mean * s.mean));
  return s;
}

// "resnet18 for 10 classes", or which of our networks the names and shapes are.
std::string network_of(const SafeTensors& file, const fs::path& path) {
  const auto format = file.metadata.find("format");
  if (format != file.metadata.end() && format->second == nn::kStateFormat) return "";
  if (const auto card = read_card(file.metadata, path))
    return fmt::format("{}, {} classes, images {} x {} x {}", card->model, card->spec.classes,
                       card->spec.height, card->spec.width, card->spec.channels);
  const auto found = nn::identify(file);
  return found ? fmt::format("{}, {} classes (by names and shapes)", found->model,
                             found->spec.classes)
               : "none of ours";
}

std::string tensors_text(const SafeTensors& file) {
  size_t width = 8;
  for (const NamedTensor& t : file.tensors) width = std::max(width, t.name.size());
  std::string text = fmt::format("  {:<{}}  {:<5} {:<18} {:>11} {:>10} {:>11} {:>11}\n", "tensor",
                                 width, "type", "shape", "mean", "std", "min", "max");
  for (const NamedTensor& t : file.tensors) {
    const Statistics s = statistics_of(t.values);
    text += fmt::format("  {:<{}}  {:<5} {:<18} {:>11.4g} {:>10.4g} {:>11.4g} {:>11.4g}{}\n",
                        t.name, width, "F32", shape_text(t.shape), s.mean, s.std, s.min, s.max,
                        s.not_finite > 0 ? fmt::format("  {} not finite", s.not_finite) : "");
  }
  for (const OtherTensor& t : file.others)
    text += fmt::format("  {:<{}}  {:<5} {:<18} (not read)\n", t.name, width, t.dtype,
                        shape_text(t.shape));
  return text;
}

std::string tensors_json(const SafeTensors& file) {
  std::string text;
  const auto number = [](double v) { return fmt::format("{:.8g}", v); };
  for (const NamedTensor& t : file.tensors) {
    const Statistics s = statistics_of(t.values);
    text += fmt::format(
        "{}{{\"name\":{},\"dtype\":\"F32\",\"shape\":[{}],\"mean\":{},\"std\":{},\"min\":{},"
        "\"max\":{},\"not_finite\":{}}}",
        text.empty() ? "" : ",", json_string(t.name), fmt::join(t.shape, ","), number(s.mean),
        number(s.std), number(s.min), number(s.max), s.not_finite);
  }
  for (const OtherTensor& t : file.others)
    text += fmt::format("{}{{\"name\":{},\"dtype\":{},\"shape\":[{}]}}", text.empty() ? "" : ",",
                        json_string(t.name), json_string(t.dtype), fmt::join(t.shape, ","));
  return text;
}

std::string metadata_json(const Metadata& metadata) {
  std::string text;
  for (const auto& [key, value] : metadata)
    text += (text.empty() ? "" : ",") + json_string(key) + ":" + json_string(value);
  return text;
}

std::string safetensors_text(const fs::path& path, bool json) {
  const SafeTensors file = read_safetensors(path);
  const std::string network = network_of(file, path);
  if (json)
    return fmt::format(
        "{{\"schema\":\"expunge.inspect/1\",\"file\":{},\"kind\":\"safetensors\",\"network\":{},"
        "\"metadata\":{{{}}},\"tensors\":[{}]}}\n",
        json_string(path.string()), json_string(network), metadata_json(file.metadata),
        tensors_json(file));
  int64_t values = 0;
  for (const NamedTensor& t : file.tensors) values += t.values.size();
  std::string text = fmt::format("{}: safetensors, {} F32 values in {} tensors\n", path.string(),
                                 values, file.tensors.size());
  if (!network.empty()) text += fmt::format("network    {}\n", network);
  for (const auto& [key, value] : file.metadata)
    text += fmt::format("{:<10} {}\n", key, value.substr(0, 200));
  return text + tensors_text(file);
}

std::string run_text(const fs::path& folder, bool json) {
  const RunStatus status = read_run_json(folder);
  if (json) return read_file(folder / "run.json", uint64_t{16} << 20);
  std::string text =
      fmt::format("{}: run of {}, {}\ndata       {}\nsteps      {}\n", folder.string(),
                  status.model, status.status, status.data, status.steps);
  return text + safetensors_text(weights_of(folder, "last"), false);
}

std::string first_bytes(const fs::path& path) {
  InputFile file(path);
  std::string head(std::min<uint64_t>(file.size(), 512), '\0');
  file.read(head.data(), head.size());
  return head;
}

}  // namespace

ExitCode run_inspect(Settings& settings) {
  const fs::path path =
      single_argument(settings, "a run, a model file, a packed data set or an image");
  const bool json = settings.flag("json");
  std::error_code error;
  if (fs::is_directory(path, error)) return print_out(run_text(path, json)), ExitCode::done;
  const std::string_view kind = looks_like(first_bytes(path));
  if (kind == "a packed data set of expunge") return run_data_info(settings);
  if (kind == "a JPEG image" || kind == "a PNG image") {
    const data::ImageSize size = data::read_image(path).size;
    print_out(json
                  ? fmt::format("{{\"schema\":\"expunge.inspect/1\",\"file\":{},\"kind\":\"image\","
                                "\"width\":{},\"height\":{}}}\n",
                                json_string(path.string()), size.width, size.height)
                  : fmt::format("{}: {}, {} x {}\n", path.string(), kind, size.width, size.height));
    return ExitCode::done;
  }
  return print_out(safetensors_text(path, json)), ExitCode::done;
}

}  // namespace expunge::tools
