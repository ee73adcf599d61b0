#include "unlearn/update.h"

#include <algorithm>

#include "core/parallel.h"

namespace expunge::unlearn {

GatedUpdate::GatedUpdate(const ParamStore& params, nn::Optimizer& optimizer,
                         StepGradients gradients, UpdateConfig config)
    : params_(params),
      optimizer_(optimizer),
      gradients_(std::move(gradients)),
      config_(std::move(config)),
      stats_f_(config_.estimator, params),
      stats_r_(config_.estimator, params),
      rules_(static_cast<int64_t>(optimizer.groups().size() * sizeof(kernels::AlignmentRules)),
             params.values().stream(), optimizer.loss_scale().on()) {
  if (row().uses.phi) phi_ = params.make_buffer();
  if (row().scope != Scope::element) {
    weight_ = params.make_buffer();
    whole_.emplace(params, config_.gate, config_.beta,
                   WholeGateInputs{gradients_.g_f, gradients_.g_r, gradients_.saliency, phi_},
                   weight_, config_.record);
  }
  if (row().uses.mask) {
    EXPUNGE_CHECK(config_.mask.size() == params.values().size(),
                  "gated update: gate {} needs a mask of {} elements, got {}", row().name,
                  params.values().size(), config_.mask.size());
    weight_ = config_.mask;
  }
  const RangeTable& table = params.parameters();
  int64_t first = 0;
  for (const Range& range : table) {
    first_.push_back(first);
    first += range.size;
  }
  cut_pieces();
}

size_t GatedUpdate::group_of(int parameter) const {
  const int64_t at = params_.parameters()[parameter].offset;
  const auto& groups = optimizer_.groups();
  const auto group = std::ranges::find_if(
      groups, [&](const nn::ParamGroup& g) { return at >= g.begin && at < g.end; });
  EXPUNGE_CHECK(group != groups.end(), "gated update: parameter {} is in no group", parameter);
  return static_cast<size_t>(group - groups.begin());
}

// On the CPU pieces are shared out. On a GPU a launch takes as long as a small tensor, so one goes
// over all neighbours that have the same rules, and over the padding between them, which stays 0:
// bernoulli's draws alone have no numbers for it.
void GatedUpdate::cut_pieces() {
  const RangeTable& table = params_.parameters();
  const bool on_gpu = stream().device == Device::cuda;
  const bool together =
      on_gpu && stats_f_.one_rule() && row().element != kernels::ElementGate::bernoulli;
  for (int p = 0; p < table.count(); ++p) {
    const Range& range = table[p];
    if (together && p > 0 && group_of(p) == group_of(pieces_.back().parameter)) {
      pieces_.back().end = range.offset + range.size - table[pieces_.back().parameter].offset;
      continue;
    }
    const int64_t size = on_gpu ? range.size : kElementChunk;
    for (int64_t i = 0; i < range.size; i += size)
      pieces_.push_back({p, i, std::min(i + size, range.size)});
  }
}

bool GatedUpdate::warming(int64_t step) const {
  return row().uses.phi && !stats_f_.ready(step);
}

// Gates on the CPU would see gradients of losses that are not finite.
bool GatedUpdate::may_come_first() const {
  return stream().device == Device::cuda && (row().scope == Scope::element || row().anywhere);
}

kernels::GradAlignment GatedUpdate::alignment(int parameter, const StepScalars& scalars,
                                              const float* losses) const {
  const int64_t o = params_.parameters()[parameter].offset;
  const auto& optim = optimizer_.state();
  return {.g_f = gradients_.g_f.data() + o,
          .g_r = gradients_.g_r.data() + o,
          .beta = static_cast<float>(config_.beta),
          .rule_f = stats_f_.rule(parameter, scalars.step),
          .rule_r = stats_r_.rule(parameter, scalars.step),
          .state_f = stats_f_.at(parameter),
          .state_r = stats_r_.at(parameter),
          .gate = {.gate = warming(scalars.step) ? kernels::ElementGate::none : row().element,
                   .q = static_cast<float>(config_.gate.value),
                   .seed = scalars.seed,
                   .step = scalars.step,
                   .element = first_[static_cast<size_t>(parameter)]},
          .weight = weight_ ? weight_.data() + o : nullptr,
          .update = {optimizer_.rule(optimizer_.groups()[group_of(parameter)], scalars),
                     config_.gate_on},
          .value = params_.values().data() + o,
          .first = optim[0].buffer.data() + o,
          .second = optim.size() > 1 ? optim[1].buffer.data() + o : nullptr,
          .losses = losses};
}

// Shrinkage has rules of each tensor, `take_in` those of the host; some gates look at scalars.
bool GatedUpdate::counts_ahead(int64_t taken) const {
  return stats_f_.one_rule() && (!whole_ || row().recordable) && !warming(taken);
}

void GatedUpdate::send_rules(const StepScalars& scalars, int64_t on_their_way) {
  rules_.send(optimizer_.loss_scale(), scalars, on_their_way,
              [&](const StepScalars& taken, void* bytes) {
                auto* rules = static_cast<kernels::AlignmentRules*>(bytes);
                const kernels::StatisticsRule f = stats_f_.rule(0, taken.step),
                                              r = stats_r_.rule(0, taken.step);
                const auto tables = kernels::student_tables(stream(), f.degrees, r.degrees);
                for (const nn::ParamGroup& group : optimizer_.groups())
                  *rules++ = {f, r, tables, taken.step, optimizer_.rule(group, taken)};
              });
  rules_.choose(optimizer_.loss_scale());
}

const kernels::AlignmentRules* GatedUpdate::rules_there(int parameter) const {
  return static_cast<const kernels::AlignmentRules*>(rules_.chosen()) + group_of(parameter);
}

SliceStatistics* GatedUpdate::slices(GradientStatistics& stats) const {
  return row().uses.phi ? stats.slices() : nullptr;
}

void GatedUpdate::take_in(int parameter, int64_t step, const float* losses) {
  stats_f_.take_in(parameter, step, gradients_.g_f, losses);
  stats_r_.take_in(parameter, step, gradients_.g_r, losses);
}

// phi of a parameter; the statistics take this step's gradients in.
void GatedUpdate::focus(int parameter, const StepScalars& scalars) {
  const Range& range = params_.parameters()[parameter];
  take_in(parameter, scalars.step);
  kernels::focus_vector(stream(), range.size, alignment(parameter, scalars),
                        phi_.data() + range.offset);
}

void GatedUpdate::parameter(int parameter, const StepScalars& scalars) {
  if (warming(scalars.step)) {
    focus(parameter, scalars);
    if (config_.warmup == Warmup::hold) return;
  } else if (row().uses.phi) {
    take_in(parameter, scalars.step);
  }
  kernels::grad_alignment(stream(), params_.parameters()[parameter].size,
                          alignment(parameter, scalars));
}

template <class Body>
void GatedUpdate::for_pieces(Body body) const {
  const auto one = [&](int64_t k) {
    const Piece& piece = pieces_[static_cast<size_t>(k)];
    body(piece.parameter, piece.begin, piece.end);
  };
  if (stream().device == Device::cpu) return parallel_for(std::ssize(pieces_), one);
  for (int64_t k = 0; k < std::ssize(pieces_); ++k) one(k);
}

// First phi where the gate wants it of whole tensors or before it knows anything, then w, then the
// update.
std::optional<int64_t> GatedUpdate::queue_all(const StepScalars& now, const float* losses,
                                              int64_t on_their_way) {
  const RangeTable& table = params_.parameters();
  nn::LossScale& scale = optimizer_.loss_scale();
  const StepScalars scalars = scale.taken(now);
  const bool ahead =
      scale.on() && may_come_first() && counts_ahead(scale.taken(now, on_their_way).step);
  EXPUNGE_CHECK(ahead || !scale.on() || on_their_way == 0, "gated update: {} steps on their way",
                on_their_way);
  if (ahead) send_rules(now, on_their_way);
  const Scope scope = row().scope;
  const bool ready = !warming(scalars.step);
  if (row().uses.phi)
    for (int p = 0; p < table.count(); ++p) take_in(p, scalars.step, losses);
  std::vector<kernels::GradAlignment> of;
  for (int p = 0; p < table.count(); ++p) {
    of.push_back(alignment(p, scalars, losses));
    if (ahead) of.back().there = rules_there(p);
  }
  if (phi_ && (scope != Scope::element || !ready))
    for_pieces([&](int p, int64_t begin, int64_t end) {
      kernels::focus_vector(stream(), end - begin, kernels::from(of[static_cast<size_t>(p)], begin),
                            phi_.data() + table[p].offset + begin);
    });
  if (!ready && config_.warmup == Warmup::hold) return scope == Scope::element ? -1 : 0;
  if (ready && whole_) whole_->weigh(scalars);
  for_pieces([&](int p, int64_t begin, int64_t end) {
    kernels::grad_alignment(stream(), end - begin,
                            kernels::from(of[static_cast<size_t>(p)], begin));
  });
  if (ready && whole_) return {};
  return scope == Scope::element ? -1 : table.size();
}

int64_t GatedUpdate::all(const StepScalars& scalars) {
  const std::optional<int64_t> kept = queue_all(scalars, nullptr);
  return kept ? *kept : whole_->kept();
}

std::vector<NamedBuffer> GatedUpdate::state() const {
  std::vector<NamedBuffer> all;
  if (config_.mask) all.push_back({"mask", config_.mask});
  if (!row().uses.phi) return all;
  for (const auto& s : stats_f_.state()) all.push_back({"forget." + s.name, s.buffer});
  for (const auto& s : stats_r_.state()) all.push_back({"retain." + s.name, s.buffer});
  return all;
}

}  // namespace expunge::unlearn
