// Each fault in a process of its own, which it ends.
#include "cuda_on_cpu/checks/faults.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "cuda_on_cpu/machine_side.h"

namespace expunge::test {
namespace {

using cuda_on_cpu::Build;
using cuda_on_cpu::options;
using cuda_on_cpu::Order;

struct Outcome {
  bool ended_well;
  std::string text;
};

Outcome run_apart(const Fault& fault) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::signal(SIGABRT, SIG_DFL);  // doctest's handler would tell of it
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    const bool right = fault.run();
    if (!right) std::fputs("wrong result\n", stderr);
    std::fflush(nullptr);
    _exit(right ? 0 : 1);
  }
  close(ends[1]);
  Outcome out;
  char part[4096];
  for (ssize_t n = 0; (n = read(ends[0], part, sizeof part)) > 0;)
    out.text.append(part, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  out.ended_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return out;
}

const char* expected_of(const Fault& fault) {
  switch (cuda_on_cpu::build()) {
    case Build::plain:
      return fault.plain;
    case Build::sanitized:
      return fault.sanitized;
    case Build::race:
      return fault.race;
  }
  return nullptr;
}

// Some order tells it, and as expected.
void check_fault(const Fault& fault) {
  const char* expected = expected_of(fault);
  if (expected == nullptr) return;
  const std::string name = fault.name;
  CAPTURE(name);
  const struct {
    Order order;
    uint64_t seed;
  } orders[] = {{Order::ascending, 1},
                {Order::descending, 1},
                {Order::shuffled, 1},
                {Order::shuffled, 2},
                {Order::shuffled, 3}};
  bool told = false;
  for (const auto& o : orders) {
    options().order = o.order;
    options().seed = o.seed;
    const Outcome outcome = run_apart(fault);
    if (outcome.ended_well) continue;
    CHECK_MESSAGE(outcome.text.find(expected) != std::string::npos, outcome.text);
    told = true;
    break;
  }
  CHECK(told);
}

}  // namespace

TEST_CASE("faults: barriers and warps") {
  for (const Fault& fault : barrier_faults()) check_fault(fault);
}

TEST_CASE("faults: memory, streams and launches") {
  for (const Fault& fault : memory_faults()) check_fault(fault);
}

}  // namespace expunge::test
