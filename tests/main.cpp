#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/conv_algo.h"

// EXPUNGE_TEST_CONV_ALGO=direct|winograd: every test, but those that choose for themselves, with
// this algorithm.
int main(int argc, char** argv) {
  if (const char* name = std::getenv("EXPUNGE_TEST_CONV_ALGO")) {
    const auto algo = expunge::kernels::conv_algo_of(name);
    if (!algo) return std::fprintf(stderr, "no such algorithm: %s\n", name), 1;
    expunge::kernels::set_conv_algo(*algo);
  }
  return doctest::Context(argc, argv).run();
}
