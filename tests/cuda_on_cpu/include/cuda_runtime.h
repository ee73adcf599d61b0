#pragma once

// What a file sees as <cuda_runtime.h> where this folder stands on the include path: the language
// and the runtime library of CUDA for an ordinary C++ compiler, kernels on the CPU
// (docs/cuda-on-cpu.md). Only what our kernels may use is there: the rest does not compile.
#define CUDA_ON_CPU 1
#include "../api.h"
#include "../language.h"
#include "../vector_types.h"
