#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

// Files in and out. What the system refuses becomes Error(ExitCode::io) with its words and the
// path; a file that is missing, not regular, too short or too large is Error(ExitCode::input).
namespace expunge {

// A regular file, read from front to back.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  uint64_t size() const { return size_; }  // when it was opened
  uint64_t position() const { return position_; }
  void read(void* bytes, size_t size);  // all of them, or throws
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  uint64_t size_ = 0, position_ = 0;
};

// The whole file as bytes; a file larger than `cap` is refused before memory is taken.
std::string read_file(const std::filesystem::path& path, uint64_t cap);

// SHA-256 of its bytes, in hexadecimal.
std::string sha256_of_file(const std::filesystem::path& path);

// A file that appears complete or not at all: bytes go to a temporary file in the same folder;
// commit() syncs it and puts it in the place of `path`. Without commit() nothing changes and
// nothing is left behind. A link is followed, so the file behind it is replaced.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::filesystem::path path_, temporary_;
  int fd_ = -1;
};

void write_atomic(const std::filesystem::path& path, std::string_view bytes);

// What the first bytes of a file that was not expected look like: "empty", "an HTML page",
// "a zip archive (or a PyTorch file)"; "no known format" otherwise. 512 bytes are enough.
std::string_view looks_like(std::span<const uint8_t> head);
inline std::string_view looks_like(std::string_view head) {
  return looks_like(std::span(reinterpret_cast<const uint8_t*>(head.data()), head.size()));
}

// The system calls used above. Tests put failing ones in their place.
struct IoCalls {
  int (*open)(const char* path, int flags, mode_t mode);
  ssize_t (*read)(int fd, void* bytes, size_t size);
  ssize_t (*write)(int fd, const void* bytes, size_t size);
  int (*fsync)(int fd);
  int (*close)(int fd);
  int (*rename)(const char* from, const char* to);
};
IoCalls& io_calls();

}  // namespace expunge
