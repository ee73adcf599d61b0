#pragma once

#include "core/device.h"
#include "kernels/student_math.h"

namespace expunge::kernels {

// The table of math::student_half for `degrees` >= 1 degrees of freedom; error below 1e-6. The last
// two are kept per thread: the pointer is good until the thread asks for two others. Null for
// degrees = 0, the normal distribution.
const math::StudentCubic* student_table(float degrees);

// On the device, for kernels of this stream: good until eight others were made for the stream.
namespace cuda {
const math::StudentCubic* student_table(Stream stream, float degrees);
}

// Of the two objectives; null where the distribution is normal.
struct StudentTables {
  const math::StudentCubic *f = nullptr, *r = nullptr;
};
// Where the stream works.
StudentTables student_tables(Stream stream, float degrees_f, float degrees_r);

}  // namespace expunge::kernels
