#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/batch_source.h"
#include "nn/network.h"

// Networks beside the student, in evaluation mode, and what they say about a batch.
namespace expunge::unlearn {

// Whose logits an objective is given.
enum class Teacher : unsigned char {
  none,
  original,   // the network before unlearning
  untrained,  // one with random weights (Chundawat et al. 2023: the incompetent teacher)
  by_side,    // untrained for samples of F, original for the others
  // the original on the image behind the nearest decision boundary, stepped_images below (Chen et
  // al. 2023, boundary shrink)
  beyond_boundary,
};

struct TeacherConfig {
  uint64_t seed = 0;                                 // untrained: of its weights
  std::vector<int32_t> forgotten{};                  // by_side: positions of F
  double fgsm_step = 0.1;                            // beyond_boundary: of pixels in [0, 1]
  std::array<float, 3> mean{0, 0, 0}, std{1, 1, 1};  // of the data set's normalisation
};

class Teachers {
 public:
  Teachers() = default;
  // Keeps a copy of `original` where one of the kinds wants it.
  Teachers(const ParamStore& original, std::initializer_list<Teacher> kinds, TeacherConfig config);
  // (N, classes); empty for Teacher::none.
  Tensor logits(Teacher kind, const nn::Network& network, const Batch& batch) const;
  // FGSM (Goodfellow et al. 2015) in pixels p of [0, 1]: p' = clip(p + step sign(dCE(y)/dp)), to
  // the nearest multiple of 1/255, ties to even. (N, H, W, C), normalised as x is.
  Tensor stepped_images(const nn::Network& network, const Batch& batch) const;

 private:
  Tensor by_side(const nn::Network& network, const Batch& batch) const;
  ParamStore original_, untrained_;
  TeacherConfig config_;
};

}  // namespace expunge::unlearn
