#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include "cudnn/problems.h"
#include "kernels/conv_plan_book_cudnn.h"
#include "support/error.h"
#include "support/temp_dir.h"

// Which plan the book takes, and its file; what plans take is made up.
namespace expunge::kernels::cudnn {
namespace {

// Takes the last of the proposed plans for the fastest, and the others for the slower the earlier
// they stand. What it was asked: how many plans, for how many runs.
struct Stopwatch {
  struct Asked {
    size_t plans;
    int runs;
    bool operator==(const Asked&) const = default;
  };
  std::vector<Asked> asked;
  std::vector<std::string> known;  // in the order of the first round
  ConvPlanBook::Timer timer() {
    return [this](const ConvProblem& p, const ConvPlanBook::Plans& plans, int runs) {
      asked.push_back({plans.size(), runs});
      std::vector<double> ms;
      for (const ConvPlan* plan : plans) {
        const std::string name = p.str() + plan->engine().str();
        const auto at = std::ranges::find(known, name);
        ms.push_back(1.0 / static_cast<double>(at - known.begin() + 1));
        if (at == known.end()) known.push_back(name);
      }
      return ms;
    };
  }
};

TEST_CASE("a plan that will not run is not chosen; where some might nothing is written") {
  const test::TempDir dir;
  const std::filesystem::path file = dir.path() / "plans.txt";
  const auto book = [&](auto milliseconds) {
    return ConvPlanBook(h200(), "NVIDIA H200", file,
                        [=](const ConvProblem&, const ConvPlanBook::Plans& plans, int) {
                          std::vector<double> ms;
                          for (const ConvPlan* plan : plans)
                            ms.push_back(milliseconds(plan->engine().str()));
                          return ms;
                        });
  };
  CHECK(test::error_code([&] {
          book([](const std::string&) { return HUGE_VAL; }).at(problem());
        }) == ExitCode::device);
  CHECK(!std::filesystem::exists(file));
  const std::string only = conv_plans(problem(), h200()).at(7).engine().str();
  // some want more memory than there is just now: another time they may be the faster
  const auto none = [](const std::string&) { return ConvPlanBook::kNoRoom; };
  CHECK(test::error_code([&] { book(none).at(problem()); }) == ExitCode::memory);
  ConvPlanBook some =
      book([&](const std::string& engine) { return engine == only ? 1 : ConvPlanBook::kNoRoom; });
  for (int i = 0; i < 2; ++i) CHECK(some.at(problem()).engine().str() == only);
  CHECK(some.measured() == 1);
  CHECK(!std::filesystem::exists(file));
  ConvPlanBook one =
      book([&](const std::string& engine) { return engine == only ? 1.0 : HUGE_VAL; });
  CHECK(one.at(problem()).engine().str() == only);
  CHECK(std::filesystem::exists(file));
}

TEST_CASE("the book measures once, keeps the fastest, and reads it in the next run") {
  const test::TempDir dir;
  const std::filesystem::path file = dir.path() / "cache" / "plans.txt";
  Stopwatch first, second;
  ConvPlanBook book(h200(), "NVIDIA H200", file, first.timer());
  const std::vector<ConvPlan> proposed = conv_plans(problem(), h200());
  CHECK(book.at(problem()).engine().str() == proposed.back().engine().str());
  REQUIRE(proposed.size() > 6);
  CHECK(first.asked == std::vector<Stopwatch::Asked>{{proposed.size(), 2}, {6, 10}});
  book.at(problem());
  book.at(problem(ConvPass::data));
  CHECK(book.measured() == 2);

  ConvPlanBook again(h200(), "NVIDIA H200", file, second.timer());
  CHECK(again.at(problem()).engine().str() == proposed.back().engine().str());
  CHECK(again.measured() == 0);
  CHECK(second.asked.empty());

  const auto ours = [](const ConvProblem&, const ConvPlanBook::Plans& plans, int) {
    std::vector<double> ms;
    for (const ConvPlan* plan : plans) ms.push_back(plan->is_own() ? 1 : 2);
    return ms;
  };
  CHECK(ConvPlanBook(h200(), "NVIDIA H200", file, ours).at(strict()).is_own());
  ConvPlanBook read(h200(), "NVIDIA H200", file, second.timer());
  CHECK(read.at(strict()).is_own());
  CHECK(read.measured() == 0);

  ConvPlanBook other(h200(), "NVIDIA H100", file, second.timer());
  other.at(problem());
  CHECK(other.measured() == 1);
}

TEST_CASE("books of two processes: each adds to the file, and a problem is measured once") {
  const test::TempDir dir;
  const std::filesystem::path file = dir.path() / "plans.txt";
  Stopwatch watch;
  ConvPlanBook one(h200(), "NVIDIA H200", file, watch.timer()),
      other(h200(), "NVIDIA H200", file, watch.timer());  // there is no file yet
  one.at(problem());
  other.at(problem(ConvPass::data));
  CHECK(other.at(problem()).engine().str() == one.at(problem()).engine().str());
  CHECK(one.measured() == 1);
  CHECK(other.measured() == 1);
  ConvPlanBook later(h200(), "NVIDIA H200", file, watch.timer());
  later.at(problem()), later.at(problem(ConvPass::data));
  CHECK(later.measured() == 0);
}

TEST_CASE("a book measures while no other process does, and is waited for") {
  const test::TempDir dir;
  const std::filesystem::path file = dir.path() / "plans.txt", lock = dir.path() / "plans.txt.lock";
  const auto open_lock = [&] { return ::open(lock.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0666); };
  std::atomic<bool> released = false, early = false, held = false;
  ConvPlanBook book(h200(), "NVIDIA H200", file,
                    [&](const ConvProblem&, const ConvPlanBook::Plans& plans, int) {
                      early = early || !released;
                      const int fd = open_lock();
                      held = ::flock(fd, LOCK_EX | LOCK_NB) != 0;
                      ::close(fd);
                      return std::vector<double>(plans.size(), 1);
                    });
  const int other = open_lock();
  REQUIRE(::flock(other, LOCK_EX) == 0);
  std::thread at([&] { book.at(problem()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  released = true;
  ::close(other);
  at.join();
  CHECK_FALSE(early);
  CHECK(held);
  CHECK(book.measured() == 1);
}

TEST_CASE("a broken file, and one that cannot be written, are as good as none") {
  const test::TempDir dir;
  const std::filesystem::path file = dir.path() / "plans.txt";
  Stopwatch watch;
  const std::string key = problem().str();
  const std::string title =
      "expunge-conv-plans-3 " + std::to_string(cudnnGetVersion()) + " NVIDIA H200\n";
  for (const std::string& text :
       {std::string("\0\xff", 2), title + key, title + key + "\t",
        title + key + "\t62 2=", title + key + "\t100000", title + "\t\n\t\t\n"}) {
    write_atomic(file, text);
    ConvPlanBook book(h200(), "NVIDIA H200", file, watch.timer());
    CHECK(book.at(problem()).workspace() >= 0);
    CHECK(book.measured() == 1);
  }
  ConvPlanBook nowhere(h200(), "NVIDIA H200", "/proc/nowhere/plans.txt", watch.timer());
  CHECK(nowhere.at(problem()).workspace() >= 0);
  ConvPlanBook unnamed(h200(), "NVIDIA H200", "", watch.timer());
  CHECK(unnamed.at(problem()).workspace() >= 0);
}

TEST_CASE("a convolution without any engine is refused by name") {
  Stopwatch watch;
  ConvPlanBook book(h200(), "NVIDIA H200", "", watch.timer(), {.workspace = -1});
  CHECK(test::error_code([&] { book.at(problem()); }) == ExitCode::device);
}

}  // namespace
}  // namespace expunge::kernels::cudnn
