#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "tools/child.h"
#include "tools/sweep_plan.h"

namespace expunge::tools {

// What stays of a run whose row is written: rows (an unlearned network's checkpoints go), weights
// (training states go), all.
enum class Keep : unsigned char { rows, weights, all };

// What all jobs of a sweep share.
struct SweepPlace {
  std::filesystem::path out;
  std::string attacks;   // of compare
  OptionValues machine;  // for comparisons and attacks; runs have theirs among their options
  int64_t jobs = 1;
  int threads = 1;  // of each job
  Keep keep = Keep::weights;
  // By U-LiRA, one run after the other: they share their shadows' originals, and each attack has
  // jobs of its own.
  mutable bool attacking = false;
};

// One planned run on its way to a row: the run itself, begun or gone on with, then its comparison,
// then U-LiRA where the recipe wants it, each as a process of its own.
class SweepJob {
 public:
  SweepJob(const SweepPlace& place, PlannedRun run);

  // Looks where it is, and goes on with the next part. A row once it is over; a run that failed by
  // its numbers (exit code 6) has one, too. Another failure: its exit code, with its last words.
  std::optional<SweepRow> poll();
  // Once the row is written. Of a run that failed everything stays.
  void take_away() const;
  void stop();
  bool stopped();  // by a signal that came to it, or by stop()

 private:
  enum class Part : unsigned char { run, comparison, turn, attack, over };  // turn: waits for it
  void start_run();
  void start_comparison();
  void start_attack();
  void start(std::vector<std::string> arguments, int64_t jobs = 1);
  void go_on();
  bool ended_well();
  std::filesystem::path folder() const { return place_.out / run_.folder; }
  std::filesystem::path log(const char* of) const;

  const SweepPlace& place_;
  PlannedRun run_;
  Part part_ = Part::run;
  bool stopped_ = false;
  Child child_;
};

}  // namespace expunge::tools
