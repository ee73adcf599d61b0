#pragma once

#include <cstddef>

// Where the device's memory lies: pages of their own that only DeviceWork opens, so that host code
// that touches them ends the program, as a GPU would end it; up to Options::closed_mb in use.
// With the address sanitizer, which says more, ordinary memory.
namespace cuda_on_cpu {

constexpr size_t kAlign = 256;

unsigned char* take_pages(size_t bytes);  // on multiples of kAlign, open only to DeviceWork
void give_pages(unsigned char* memory, size_t bytes);
void open_pages();
void close_pages();

}  // namespace cuda_on_cpu
