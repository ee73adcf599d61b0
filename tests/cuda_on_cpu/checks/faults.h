#pragma once

#include <span>

// Mistakes in kernels and in what surrounds them, each with what tells it in which build: part of
// the report, or "wrong result" where the numbers give it away, in one of the orders. Null: goes
// unnoticed.
namespace expunge::test {

struct Fault {
  const char* name;
  bool (*run)();  // whether the result was right
  const char *plain, *sanitized, *race;
};

std::span<const Fault> barrier_faults();
std::span<const Fault> memory_faults();

}  // namespace expunge::test
