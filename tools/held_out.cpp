#include "tools/held_out.h"

#include <fmt/core.h>

#include "tools/signals.h"

namespace expunge::tools {

data::LoaderConfig plain_batches(std::vector<int32_t> positions, int64_t batch_size) {
  return {.positions = std::move(positions), .batch_size = batch_size};
}

HeldOut::HeldOut(const Experiment& e)
    : e_(e),
      held_out_(e.data, plain_batches(e.split.val.empty() ? e.split.test : e.split.val)),
      test_(e.data, plain_batches(e.split.test)) {}

Findings HeldOut::during(RunStatus& status) {
  const eval::Accuracy held =
      eval::measure_accuracy(e_.model, held_out_, [] { return !stop_requested(); });
  if (stop_requested()) return {};
  held_ = held;
  const char* part = e_.split.val.empty() ? "test" : "val";
  Findings found{
      .fields = fmt::format(R"("{}_loss":{:.6g},"{}_acc":{:.6g})", part, held.loss(), part,
                            held.accuracy()),
      .words = fmt::format("{} loss {:.4f} acc {:.2f}%", part, held.loss(), 100 * held.accuracy()),
      .better = !e_.split.val.empty() && held.accuracy() > status.best_accuracy};
  if (found.better) status.best_accuracy = held.accuracy();
  return found;
}

void HeldOut::at_end(RunStatus& status, const RunFolder&) {
  if (e_.split.test.empty()) return;
  const eval::Accuracy test =
      e_.split.val.empty() && held_
          ? *held_
          : eval::measure_accuracy(e_.model, test_, [] { return !stop_requested(); });
  if (!stop_requested()) status.test_accuracy = test.accuracy(), status.test_loss = test.loss();
}

}  // namespace expunge::tools
