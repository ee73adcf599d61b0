#include "tools/rewind.h"

#include <cmath>
#include <optional>
#include <set>

#include "eval/accuracy.h"
#include "nn/model_file.h"
#include "tools/held_out.h"
#include "tools/signals.h"

namespace expunge::tools {
namespace fs = std::filesystem;
namespace {

// Nothing where a signal came.
std::optional<double> error_of(const Experiment& e, const std::vector<int32_t>& positions) {
  data::Loader loader(e.data, plain_batches(positions));
  const eval::Accuracy found =
      eval::measure_accuracy(e.model, loader, [] { return !stop_requested(); });
  if (stop_requested()) return {};
  return 1 - found.accuracy();
}

}  // namespace

Rewind::Rewind(Experiment& experiment, const RunFolder& run)
    : e_(experiment),
      run_(run),
      card_(card_of(experiment.model, experiment.data)),
      reference_(reference_samples(experiment)) {}

std::vector<int32_t> Rewind::reference_samples(const Experiment& e) {
  std::set<uint16_t> classes;
  for (int32_t p : e.forgotten) classes.insert(e.data.labels[static_cast<size_t>(p)]);
  std::vector<int32_t> positions;
  for (int32_t p : e.split.val)
    if (classes.contains(e.data.labels[static_cast<size_t>(p)])) positions.push_back(p);
  if (positions.empty())
    fail(ExitCode::usage,
         "--rewind: the run has no validation samples of the classes that are forgotten, whose "
         "error says where to go back to");
  return positions;
}

fs::path Rewind::file(int epoch) const {
  return run_.model(fmt::format("epoch-{}", epoch));
}

void Rewind::keep(int epoch) const {
  save_model_file(file(epoch), e_.model, card_);
}

void Rewind::choose(RunStatus& status) const {
  std::error_code error;
  int last = 0;
  while (fs::exists(file(last + 1), error)) ++last;
  if (last == 0) return;
  const std::optional<double> reference = error_of(e_, reference_);
  int chosen = 0;
  double least = 2;
  for (int epoch = 1; epoch <= last && reference; ++epoch) {
    nn::load_model(file(epoch), e_.model);
    const std::optional<double> found = error_of(e_, e_.forgotten);
    if (!found) break;
    if (std::abs(*found - *reference) >= least) continue;
    least = std::abs(*found - *reference);
    chosen = epoch;
  }
  const bool stopped = stop_requested();
  nn::load_model(file(stopped ? last : chosen), e_.model);
  if (stopped) return;
  status.measures["rewind_epoch"] = chosen;
  status.measures["rewind_reference"] = *reference;
}

}  // namespace expunge::tools
