#pragma once

#include <filesystem>
#include <optional>
#include <utility>

namespace expunge::tools {

// Keeps other processes out of a folder; the file `lock` in it stays.
class FileLock {
 public:
  FileLock() = default;
  // Held by another process, or not to be made: ExitCode::io. `of`: "this run".
  FileLock(const std::filesystem::path& folder, const char* of);
  ~FileLock();
  // Of a file, which stays: nothing while another process holds it. Where it cannot be made there
  // is nobody to keep out.
  static std::optional<FileLock> try_lock(const std::filesystem::path& file);
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept { return std::swap(fd_, other.fd_), *this; }

 private:
  int fd_ = -1;
};

// Whether another process holds the lock of a folder.
bool is_locked(const std::filesystem::path& folder);

}  // namespace expunge::tools
