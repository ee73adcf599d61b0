#include "cuda_on_cpu/checks/right.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "core/dtype.h"
#include "cuda/device_array.h"
#include "support/error.h"

namespace expunge::test {
namespace {

constexpr Stream kStream{.device = Device::cuda};

std::vector<float> ramp(size_t n) {
  std::vector<float> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i % 13) - 4.0f;
  return x;
}

}  // namespace

TEST_CASE("machine: a sum over the block for every thread, shared memory used twice") {
  constexpr size_t kBlocks = 5;
  const auto x = ramp(kBlocks * kSumThreads);
  const DeviceArray<float> dx(x), out(x.size());
  block_sums(kStream, kBlocks, dx.data(), out.data());
  const auto got = out.values();
  for (size_t i = 0; i < x.size(); ++i) {
    const auto row = x.begin() + static_cast<long>(i / kSumThreads * kSumThreads);
    CHECK(got[i] == 2 * std::accumulate(row, row + kSumThreads, 0.0f));
  }
}

TEST_CASE("machine: a warp a row in shared memory of the launch's size, idle warps return") {
  constexpr int kRows = 7, kColumns = 70;
  const auto x = ramp(kRows * kColumns);
  const DeviceArray<float> dx(x), dy(x.size());
  softmax_rows(kStream, kRows, kColumns, dx.data(), dy.data());
  const auto y = dy.values();
  for (size_t r = 0; r < kRows; ++r) {
    double sum = 0;
    for (size_t c = 0; c < kColumns; ++c) sum += std::exp(double{x[r * kColumns + c]});
    for (size_t c = 0; c < kColumns; ++c)
      CHECK(double{y[r * kColumns + c]} ==
            doctest::Approx(std::exp(double{x[r * kColumns + kColumns - 1 - c]}) / sum));
  }
}

TEST_CASE(
    "machine: a product of matrices, each element from the lanes that hold its row and column") {
  const auto A = [](size_t row, size_t k) { return static_cast<float>(row * 5 + k * 3) - 60.0f; };
  const auto B = [](size_t k, size_t column) {
    return static_cast<float>((k * 7 + column * 11) % 31) - 15.0f;
  };
  for (const bool tf32 : {false, true}) {
    const size_t numbers = tf32 ? 1 : 2;  // of a word
    std::vector<uint32_t> a(32 * 4), b(32 * 2);
    std::vector<float> d(32 * 4);
    // of numbers in a line along k; bits that tf32 leaves out are set
    const auto word = [=](auto at, size_t k) {
      if (tf32) return std::bit_cast<uint32_t>(at(k)) | 0x1fffu;
      return uint32_t{to_bf16(at(k)).bits} | uint32_t{to_bf16(at(k + 1)).bits} << 16;
    };
    for (size_t lane = 0; lane < 32; ++lane) {
      const size_t g = lane / 4, t = lane % 4;
      for (size_t j = 0; j < 2; ++j) {
        const size_t k = numbers * (4 * j + t);
        for (size_t i = 0; i < 2; ++i)
          a[4 * lane + 2 * j + i] = word([&](size_t at) { return A(g + 8 * i, at); }, k);
        b[2 * lane + j] = word([&](size_t at) { return B(at, g); }, k);
      }
      for (size_t i = 0; i < 4; ++i) d[4 * lane + i] = static_cast<float>(lane);
    }
    const DeviceArray<uint32_t> da(a), db(b);
    const DeviceArray<float> dd(d);
    matrix_product(kStream, tf32, da.data(), db.data(), dd.data());
    const auto got = dd.values();
    for (size_t lane = 0; lane < 32; ++lane)
      for (size_t i = 0; i < 4; ++i) {
        auto sum = static_cast<double>(lane);
        for (size_t k = 0; k < 8 * numbers; ++k)
          sum += double{A(lane / 4 + i / 2 * 8, k)} * double{B(k, 2 * (lane % 4) + i % 2)};
        CHECK(double{got[4 * lane + i]} == sum);  // whole numbers that bf16 and f32 hold
      }
  }
}

TEST_CASE("machine: matrices from shared memory, transposed") {
  std::vector<uint16_t> rows(4 * 64);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<uint16_t>(i);
  const DeviceArray<uint16_t> from(rows);
  const DeviceArray<uint32_t> d(32 * 4);
  transposed_matrices(kStream, from.data(), d.data());
  const auto got = d.values();
  for (uint32_t lane = 0; lane < 32; ++lane)
    for (uint32_t q = 0; q < 4; ++q) {
      const uint32_t low = 64 * q + 8 * (2 * (lane % 4)) + lane / 4;
      CHECK(got[4 * lane + q] == (low | (low + 8) << 16));
    }
}

TEST_CASE("machine: copies beside the threads that ask for them") {
  std::vector<float> x(2 * 128);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i + 1);
  const DeviceArray<float> from(x), y(4 * 32);
  copied_ahead(kStream, from.data(), y.data());
  const auto got = y.values();
  for (size_t i = 0; i < got.size(); ++i)
    CHECK(got[i] == (i < 64 ? x[i / 32 * 128 + 4 * (31 - i % 32)] : 0.0f));
}

