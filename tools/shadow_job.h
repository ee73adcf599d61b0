#pragma once

#include "tools/child.h"
#include "tools/shadow_plan.h"

namespace expunge::tools {

// A shadow on its way: its original is trained, then unlearned from, each by a process of its own.
// What is finished stays, what was begun is gone on with.
class ShadowJob {
 public:
  ShadowJob(const Shadow& shadow, const std::string& data_digest, int threads);

  // Looks where it is, and goes on. True once both runs are finished. A process that failed: its
  // exit code, with its last words.
  bool poll();
  void stop() { child_.stop(); }
  bool running() { return child_.running(); }
  const Shadow& shadow() const { return shadow_; }

 private:
  const ShadowRun& run() const { return part_ == 0 ? shadow_.original : shadow_.unlearned; }
  std::filesystem::path file(const char* extension) const;  // beside the run's folder
  void start();
  void end();

  const Shadow& shadow_;
  const std::string& data_digest_;
  int threads_, part_ = 0;  // 0: the original, 1: unlearning, 2: over
  bool started_ = false;
  Child child_;
};

}  // namespace expunge::tools
