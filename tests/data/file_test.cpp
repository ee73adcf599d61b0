#include "core/file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/check.h"
#include "support/error.h"
#include "support/temp_dir.h"

using namespace expunge;
using test::error_code;
using test::error_text;
using test::get_file;
using test::put_file;
using test::TempDir;

namespace {

// Puts failing system calls in place for a scope. Call number `fail_at` (from 1) and, where
// `for_ever`, all that follow fail with `error`.
struct FailingIo {
  FailingIo(int fail_at, int error, bool for_ever) : saved(io_calls()) {
    calls = 0, at = fail_at, code = error, ever = for_ever;
    io_calls().open = [](const char* path, int flags, mode_t mode) {
      return fails() ? -1 : original().open(path, flags, mode);
    };
    io_calls().write = [](int fd, const void* bytes, size_t size) {
      return fails() ? ssize_t{-1} : original().write(fd, bytes, size > 3 ? size_t{3} : size);
    };
    io_calls().read = [](int fd, void* bytes, size_t size) {
      return fails() ? ssize_t{-1} : original().read(fd, bytes, size > 3 ? size_t{3} : size);
    };
    io_calls().fsync = [](int fd) { return fails() ? -1 : original().fsync(fd); };
    io_calls().rename = [](const char* from, const char* to) {
      return fails() ? -1 : original().rename(from, to);
    };
  }
  ~FailingIo() { io_calls() = saved; }

  static bool fails() {
    ++calls;
    if (calls != at && !(ever && calls > at)) return false;
    errno = code;
    return true;
  }
  static const IoCalls& original() {
    static const IoCalls calls_of_system = io_calls_at_start;
    return calls_of_system;
  }
  static inline const IoCalls io_calls_at_start = io_calls();
  static inline int calls = 0, at = 0, code = 0;
  static inline bool ever = false;
  IoCalls saved;
};

}  // namespace

TEST_CASE("atomic file: appears whole, replaces the old one, leaves nothing beside it") {
  TempDir dir;
  write_atomic(dir / "a", "first");
  CHECK(get_file(dir / "a") == "first");
  write_atomic(dir / "a", std::string(100000, 'x'));
  CHECK(get_file(dir / "a") == std::string(100000, 'x'));
  CHECK(dir.names() == std::vector<std::string>{"a"});
}

TEST_CASE("atomic file: without commit nothing changes") {
  TempDir dir;
  put_file(dir / "a", "old");
  {
    AtomicFile file(dir / "a");
    file.write("new");
  }
  CHECK(get_file(dir / "a") == "old");
  CHECK(dir.names().size() == 1);
}

TEST_CASE("atomic file: whichever system call fails, the file is the old or the new one") {
  for (const bool for_ever : {false, true}) {
    for (const int error : {ENOSPC, EIO, EROFS}) {
      bool failed = true;
      for (int n = 1; failed; ++n) {
        TempDir dir;
        put_file(dir / "a", "old");
        {
          FailingIo io(n, error, for_ever);
          failed = error_code([&] { write_atomic(dir / "a", "new bytes"); }) == ExitCode::io;
        }
        REQUIRE(dir.names().size() == 1);
        const std::string now = get_file(dir / "a");
        REQUIRE((now == "old" || now == "new bytes"));
        if (!failed) REQUIRE(now == "new bytes");
        REQUIRE(n < 50);
      }
    }
  }
}

TEST_CASE("files: calls that a signal interrupts are repeated, short ones continued") {
  TempDir dir;
  for (int n = 1; n < 12; ++n) {
    FailingIo io(n, EINTR, false);
    write_atomic(dir / "a", "more than three bytes");
    CHECK(read_file(dir / "a", 100) == "more than three bytes");
  }
}

TEST_CASE("atomic file: a failure names the path and the system's reason") {
  TempDir dir;
  const std::string text = error_text([&] { write_atomic(dir / "missing/a", "x"); });
  CHECK(text == (dir / "missing/a").string() + ": cannot create: No such file or directory");
  CHECK(error_code([&] { write_atomic(dir.path(), "x"); }) == ExitCode::io);
  CHECK(error_code([&] { write_atomic("/dev/null", "x"); }) == ExitCode::io);
}

TEST_CASE("atomic file: a link stays, the file behind it is replaced") {
  TempDir dir;
  put_file(dir / "real", "old");
  std::filesystem::create_symlink("real", dir / "link");
  write_atomic(dir / "link", "new");
  CHECK(std::filesystem::is_symlink(dir / "link"));
  CHECK(get_file(dir / "real") == "new");
}

TEST_CASE("input file: missing, folder, pipe, too large and too short are refused with a reason") {
  TempDir dir;
  put_file(dir / "a", "12345");
  CHECK(read_file(dir / "a", 5) == "12345");
  CHECK(error_code([&] { read_file(dir / "a", 4); }) == ExitCode::input);
  CHECK(error_text([&] { read_file(dir / "b", 4); }) == (dir / "b").string() + ": no such file");
  CHECK(error_text([&] { read_file(dir.path(), 4); }).find("is a folder") != std::string::npos);
  REQUIRE(::mkfifo((dir / "pipe").c_str(), 0600) == 0);
  CHECK(error_text([&] { read_file(dir / "pipe", 4); }).find("is a pipe") != std::string::npos);
  InputFile file(dir / "a");
  char bytes[6];
  CHECK(error_code([&] { file.read(bytes, 6); }) == ExitCode::input);
}

TEST_CASE("looks_like: names what is often mistaken for data") {
  using namespace std::string_view_literals;
  CHECK(looks_like(""sv) == "empty");
  CHECK(looks_like("\n <!DOCTYPE HTML><html>"sv) == "an HTML page");
  CHECK(looks_like("GIF89a"sv) == "a GIF image");
  CHECK(looks_like("PK\3\4"sv).starts_with("a zip archive"));
  CHECK(looks_like("\x1F\x8B\x08"sv).starts_with("a gzip"));
  CHECK(looks_like("\0\0\0"sv) == "zero bytes only");
  CHECK(looks_like("hello\n"sv) == "a text file");
  CHECK(looks_like("\x01\x02\x03"sv) == "no known format");
}
