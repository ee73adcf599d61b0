#include "nn/versions.h"

#include <algorithm>

namespace expunge::nn {
namespace {

constexpr int64_t kHead = int64_t{sizeof(float)} * kernels::kVersionsHead;

}  // namespace

Versions::Versions(int64_t bytes, Stream stream, bool depend)
    : chosen_(Shape{bytes}, DType::u8, stream) {
  constexpr int64_t kWord = 8;  // versions hold pointers
  EXPUNGE_CHECK(bytes % kWord == 0, "versions of {} bytes, expected a multiple of {}", bytes,
                kWord);
  if (depend) versions_ = Tensor({kHead + kernels::kVersions * bytes}, DType::u8, stream);
  const Tensor& sent = depend ? versions_ : chosen_;
  here_ = stream.device == Device::cpu ? sent : Tensor(sent.shape(), DType::u8);
}

void Versions::send(LossScale& scale, const StepScalars& scalars, int64_t on_their_way, Fill fill) {
  auto* here = static_cast<unsigned char*>(here_.bytes());
  if (!versions_) {
    fill(scale.taken(scalars), here);
  } else {
    EXPUNGE_CHECK(on_their_way < kernels::kVersions, "versions: {} steps on their way, at most {}",
                  on_their_way, kernels::kVersions - 1);
    *static_cast<float*>(here_.bytes()) = static_cast<float>(scale.known_skipped());
    for (int64_t v = 0; v < kernels::kVersions; ++v)
      fill(scale.taken(scalars, std::min(v, on_their_way)), here + kHead + v * chosen_.size());
  }
  const Tensor& there = versions_ ? versions_ : chosen_;
  if (there.bytes() != here_.bytes()) there.copy_from(here_);
}

void Versions::choose(const LossScale& scale) const {
  if (!versions_) return;
  kernels::choose_version(
      chosen_.stream(), scale.there(), static_cast<const float*>(versions_.bytes()),
      chosen_.size() / int64_t{sizeof(float)}, static_cast<float*>(chosen_.bytes()));
}

}  // namespace expunge::nn
