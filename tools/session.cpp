#include "tools/session.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdlib>

#include "core/check.h"
#include "kernels/reduce.h"
#include "tools/machine.h"
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

}  // namespace

Session::Session(const Settings& settings, SessionParts parts, ModelCard card, RunFolder& run,
                 Evaluation& evaluation, RunStatus status)
    : settings_(settings),
      parts_(std::move(parts)),
      card_(std::move(card)),
      run_(run),
      evaluation_(evaluation),
      status_(std::move(status)),
      earlier_seconds_(status_.seconds),
      earlier_work_(status_.work_seconds),
      checkpoints_(CheckpointRule::parse(settings.text("checkpoint-every"))),
      evaluations_(EvaluationRule::parse(settings.text("eval-every"))),
      total_steps_(nn::total_steps(parts_.fit, parts_.source)) {}

double Session::worked() const {
  return since(begin_) - aside_;
}

void Session::note_time() {
  status_.seconds = earlier_seconds_ + since(begin_);
  status_.work_seconds = earlier_work_ + worked();
}

RunStatus Session::start() {
  return run_from({});
}

// The last checkpoint; where that is damaged or missing, the one before it.
nn::TrainState Session::load_last() {
  try {
    return nn::load_state(run_.state(), parts_.model, parts_.optimizer, parts_.buffers);
  } catch (const Error& error) {
    if (error.code() != ExitCode::input || !std::filesystem::exists(run_.previous_state())) throw;
    say("expunge: warning: {}; the checkpoint before it is taken\n", error.what());
  }
  nn::TrainState state =
      nn::load_state(run_.previous_state(), parts_.model, parts_.optimizer, parts_.buffers);
  run_.take_back_state();
  return state;
}

RunStatus Session::resume() {
  nn::TrainState state = load_last();
  const std::string before = state.notes["computed_with"];  // old states do not say
  if (!before.empty() && before != computed_with())
    say("expunge: warning: this run was computed with {}, it goes on with {}: other last digits\n",
        before, computed_with());
  status_.best_accuracy = note_number(state, "best_accuracy", -1);
  lr_ = static_cast<float>(note_number(state, "lr", 0));
  enough_ = state.notes["enough"] == "yes";
  run_.cut_metrics(state.position.step);
  say("{}: going on after step {} of {}\n", run_.path().string(), state.position.step,
      total_steps_);
  const bool epoch_over = state.position.batch == parts_.source.batches_in(state.position.epoch) ||
                          state.position.step == total_steps_;
  if (epoch_over) keep_epoch(state.position);
  if (state.notes["evaluated"] == "no" && (epoch_over || evaluation_due(state.position.step))) {
    progress_.emplace(settings_.text("progress"), total_steps_, state.position.step);
    if (evaluation_due(state.position.step)) evaluate_step(state.position);
    if (epoch_over) evaluate_epoch(state.position);
    save(state.position, !stop_requested());
  }
  return run_from(state.position);
}

RunStatus Session::run_from(nn::FitPosition position) {
  if (!progress_) progress_.emplace(settings_.text("progress"), total_steps_, position.step);
  status_.steps = position.step;
  status_.status = "running";
  note_time();
  if (position.step == 0) {
    save(position, true);  // before run.json, which says that there is something to go on from
  } else {
    // a run may have been killed between its state and the model beside it, at its last step too
    save_model_file(run_.model("last"), shown(), card_);
    write_run_json(run_.path(), status_);
  }
  try {
    finish(enough_ ? nn::FitEnd::stopped
                   : nn::fit(parts_.fit, parts_.source, parts_.step, *this, position));
  } catch (const std::exception& error) {
    progress_.reset();
    status_.status = "failed";
    status_.message = error.what();
    note_time();
    write_run_json(run_.path(), status_);
    throw;
  }
  return status_;
}

void Session::finish(nn::FitEnd end) {
  progress_.reset();
  const bool over = end == nn::FitEnd::finished || enough_;
  note_time();
  if (over) {
    const nn::Model& model = shown();
    if (parts_.conclude) {
      parts_.conclude(status_);
      save_model_file(run_.model("last"), model, card_);
      note_time();
    }
    const double work = status_.work_seconds;
    evaluation_.at_end(status_, run_);
    note_time();
    status_.work_seconds = work;
  }
  status_.status = over && !stop_requested() ? "finished" : "interrupted";
  run_.write_metrics_csv();
  write_run_json(run_.path(), status_);
}

// The state is what a run goes on from; the model beside it is for everybody else.
void Session::save(const nn::FitPosition& at, bool evaluated) {
  const nn::Model& model = parts_.model;
  if (!kernels::all_finite(model.params.values().stream(), model.params.values().size(),
                           model.params.values().data()))
    fail(ExitCode::numerical,
         "the weights are no longer finite at step {}; the last good checkpoint is kept", at.step);
  const Clock::time_point begin = Clock::now();
  note_time();
  run_.keep_state();
  nn::save_state(run_.state(), model, parts_.optimizer,
                 {.position = at,
                  .notes = {{"evaluated", evaluated ? "yes" : "no"},
                            {"enough", enough_ ? "yes" : "no"},
                            {"best_accuracy", fmt::format("{}", status_.best_accuracy)},
                            {"lr", fmt::format("{}", lr_)},
                            {"computed_with", computed_with()}}},
                 parts_.buffers);
  save_model_file(run_.model("last"), shown(), card_);
  write_run_json(run_.path(), status_);
  saved_ = Clock::now();
  last_save_ = since(begin);
  aside_ += last_save_;
}