TEST_CASE("machine: an error names who launched, through what launches for others") {
  const DeviceArray<float> x(4);
  const auto run = [&] { softmax_rows(kStream, 4, 1 << 14, x.data(), x.data()); };  // 256 KiB
  CHECK(error_code(run) == ExitCode::device);
  const std::string text = error_text(run);
  CHECK(text.find("(cudaErrorInvalidValue) in softmax_rows: ") != std::string::npos);
  CHECK(text.find("checks/right.cu:") != std::string::npos);
}

TEST_CASE("machine: shuffles within segments; lanes without a source keep their own") {
  for (int width : {32, 16, 8}) {
    const DeviceArray<int> out(32 * 4);
    shuffles(kStream, width, out.data());
    const auto got = out.values();
    for (int i = 0; i < 32; ++i) {
      const int first = i / width * width, place = i % width;
      const auto* mine = &got[static_cast<size_t>(4 * i)];
      CHECK(mine[0] == first + 3);
      CHECK(mine[1] == (i ^ 5));
      CHECK(mine[2] == (place + 2 < width ? i + 2 : i));
      CHECK(mine[3] == (place >= 3 ? i - 3 : i));
    }
  }
}

TEST_CASE("machine: half a warp may do operations of its own; votes") {
  const DeviceArray<double> out(32);
  half_warps(kStream, out.data());
  const auto got = out.values();
  for (int i = 0; i < 32; ++i) {
    const int from = 31 - i;
    CHECK(got[static_cast<size_t>(i)] == (from >= 16 ? 2 * from : from < 8 ? 28 : 92));
  }
  const DeviceArray<uint32_t> vote(3);
  votes(kStream, vote.data());
  CHECK(vote.values() == std::vector<uint32_t>{0x49249249, 1, 0});
}

TEST_CASE("machine: atomics") {
  std::vector<int> x(1000), counts(10), totals(3);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i * i % 777);
  const DeviceArray<int> dx(x), dc(counts), dt(totals);
  count_remainders(kStream, 1000, dx.data(), dc.data(), dt.data());
  for (int v : x) ++counts[static_cast<size_t>(v % 10)], totals[0] += v, totals[2] |= v;
  totals[1] = *std::ranges::max_element(x);
  CHECK(dc.values() == counts);
  CHECK(dt.values() == totals);
}

TEST_CASE("machine: blocks and threads in three dimensions") {
  const DeviceArray<uint64_t> out(12 * 32);
  places(kStream, out.data());
  auto got = out.values();
  size_t i = 0;
  for (unsigned bz = 0; bz < 2; ++bz)
    for (unsigned by = 0; by < 2; ++by)
      for (unsigned bx = 0; bx < 3; ++bx)
        for (unsigned tz = 0; tz < 2; ++tz)
          for (unsigned ty = 0; ty < 2; ++ty)
            for (unsigned tx = 0; tx < 8; ++tx)
              CHECK(got[i++] == bx * 100000 + by * 10000 + bz * 1000 + tx * 100 + ty * 10 + tz);
}

TEST_CASE("machine: launches one after the other; each thread has arguments of its own") {
  for (int n : {1, 31, 192, 193, 1000}) {
    const auto x = ramp(static_cast<size_t>(n));
    const DeviceArray<float> dx(x);
    twice_and_one(kStream, n, dx.data(), 3);
    const auto got = dx.values();
    for (size_t i = 0; i < x.size(); ++i) CHECK(got[i] == 8 * x[i] + 7);
  }
}

TEST_CASE("machine: a barrier more than needed does no harm") {
  const auto x = ramp(64);
  const DeviceArray<float> dx(x), dy(64);
  squares(kStream, dx.data(), dy.data());
  const auto y = dy.values();
  for (size_t i = 0; i < 64; ++i) CHECK(y[i] == x[i] * x[i]);
}

TEST_CASE("device arrays with guards tell of writes beyond them") {
  constexpr size_t kGuard = 256;
  using Guarded = DeviceArray<float, kGuard>;
  const Guarded x(std::vector<float>(100, 1));
  twice_and_one(kStream, 100, x.data(), 1);
  CHECK(x.values() == std::vector<float>(100, 3));
  check_cuda(cudaMemset(x.data() + 100, 0, sizeof(float)));
  CHECK_THROWS_WITH(x.values(), "a kernel wrote behind an array");
  const Guarded y(100);
  check_cuda(cudaMemset(y.data() - 1, 0, 1));
  CHECK_THROWS_WITH(y.values(), "a kernel wrote before an array");
}

TEST_CASE("machine: 1024 threads, many barriers") {
  const DeviceArray<int> out(2 * 1024);
  turns(kStream, 2, 20, out.data());
  const auto got = out.values();
  for (int i = 0; i < 2048; ++i)
    CHECK(got[static_cast<size_t>(i)] == (i % 1024 + 1024 - 20) % 1024);
}

}  // namespace expunge::test
