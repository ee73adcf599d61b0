#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/ctx.h"
#include "support/normal_values.h"
#include "support/reference.h"

// A row of the op table is name, input shapes, the op and its double-precision reference; the
// harness checks the rest: forward, gradient by central differences of the reference, beta 0 and 1,
// guard blocks, 1 and 2 threads, every instruction set of this CPU.
namespace expunge::test {

using reference::Values;

struct OpCase {
  std::string name;
  std::vector<Shape> inputs;
  std::function<Var(const Ctx& ctx, std::span<const Var> inputs)> op;
  std::function<Values(std::span<const Values> inputs)> reference;
  double tolerance = 1e-5;  // of the largest |reference|: float rounding of sums of this length
  double keep_away = 0.0;   // inputs with |x| below this are moved to it: kinks at 0
  Mode mode = Mode::eval;
  BatchNormMode batch_norm = BatchNormMode::eval;
};

void check_op(const OpCase& row);

Tensor to_tensor(const Values& values, Shape shape);
Values to_values(const Tensor& tensor);

}  // namespace expunge::test
