#include "core/batch_source.h"

#include <atomic>

namespace expunge {

ImageMaker::ImageMaker() {
  static std::atomic<uint64_t> last{0};
  number_ = ++last;
}

}  // namespace expunge
