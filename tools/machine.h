#pragma once

#include <string>

#include "core/device.h"
#include "tools/options.h"

// What a call computes on, and how.
namespace expunge::tools {

// Which GPU --device names, 0 where it is not said, or is none. No such name: ExitCode::usage.
int gpu_number(const std::string& device);

// --device. auto: the first GPU that can be used, else the CPU. A GPU that cannot be used, or a
// build without CUDA: ExitCode::device.
Stream open_device(const std::string& device);

// --device, --threads, --precision: takes them into force. A device or precision this build lacks:
// ExitCode::device.
void apply_machine_options(const Settings& settings);

// Where and with what the numbers of this call are made: "NVIDIA H200", or the CPU's instruction
// set, "avx512". Another one gives other last digits.
std::string computed_with();

}  // namespace expunge::tools
