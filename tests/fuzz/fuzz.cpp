#include "fuzz/fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "core/check.h"

namespace expunge::fuzz {
namespace {

int memory_file() {
  const int fd = ::memfd_create("fuzz", 0);
  if (fd < 0) std::abort();
  return fd;
}

void put(int fd, const uint8_t* bytes, size_t size) {
  if (::ftruncate(fd, 0) != 0) std::abort();
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::pwrite(fd, bytes + done, size - done, static_cast<off_t>(done));
    if (n <= 0) std::abort();
    done += static_cast<size_t>(n);
  }
}

}  // namespace

int with_file(const uint8_t* bytes, size_t size,
              const std::function<void(const std::filesystem::path&)>& read, int also) {
  static const int fd = memory_file();
  static const std::filesystem::path path = fmt::format("/proc/self/fd/{}", fd);
  put(fd, bytes, size);
  try {
    read(path);
  } catch (const Error& error) {
    const int code = static_cast<int>(error.code());
    if (code != static_cast<int>(ExitCode::input) && code != also) throw;
  }
  return 0;
}

}  // namespace expunge::fuzz
