#pragma once

#include <string>

namespace cuda_on_cpu {

// Ends the program: the text, then which kernel, block and thread ran, in which order.
[[noreturn]] __attribute__((format(printf, 1, 2))) void die(const char* format, ...);

// "reduce.cu:41 in block_sum(float)" of a return address in this program's code, or of a
// function's first instruction.
enum class Address : unsigned char { of_return, of_function };
std::string source_of(const void* code, Address kind);

}  // namespace cuda_on_cpu
