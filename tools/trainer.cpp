#include "tools/trainer.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdlib>

#include "core/check.h"
#include "kernels/isa.h"
#include "kernels/reduce.h"
#include "tools/say.h"
#include "tools/signals.h"

namespace expunge::tools {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Tests end a run after a given step as a signal would.
void stop_for_test(int64_t step) {
  static const char* wanted = std::getenv("EXPUNGE_TEST_STOP_AFTER");
  if (wanted != nullptr && std::to_string(step) == wanted) std::raise(SIGTERM);
}

double note_number(const nn::TrainState& state, const std::string& key, double otherwise) {
  const auto it = state.notes.find(key);
  if (it == state.notes.end()) return otherwise;
  double value = otherwise;
  std::from_chars(it->second.data(), it->second.data() + it->second.size(), value);
  return value;
}

data::LoaderConfig evaluation(std::vector<int32_t> positions) {
  return {.positions = std::move(positions), .batch_size = 250};
}

}  // namespace

CheckpointRule CheckpointRule::parse(const std::string& text) {
  if (text == "epoch") return {};
  const bool timed = text.ends_with("s");
  int64_t n = 0;
  const char* end = text.data() + text.size() - (timed ? 1 : 0);
  const auto [stop, error] = std::from_chars(text.data(), end, n);
  if (error != std::errc() || stop != end || n < 1)
    fail(ExitCode::usage,
         "--checkpoint-every is '{}', expected epoch, a number of steps, or seconds as 60s", text);
  return timed ? CheckpointRule{.seconds = static_cast<double>(n)} : CheckpointRule{.steps = n};
}

Trainer::Trainer(const Settings& settings, Experiment& experiment, RunFolder& run,
                 double earlier_seconds)
    : settings_(settings),
      e_(experiment),
      run_(run),
      earlier_seconds_(earlier_seconds),
      rule_(CheckpointRule::parse(settings.text("checkpoint-every"))),
      optimizer_(e_.model.params, e_.optim),
      step_(e_.model, optimizer_, e_.loss),
      card_(card_of(e_.model, e_.data)),
      loader_(e_.data, e_.loader),
      held_out_(e_.data, evaluation(e_.split.val.empty() ? e_.split.test : e_.split.val)),
      test_(e_.data, evaluation(e_.split.test)) {
  status_.model = e_.model.name;
  status_.data = settings.text("data");
  status_.data_digest = e_.data.digest;
  status_.parameters = e_.model.parameter_count();
  status_.train_samples = static_cast<int64_t>(e_.train.size());
  status_.forgotten = static_cast<int64_t>(e_.forgotten.size());
  total_steps_ = loader_.batches() * e_.fit.epochs;
  if (e_.fit.max_steps > 0) total_steps_ = std::min(total_steps_, e_.fit.max_steps);
}

double Trainer::seconds() const {
  return earlier_seconds_ + since(begin_);
}

RunStatus Trainer::start() {
  return run_from({});
}

// The last checkpoint; where that is damaged or missing, the one before it.
nn::TrainState Trainer::load_last() {
  try {
    return nn::load_state(run_.state(), e_.model, optimizer_);
  } catch (const Error& error) {
    if (error.code() != ExitCode::input || !std::filesystem::exists(run_.previous_state())) throw;
    say("expunge: warning: {}; the checkpoint before it is taken\n", error.what());
  }
  nn::TrainState state = nn::load_state(run_.previous_state(), e_.model, optimizer_);
  run_.take_back_state();
  return state;
}

RunStatus Trainer::resume() {
  nn::TrainState state = load_last();
  const std::string& isa = state.notes["instruction_set"];
  if (isa != kernels::isa_name())
    say("expunge: warning: this run was computed with {}, it goes on with {}: other last digits\n",
        isa, kernels::isa_name());
  status_.best_accuracy = note_number(state, "best_accuracy", -1);
  lr_ = static_cast<float>(note_number(state, "lr", 0));
  run_.cut_metrics(state.position.step);
  say("{}: going on after step {} of {}\n", run_.path().string(), state.position.step,
      total_steps_);
  const bool epoch_over =
      state.position.batch == loader_.batches() || state.position.step == total_steps_;
  if (epoch_over && state.notes["evaluated"] == "no") {
    progress_.emplace(settings_.text("progress"), total_steps_, state.position.step);
    evaluate_epoch(state.position);
    save(state.position, true);
  }
  return run_from(state.position);
}

RunStatus Trainer::run_from(nn::FitPosition position) {
  if (!progress_) progress_.emplace(settings_.text("progress"), total_steps_, position.step);
  status_.steps = position.step;
  status_.status = "running";
  status_.seconds = seconds();
  if (position.step == 0)
    save(position, true);  // before run.json, which says that there is something to go on from
  else
    write_run_json(run_.path(), status_);
  try {
    finish(nn::fit(e_.fit, loader_, step_, *this, position));
  } catch (const std::exception& error) {
    progress_.reset();
    status_.status = "failed";
    status_.message = error.what();
    status_.seconds = seconds();
    write_run_json(run_.path(), status_);
    throw;
  }
  return status_;
}

