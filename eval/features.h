#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/outputs.h"

namespace expunge::eval {

// What a membership attack sees of a sample.
enum class Feature : unsigned char {
  correctness,       // 1 where the predicted class is the label, else 0
  confidence,        // p_y
  entropy,           // H = -sum_i p_i log p_i
  modified_entropy,  // below
  probabilities,     // p: C numbers
};
inline constexpr std::array kFeatures = {Feature::correctness, Feature::confidence,
                                         Feature::entropy, Feature::modified_entropy,
                                         Feature::probabilities};
const char* name_of(Feature feature);  // "confidence"

// Song & Mittal, "Systematic evaluation of privacy risks of machine learning models", USENIX
// Security 2021:
//   correct  -(1 - p_y) log p_y - sum_{i != y} p_i log(1 - p_i);
//            logs are of max(p, 1e-30), as in the authors' code
// and what two unlearning code bases compute under that name:
//   ufv      -(1 - p_y) log(1 - p_y) - sum_{i != y} p_i log p_i;  0 log 0 = 0
//   optml    -sum_{i in Y} (1 - p_i) log p_i - sum_{i not in Y} p_i log p_i,  Y = the labels that
//            occur in the set: SVC_MIA (Unlearn-Saliency) takes log p for log(1 - p), and writes to
//            [:, labels], which is every column in Y and not one column a row. So the value of one
//            sample depends on the set it is in. log p is log 1e-30 where p is 0 in float.
enum class ModifiedEntropy : unsigned char { correct, ufv, optml };
ModifiedEntropy parse_modified_entropy(const std::string& text);  // another: ExitCode::usage

// N samples of `width` numbers, row by row.
struct Features {
  int64_t width = 1;
  std::vector<double> values{};

  int64_t samples() const { return static_cast<int64_t>(values.size()) / width; }
  std::span<const double> row(int64_t i) const {
    return std::span(values).subspan(static_cast<size_t>(i * width), static_cast<size_t>(width));
  }
  Features first(int64_t n) const;  // the first n rows
};

Features features(const Outputs& outputs, Feature feature,
                  ModifiedEntropy version = ModifiedEntropy::correct);

std::vector<double> entropies(const Outputs& outputs);
std::vector<double> modified_entropies(const Outputs& outputs, ModifiedEntropy version);

}  // namespace expunge::eval
