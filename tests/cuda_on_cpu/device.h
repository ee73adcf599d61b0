#pragma once

#include <cstddef>
#include <mutex>

namespace cuda_on_cpu {

// Held by every call of the runtime library, also while kernels run: the machine does one thing at
// a time, whichever thread of the program asks.
std::recursive_mutex& machine_lock();
using Lock = std::lock_guard<std::recursive_mutex>;

enum class Side : unsigned char { device, host };  // host: cudaMallocHost

// Memory that kernels may touch, whole: [p, p + bytes) lies in one allocation.
bool is_accessible(const void* p, size_t bytes);
// Whether p lies in an allocation on the device, or right behind one.
bool is_device(const void* p);
// Ends the program unless all of it is one allocation's.
void demand_device(const char* what, const void* p, size_t bytes);

// While it lives device memory may be touched; at other times that ends the program (pages.h).
class DeviceWork {
 public:
  DeviceWork();
  ~DeviceWork();
  DeviceWork(const DeviceWork&) = delete;
  DeviceWork& operator=(const DeviceWork&) = delete;
};

}  // namespace cuda_on_cpu