void Trainer::finish(nn::FitEnd end) {
  progress_.reset();
  if (end == nn::FitEnd::finished && !e_.split.test.empty()) {
    const eval::Accuracy test =
        e_.split.val.empty() && held_
            ? *held_
            : eval::measure_accuracy(e_.model, test_, [] { return !stop_requested(); });
    if (!stop_requested()) status_.test_accuracy = test.accuracy(), status_.test_loss = test.loss();
  }
  status_.seconds = seconds();
  status_.status = end == nn::FitEnd::stopped || stop_requested() ? "interrupted" : "finished";
  run_.write_metrics_csv();
  write_run_json(run_.path(), status_);
}

// The state is what a run goes on from; the model beside it is for everybody else.
void Trainer::save(const nn::FitPosition& at, bool evaluated) {
  if (!kernels::all_finite({}, e_.model.params.values().size(), e_.model.params.values().data()))
    fail(ExitCode::numerical,
         "the weights are no longer finite at step {}; the last good checkpoint is kept", at.step);
  run_.keep_state();
  nn::save_state(run_.state(), e_.model, optimizer_,
                 {.position = at,
                  .notes = {{"evaluated", evaluated ? "yes" : "no"},
                            {"best_accuracy", fmt::format("{}", status_.best_accuracy)},
                            {"lr", fmt::format("{}", lr_)},
                            {"instruction_set", kernels::isa_name()}}});
  save_model_file(run_.model("last"), e_.model, card_);
  status_.seconds = seconds();
  write_run_json(run_.path(), status_);
  saved_ = Clock::now();
}

bool Trainer::checkpoint_due(const nn::FitPosition& at) const {
  return (rule_.steps > 0 && at.step % rule_.steps == 0) ||
         (rule_.seconds > 0 && since(saved_) >= rule_.seconds);
}

nn::Continue Trainer::after_step(const nn::FitPosition& at, const nn::StepResult& result,
                                 const StepScalars& scalars) {
  lr_ = scalars.lr;
  images_ += result.samples;
  status_.steps = at.step;
  if (!std::isfinite(result.loss)) return nn::Continue::no;  // fit() says why
  if (at.step % settings_.integer("log-every") == 0)
    run_.append_metrics(
        fmt::format(R"({{"type":"step","step":{},"epoch":{},"loss":{:.6g},"lr":{:.6g}}})", at.step,
                    at.epoch + 1, result.loss, lr_));
  const double n = static_cast<double>(std::max<int64_t>(1, at.samples));
  progress_->update({at.epoch + 1, e_.fit.epochs, at.step, at.loss_sum / n,
                     static_cast<double>(at.correct) / n, images_});
  stop_for_test(at.step);
  if (stop_requested() || checkpoint_due(at)) save(at, false);
  return stop_requested() ? nn::Continue::no : nn::Continue::yes;
}

nn::Continue Trainer::after_epoch(const nn::FitPosition& at) {
  evaluate_epoch(at);
  save(at, !stop_requested());
  return stop_requested() ? nn::Continue::no : nn::Continue::yes;
}

void Trainer::evaluate_epoch(const nn::FitPosition& at) {
  const int64_t epoch = at.epoch + 1;
  const bool last = at.step == total_steps_;
  if (epoch % settings_.integer("eval-every") != 0 && !last) return;
  const eval::Accuracy held =
      eval::measure_accuracy(e_.model, held_out_, [] { return !stop_requested(); });
  if (stop_requested()) return;  // evaluated when the run goes on
  held_ = held;
  const char* part = e_.split.val.empty() ? "test" : "val";
  const double n = static_cast<double>(std::max<int64_t>(1, at.samples)),
               took = since(epoch_begin_);
  const double train_loss = at.loss_sum / n, train_acc = static_cast<double>(at.correct) / n;
  run_.append_metrics(fmt::format(
      R"({{"type":"epoch","epoch":{},"step":{},"train_loss":{:.6g},"train_acc":{:.6g},"{}_loss":{:.6g},"{}_acc":{:.6g},)"
      R"("lr":{:.6g},"seconds":{:.3f},"images_per_s":{:.1f}}})",
      epoch, at.step, train_loss, train_acc, part, held.loss(), part, held.accuracy(), lr_, took,
      static_cast<double>(at.samples) / std::max(took, 1e-9)));
  progress_->message(fmt::format(
      "epoch {:>3}  train loss {:.4f} acc {:.2f}%  {} loss {:.4f} acc {:.2f}%  {}", epoch,
      train_loss, 100 * train_acc, part, held.loss(), 100 * held.accuracy(), duration_text(took)));
  epoch_begin_ = Clock::now();
  status_.epochs = epoch;
  if (!e_.split.val.empty() && held.accuracy() > status_.best_accuracy) {
    status_.best_accuracy = held.accuracy();
    save_model_file(run_.model("best"), e_.model, card_);
  }
}

}  // namespace expunge::tools
