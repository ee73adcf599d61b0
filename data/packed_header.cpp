#include "data/packed_header.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "core/check.h"

namespace expunge::data {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxSide = 16384, kMaxSamples = INT32_MAX, kMaxClasses = 65536;
constexpr size_t kMaxName = 512;
constexpr int kMaxDepth = 2;  // an object of arrays of values

// Typed access to the header's fields: nothing is converted, everything has a range.
class Fields {
 public:
  Fields(const json& object, const std::string& path) : object_(object), path_(path) {}

  uint64_t number(const char* name, uint64_t least, uint64_t most) const {
    const json& value = get(name);
    if (!value.is_number_unsigned() || value.get<uint64_t>() < least ||
        value.get<uint64_t>() > most)
      refuse(name, fmt::format("expected a whole number from {} to {}", least, most));
    return value.get<uint64_t>();
  }
  std::string text(const char* name) const { return text_of(name, get(name)); }
  std::vector<std::string> texts(const char* name) const {
    std::vector<std::string> out;
    for (const json& value : array(name)) out.push_back(text_of(name, value));
    return out;
  }
  std::array<float, 3> floats(const char* name, size_t count, float least) const {
    const json& values = array(name);
    std::array<float, 3> out{};
    if (values.size() != count) refuse(name, fmt::format("expected {} numbers", count));
    for (size_t i = 0; i < count; ++i) {
      if (values[i].is_number()) out[i] = values[i].get<float>();
      if (!values[i].is_number() || !(out[i] >= least && out[i] <= 1))
        refuse(name, fmt::format("expected numbers from {} to 1", least));
    }
    return out;
  }
  bool has(const char* name) const { return object_.contains(name); }
  // Ascending, each once; none where the field is missing.
  std::vector<SampleId> ids(const char* name) const {
    std::vector<SampleId> out;
    if (!has(name)) return out;
    for (const json& value : array(name))
      if (!SampleId::parse(text_of(name, value), out.emplace_back()))
        refuse(name, "expected ids of 32 hexadecimal digits");
    if (out.empty() || std::ranges::adjacent_find(out, std::greater_equal()) != out.end())
      refuse(name, "expected at least one id, ascending, each once");
    return out;
  }
  [[noreturn]] void refuse(const char* name, const std::string& why) const {
    fail(ExitCode::input, "{}: header field \"{}\": {}", path_, name, why);
  }

 private:
  const json& get(const char* name) const {
    const auto found = object_.find(name);
    if (found == object_.end()) refuse(name, "it is missing");
    return *found;
  }
  const json& array(const char* name) const {
    const json& value = get(name);
    if (!value.is_array()) refuse(name, "expected a list");
    return value;
  }
  std::string text_of(const char* name, const json& value) const {
    if (!value.is_string()) refuse(name, "expected text");
    std::string text = value.get<std::string>();
    if (text.empty() || text.size() > kMaxName || text.find('\0') != text.npos)
      refuse(name, fmt::format("expected text of 1 to {} bytes", kMaxName));
    return text;
  }

  const json& object_;
  const std::string& path_;
};

json parse_json(std::string_view text, const std::string& path) {
  const auto shallow = [&](int depth, json::parse_event_t, json&) {
    if (depth > kMaxDepth) fail(ExitCode::input, "{}: header is nested too deeply", path);
    return true;
  };
  try {
    json parsed = json::parse(text.begin(), text.end(), shallow);
    if (!parsed.is_object()) fail(ExitCode::input, "{}: header is not a JSON object", path);
    return parsed;
  } catch (const json::exception&) {
    fail(ExitCode::input, "{}: header is not valid JSON", path);
  }
}

void check_classes(const Fields& fields, const std::vector<std::string>& names) {
  if (names.empty() || names.size() > kMaxClasses)
    fields.refuse("classes", fmt::format("{} names, expected 1 to {}", names.size(), kMaxClasses));
  if (std::set(names.begin(), names.end()).size() != names.size())
    fields.refuse("classes", "a name occurs twice");
}

std::string checked_digest(const Fields& fields) {
  const std::string digest = fields.text("digest");
  if (digest.size() != 64 || digest.find_first_not_of("0123456789abcdef") != digest.npos)
    fields.refuse("digest", "expected 64 hexadecimal digits");
  return digest;
}

IdSource checked_id_source(const Fields& fields) {
  const std::string text = fields.text("id_source");
  if (text != "file" && text != "pixels") fields.refuse("id_source", "expected file or pixels");
  return text == "file" ? IdSource::file : IdSource::pixels;
}

std::vector<std::string> hex_of(const std::vector<SampleId>& ids) {
  std::vector<std::string> out;
  for (const SampleId& id : ids) out.push_back(id.hex());
  return out;
}

}  // namespace

std::string format_packed_header(const PackedHeader& header) {
  const Dataset& set = header.set;
  const auto channels = static_cast<size_t>(set.channels);
  const auto first = [&](const std::array<float, 3>& a) {
    return std::vector<float>(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(channels));
  };
  json object = {{"name", set.name},
                 {"height", set.height},
                 {"width", set.width},
                 {"channels", set.channels},
                 {"classes", set.classes},
                 {"train", set.train_count},
                 {"test", set.test_count},
                 {"mean", first(set.mean)},
                 {"std", first(set.std)},
                 {"id_source", set.id_source == IdSource::file ? "file" : "pixels"},
                 {"source_bytes", header.source_bytes},
                 {"digest", set.digest}};
  if (!set.mislabeled.empty()) object["mislabeled"] = hex_of(set.mislabeled);
  if (!set.poisoned.empty()) {
    object["poisoned"] = hex_of(set.poisoned);
    object["trigger_target"] = set.trigger.target;
    object["trigger_side"] = set.trigger.side;
    object["trigger_margin"] = set.trigger.margin;
  }
  try {
    return object.dump(1) + "\n";
  } catch (const json::exception&) {
    fail(ExitCode::input, "data set {}: its name or a class name is not UTF-8", set.name);
  }
}

PackedHeader parse_packed_header(std::string_view text, const std::string& path) {
  const json object = parse_json(text, path);
  const Fields fields(object, path);
  const auto number = [&](const char* name, uint64_t least, uint64_t most) {
    return static_cast<int64_t>(fields.number(name, least, most));
  };
  PackedHeader header;
  Dataset& set = header.set;
  set.name = fields.text("name");
  set.height = number("height", 1, kMaxSide);
  set.width = number("width", 1, kMaxSide);
  set.channels = number("channels", 1, 3);
  set.train_count = number("train", 1, kMaxSamples);
  set.test_count = number("test", 0, kMaxSamples - static_cast<uint64_t>(set.train_count));
  set.classes = fields.texts("classes");
  check_classes(fields, set.classes);
  constexpr float kSmallestStd = 1e-9f;
  set.mean = fields.floats("mean", static_cast<size_t>(set.channels), 0);
  set.std = fields.floats("std", static_cast<size_t>(set.channels), kSmallestStd);
  set.id_source = checked_id_source(fields);
  set.digest = checked_digest(fields);
  set.mislabeled = fields.ids("mislabeled");
  set.poisoned = fields.ids("poisoned");
  if (!set.poisoned.empty())
    set.trigger = {.target = number("trigger_target", 0, set.classes.size() - 1),
                   .side = number("trigger_side", 1, kMaxSide),
                   .margin = number("trigger_margin", 0, kMaxSide)};
  header.source_bytes = fields.number("source_bytes", 0, uint64_t{1} << 40);
  return header;
}

}  // namespace expunge::data
