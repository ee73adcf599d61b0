#pragma once

#include <atomic>
#include <cstdint>

namespace expunge::test {

extern std::atomic<int64_t> allocations;  // calls of operator new so far

}  // namespace expunge::test
