#include "tools/score_cache.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "core/file.h"
#include "core/sha256.h"
#include "kernels/precision.h"
#include "tools/version.h"

namespace expunge::tools {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
namespace {

constexpr const char* kSchema = "expunge.scores/1";
constexpr uint64_t kMaxJson = uint64_t{1} << 20;

// Every number of Scores, in the order of the file. `Scores` is const or not.
template <class Scores, class Visit>
void each_number(Scores& s, Visit visit) {
  for (auto* part : {&s.forget, &s.retain, &s.val, &s.test})
    visit(part->accuracy), visit(part->loss);
  for (auto& svc : s.svc) visit(svc.member_share), visit(svc.training_accuracy);
  visit(s.loss_attack.accuracy), visit(s.loss_attack.sd);
  for (auto& t : s.threshold) visit(t.auc), visit(t.tpr_at_0_1_percent), visit(t.tpr_at_1_percent);
}
template <class Scores, class Visit>
void each_count(Scores& s, Visit visit) {
  for (auto* part : {&s.forget, &s.retain, &s.val, &s.test}) visit(part->samples);
  visit(s.unseen);
}

}  // namespace

std::string score_key(const Experiment& e, const fs::path& weights,
                      const eval::ScoreConfig& config) {
  Sha256 hash;
  const auto add = [&](const std::string& text) { hash.update(text.data(), text.size() + 1); };
  add(version_text());
  add(sha256_of_file(weights));
  add(e.data.digest);
  for (const auto* part : {&e.forgotten, &e.train, &e.split.val, &e.split.test}) {
    add(std::to_string(part->size()));
    hash.update(part->data(), part->size() * sizeof(int32_t));
  }
  add(fmt::format("{} {} {} {} {} {}", static_cast<int>(kernels::precision()), config.svc,
                  config.loss, config.threshold, static_cast<int>(config.modified_entropy),
                  config.loss_attack.seed));
  return to_hex(hash.digest());
}

std::optional<eval::Scores> read_scores(const fs::path& run, const std::string& key) {
  std::error_code error;
  if (!fs::exists(run / "scores.json", error)) return {};
  const Json json = Json::parse(read_file(run / "scores.json", kMaxJson), nullptr, false);
  if (!json.is_object() || json.value("schema", "") != kSchema || json.value("key", "") != key)
    return {};
  const Json numbers = json.value("numbers", Json()), counts = json.value("counts", Json());
  eval::Scores scores;
  size_t n = 0, c = 0;
  bool good = numbers.is_array() && counts.is_array();
  each_number(scores, [&](double& value) {
    good = good && n < numbers.size() && (numbers[n].is_null() || numbers[n].is_number());
    if (good && !numbers[n].is_null()) value = numbers[n].get<double>();
    ++n;
  });
  each_count(scores, [&](int64_t& value) {
    good = good && c < counts.size() && counts[c].is_number_integer();
    if (good) value = counts[c].get<int64_t>();
    ++c;
  });
  if (!good || n != numbers.size() || c != counts.size()) return {};
  return scores;
}

void write_scores(const fs::path& run, const std::string& key, const eval::Scores& scores) {
  Json numbers = Json::array(), counts = Json::array();
  each_number(scores, [&](double value) { numbers.push_back(value); });  // NaN becomes null
  each_count(scores, [&](int64_t value) { counts.push_back(value); });
  const Json json = {{"schema", kSchema}, {"key", key}, {"numbers", numbers}, {"counts", counts}};
  try {
    write_atomic(run / "scores.json", json.dump(2) + "\n");
  } catch (const Error&) {  // a place to keep them, no more
  }
}

}  // namespace expunge::tools
