#include "core/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/sha256.h"

namespace expunge {
namespace fs = std::filesystem;

IoCalls& io_calls() {
  static IoCalls calls{
      [](const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); },
      ::read,
      ::write,
      ::fsync,
      ::close,
      ::rename};
  return calls;
}

namespace {

constexpr size_t kPiece = size_t{1} << 30;  // Linux moves at most 2 GiB in one call

[[noreturn]] void fail_io(const char* doing, const fs::path& path) {
  const int error = errno;
  fail(ExitCode::io, "{}: cannot {}: {}", path.string(), doing,
       std::generic_category().message(error));
}

// Repeats a call that a signal interrupted.
template <class F>
auto retry(F call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

int open_retrying(const fs::path& path, int flags, mode_t mode = 0) {
  return retry([&] { return io_calls().open(path.c_str(), flags | O_CLOEXEC, mode); });
}

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

void sync_folder(const fs::path& folder) {
  const int fd = open_retrying(folder, O_RDONLY | O_DIRECTORY);
  if (fd < 0) fail_io("open the folder", folder);
  const int result = retry([&] { return io_calls().fsync(fd); });
  const int error = errno;
  io_calls().close(fd);
  errno = error;
  if (result < 0 && error != EINVAL) fail_io("sync the folder", folder);  // EINVAL: it has no sync
}

// What to replace: behind links, and never a device or a folder.
fs::path destination(const fs::path& path) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(fs::absolute(path, error), error);
  if (error) fail(ExitCode::io, "{}: cannot resolve: {}", path.string(), error.message());
  struct stat info {};
  if (::stat(real.c_str(), &info) == 0 && !S_ISREG(info.st_mode))
    fail(ExitCode::io, "{}: cannot be written: it is {}", path.string(), kind_of(info.st_mode));
  return real;
}

}  // namespace

InputFile::InputFile(const fs::path& path) : path_(path) {
  fd_ = open_retrying(path, O_RDONLY | O_NONBLOCK);  // a pipe must not make us wait
  if (fd_ < 0 && (errno == ENOENT || errno == ENOTDIR))
    fail(ExitCode::input, "{}: no such file", path.string());
  if (fd_ < 0) fail_io("open", path);
  struct stat info {};
  const int known = ::fstat(fd_, &info);
  if (known == 0 && S_ISREG(info.st_mode)) {
    size_ = static_cast<uint64_t>(info.st_size);
    return;
  }
  const int error = errno;
  io_calls().close(fd_);
  errno = error;
  if (known != 0) fail_io("examine", path);
  fail(ExitCode::input, "{}: is {}, expected a file", path.string(), kind_of(info.st_mode));
}

InputFile::~InputFile() {
  io_calls().close(fd_);
}

void InputFile::read(void* bytes, size_t size) {
  auto* to = static_cast<char*>(bytes);
  while (size > 0) {
    const ssize_t n = retry([&] { return io_calls().read(fd_, to, std::min(size, kPiece)); });
    if (n < 0) fail_io("read", path_);
    if (n == 0)
      fail(ExitCode::input, "{}: ends after {} bytes, {} more were expected", path_.string(),
           position_, size);
    to += n, size -= static_cast<size_t>(n), position_ += static_cast<uint64_t>(n);
  }
}

std::string sha256_of_file(const fs::path& path) {
  InputFile file(path);
  std::vector<char> piece(size_t{1} << 20);
  Sha256 hash;
  for (uint64_t left = file.size(); left > 0;) {
    const auto n = static_cast<size_t>(std::min<uint64_t>(left, piece.size()));
    file.read(piece.data(), n);
    hash.update(piece.data(), n);
    left -= n;
  }
  return to_hex(hash.digest());
}

std::string read_file(const fs::path& path, uint64_t cap) {
  InputFile file(path);
  if (file.size() > cap)
    fail(ExitCode::input, "{}: {} bytes, at most {} are accepted", path.string(), file.size(), cap);
  std::string bytes(file.size(), '\0');
  file.read(bytes.data(), bytes.size());
  return bytes;
}

AtomicFile::AtomicFile(const fs::path& path) : path_(destination(path)) {
  static std::atomic<unsigned> counter{0};
  const std::string unique = fmt::format(".{}-{}.tmp", ::getpid(), counter++);
  temporary_ = path_.parent_path() / ("." + path_.filename().string().substr(0, 200) + unique);
  fd_ = open_retrying(temporary_, O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (fd_ < 0) fail_io("create", path_);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) io_calls().close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* bytes, size_t size) {
  const auto* from = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t n = retry([&] { return io_calls().write(fd_, from, std::min(size, kPiece)); });
    if (n < 0) fail_io("write", path_);
    from += n, size -= static_cast<size_t>(n);
  }
}

void AtomicFile::commit() {
  EXPUNGE_CHECK(fd_ >= 0, "atomic file {}: committed twice", path_.string());
  if (retry([&] { return io_calls().fsync(fd_); }) < 0) fail_io("sync", path_);
  const int closed = io_calls().close(std::exchange(fd_, -1));
  if (closed < 0 && errno != EINTR) fail_io("close", path_);  // never closed twice
  if (retry([&] { return io_calls().rename(temporary_.c_str(), path_.c_str()); }) < 0)
    fail_io("replace", path_);
  temporary_.clear();
  sync_folder(path_.parent_path());
}

void write_atomic(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace expunge