bool Session::evaluation_due(int64_t step) const {
  return evaluations_.steps > 0 && step % evaluations_.steps == 0;
}

bool Session::checkpoint_due(int64_t step) const {
  return (checkpoints_.steps > 0 && step % checkpoints_.steps == 0) ||
         (checkpoints_.seconds > 0 && since(saved_) >= checkpoints_.seconds);
}

bool Session::epoch_checkpoint_due() const {
  using Epochs = CheckpointRule::Epochs;
  return checkpoints_.epochs == Epochs::all ||
         (checkpoints_.epochs == Epochs::affordable &&
          last_save_ <= CheckpointRule::kMostShare * since(saved_));
}

bool Session::looks_after(int64_t step) {
  stop_for_test(step);
  if (!stop_requested() && !evaluation_due(step) && !checkpoint_due(step)) return false;
  looks_after_ = step;
  return true;
}

nn::Continue Session::after_step(const nn::FitPosition& at, const nn::StepResult& result,
                                 const StepScalars& scalars) {
  lr_ = scalars.lr;
  images_ += result.samples;
  status_.steps = at.step;
  if (!std::isfinite(result.loss)) return nn::Continue::no;  // fit() says why
  if (at.step % settings_.integer("log-every") == 0)
    run_.append_metrics(
        fmt::format(R"({{"type":"step","step":{},"epoch":{},"loss":{:.6g},"lr":{:.6g}}})", at.step,
                    at.epoch + 1, result.loss, lr_));
  if (result.skipped) {
    ++status_.measures["skipped_steps"];
    run_.append_metrics(
        fmt::format(R"({{"type":"skipped","step":{},"epoch":{}}})", at.step, at.epoch + 1));
  }
  if (parts_.note) {
    const StepNote note = parts_.note();
    aside_ += note.seconds;
    if (!note.fields.empty())
      run_.append_metrics(fmt::format(R"({{"type":"{}","step":{},"epoch":{},{}}})", note.type,
                                      at.step, at.epoch + 1, note.fields));
  }
  const double n = static_cast<double>(std::max<int64_t>(1, at.samples));
  progress_->update({at.epoch + 1, parts_.fit.epochs, at.step, at.loss_sum / n,
                     parts_.counts_correct ? static_cast<double>(at.correct) / n : -1, images_});
  if (at.step != looks_after_) return nn::Continue::yes;  // the model may be further
  const bool evaluated = evaluation_due(at.step) && evaluate_step(at);
  if (stop_requested() || checkpoint_due(at.step)) save(at, evaluated);
  return stop_requested() || enough_ ? nn::Continue::no : nn::Continue::yes;
}

// Again where a run goes on from there: a signal may have come before.
void Session::keep_epoch(const nn::FitPosition& at) {
  if (!parts_.epoch_over) return;
  const Clock::time_point begin = Clock::now();
  shown();
  parts_.epoch_over(at.epoch + 1);
  aside_ += since(begin);
}

nn::Continue Session::after_epoch(const nn::FitPosition& at) {
  keep_epoch(at);
  evaluate_epoch(at);
  if (at.step == total_steps_ || enough_ || stop_requested() || epoch_checkpoint_due())
    save(at, evaluations_.steps > 0 || !stop_requested());
  return stop_requested() || enough_ ? nn::Continue::no : nn::Continue::yes;
}

// Nothing where a signal came: evaluated when the run goes on.
std::optional<Findings> Session::evaluate() {
  const Clock::time_point begin = Clock::now();
  const nn::Model& model = shown();
  const Findings found = evaluation_.during(status_);
  aside_ += since(begin);
  if (stop_requested()) return {};
  if (found.better) save_model_file(run_.model("best"), model, card_);
  enough_ = enough_ || found.enough;
  return found;
}

bool Session::evaluate_step(const nn::FitPosition& at) {
  const auto found = evaluate();
  if (!found) return false;
  run_.append_metrics(fmt::format(R"({{"type":"evaluation","epoch":{},"step":{},{}}})",
                                  at.epoch + 1, at.step, found->fields));
  progress_->message(fmt::format("step {:>5}  {}", at.step, found->words));
  return true;
}

void Session::evaluate_epoch(const nn::FitPosition& at) {
  const int64_t epoch = at.epoch + 1;
  if (evaluations_.steps > 0 || (epoch % evaluations_.epochs != 0 && at.step != total_steps_))
    return;
  const auto found = evaluate();
  if (!found) return;
  const double n = static_cast<double>(std::max<int64_t>(1, at.samples)),
               took = worked() - line_.worked;
  const double loss = at.loss_sum / n, accuracy = static_cast<double>(at.correct) / n;
  run_.append_metrics(fmt::format(
      R"({{"type":"epoch","epoch":{},"step":{},"train_loss":{:.6g},{}{},"lr":{:.6g},"seconds":{:.3f},"images_per_s":{:.1f}}})",
      epoch, at.step, loss,
      parts_.counts_correct ? fmt::format("\"train_acc\":{:.6g},", accuracy) : "", found->fields,
      lr_, took, static_cast<double>(images_ - line_.images) / std::max(took, 1e-9)));
  progress_->message(fmt::format(
      "epoch {:>3}  {}loss {:.4f}{}  {}  {}", epoch, parts_.counts_correct ? "train " : "", loss,
      parts_.counts_correct ? fmt::format(" acc {:.2f}%", 100 * accuracy) : "", found->words,
      duration_text(took)));
  line_ = {images_, worked()};
  status_.epochs = epoch;
}

}  // namespace expunge::tools
