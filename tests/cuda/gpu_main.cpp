#define DOCTEST_CONFIG_IMPLEMENT
#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cstdio>

int main(int argc, char** argv) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (devices == 0) {
    std::printf("SKIPPED: no GPU (%s)\n", cudaGetErrorName(error));
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
