#include "eval/features.h"

#include <algorithm>
#include <cmath>

namespace expunge::eval {
namespace {

constexpr double kLeast = 1e-30;
const double kLogLeast = std::log(kLeast);

// 1 - p_i without cancellation: where p_i is large it is the sum of the others.
double rest(std::span<const double> p, size_t i) {
  if (p[i] < 0.5) return 1 - p[i];
  double sum = 0;
  for (size_t j = 0; j < p.size(); ++j) sum += j == i ? 0 : p[j];
  return sum;
}

double x_log_x(double x) {
  return x > 0 ? x * std::log(x) : 0;
}

double correct(std::span<const double> p, size_t y) {
  double sum = rest(p, y) * std::log(std::max(p[y], kLeast));
  for (size_t i = 0; i < p.size(); ++i)
    if (i != y) sum += p[i] * std::log(std::max(rest(p, i), kLeast));
  return -sum;
}

double ufv(std::span<const double> p, size_t y) {
  double sum = x_log_x(rest(p, y));
  for (size_t i = 0; i < p.size(); ++i)
    if (i != y) sum += x_log_x(p[i]);
  return -sum;
}

double optml(std::span<const double> p, std::span<const double> log_p,
             const std::vector<bool>& occurs) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i)
    sum += (occurs[i] ? rest(p, i) : p[i]) * (static_cast<float>(p[i]) > 0 ? log_p[i] : kLogLeast);
  return -sum;
}

}  // namespace

const char* name_of(Feature feature) {
  switch (feature) {
    case Feature::correctness:
      return "correctness";
    case Feature::confidence:
      return "confidence";
    case Feature::entropy:
      return "entropy";
    case Feature::modified_entropy:
      return "modified_entropy";
    case Feature::probabilities:
      return "probabilities";
  }
  return "";
}

ModifiedEntropy parse_modified_entropy(const std::string& text) {
  if (text == "correct") return ModifiedEntropy::correct;
  if (text == "ufv") return ModifiedEntropy::ufv;
  if (text == "optml") return ModifiedEntropy::optml;
  fail(ExitCode::usage, "modified entropy '{}', expected correct, ufv or optml", text);
}

Features Features::first(int64_t n) const {
  EXPUNGE_CHECK(n >= 0 && n <= samples(), "features: the first {} of {}", n, samples());
  return {width, {values.begin(), values.begin() + n * width}};
}

std::vector<double> entropies(const Outputs& outputs) {
  std::vector<double> out;
  for (int64_t i = 0; i < outputs.samples(); ++i) {
    double sum = 0;
    for (const double p : outputs.p_of(i)) sum += x_log_x(p);
    out.push_back(-sum);
  }
  return out;
}

std::vector<double> modified_entropies(const Outputs& outputs, ModifiedEntropy version) {
  std::vector<bool> occurs(static_cast<size_t>(outputs.classes));
  for (const int32_t label : outputs.labels) occurs[static_cast<size_t>(label)] = true;
  std::vector<double> out;
  for (int64_t i = 0; i < outputs.samples(); ++i) {
    const auto p = outputs.p_of(i);
    const auto y = static_cast<size_t>(outputs.label(i));
    switch (version) {
      case ModifiedEntropy::correct:
        out.push_back(correct(p, y));
        break;
      case ModifiedEntropy::ufv:
        out.push_back(ufv(p, y));
        break;
      case ModifiedEntropy::optml:
        out.push_back(optml(p, outputs.log_p_of(i), occurs));
        break;
    }
  }
  return out;
}

Features features(const Outputs& outputs, Feature feature, ModifiedEntropy version) {
  Features out;
  switch (feature) {
    case Feature::correctness:
      for (int64_t i = 0; i < outputs.samples(); ++i)
        out.values.push_back(outputs.correct(i) ? 1 : 0);
      break;
    case Feature::confidence:
      for (int64_t i = 0; i < outputs.samples(); ++i)
        out.values.push_back(outputs.p_of(i)[static_cast<size_t>(outputs.label(i))]);
      break;
    case Feature::entropy:
      out.values = entropies(outputs);
      break;
    case Feature::modified_entropy:
      out.values = modified_entropies(outputs, version);
      break;
    case Feature::probabilities:
      out = {outputs.classes, outputs.p};
      break;
  }
  return out;
}

}  // namespace expunge::eval
