#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/batch_source.h"
#include "nn/network.h"

namespace expunge::eval {

// What a model says about N samples, in evaluation mode. Everything but the logits is computed from
// them in double:
//   log_p_i = z_i - log sum_j exp z_j
//   margin  = log p_y - log(1 - p_y) = z_y - log sum_{j != y} exp z_j
//             (the logit of Carlini et al., "Membership inference attacks from first principles",
//             S&P 2022), exact where p_y rounds to 1
//   loss    = -log p_y = log(1 + exp(-margin))
struct Outputs {
  int64_t classes = 0;
  std::vector<int32_t> labels{}, positions{};  // (N); a sample's position in its data set
  std::vector<float> logits{};                 // (N, C)
  std::vector<double> p{}, log_p{};            // (N, C)
  std::vector<double> losses{}, margins{};     // (N)

  int64_t samples() const { return static_cast<int64_t>(labels.size()); }
  bool empty() const { return labels.empty(); }
  std::span<const float> logits_of(int64_t i) const { return row(logits, i); }
  std::span<const double> p_of(int64_t i) const { return row(p, i); }
  std::span<const double> log_p_of(int64_t i) const { return row(log_p, i); }
  int64_t label(int64_t i) const { return labels[static_cast<size_t>(i)]; }
  int64_t predicted(int64_t i) const;  // the first of the largest logits
  bool correct(int64_t i) const { return predicted(i) == label(i); }

  // Adds a sample. A label outside [0, C), or C < 2: ExitCode::internal. A logit that is not
  // finite: ExitCode::numerical.
  void add(std::span<const float> z, int32_t label, int32_t position);

 private:
  template <class T>
  std::span<const T> row(const std::vector<T>& values, int64_t i) const {
    return std::span(values).subspan(static_cast<size_t>(i * classes),
                                     static_cast<size_t>(classes));
  }
};

// One pass over a labelled source. `go_on` is asked after every batch; where it says no, the
// samples so far return.
Outputs collect_outputs(const nn::Model& model, BatchSource& source,
                        const std::function<bool()>& go_on = {});

// The samples whose label occurs among those of `like`.
Outputs with_labels_of(const Outputs& outputs, const Outputs& like);

}  // namespace expunge::eval
