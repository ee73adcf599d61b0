#include "data/loader.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "core/check.h"
#include "core/parallel.h"
#include "data/draw_order.h"
#include "kernels/augment.h"

namespace expunge::data {
namespace {

constexpr uint32_t kPadding = 4;  // a crop lies up to this far outside

kernels::Jitter draw_jitter(const LoaderConfig& config, uint32_t epoch, const SampleId& id) {
  uint32_t key[2];
  std::memcpy(key, id.bytes.data(), sizeof key);
  const rng::Draw draw =
      rng::philox(config.seed, rng::Purpose::augment, {{epoch, key[0], key[1], 0}});
  const auto offset = [](uint32_t word) {
    return static_cast<int32_t>(rng::below(word, 2 * kPadding + 1)) - int32_t{kPadding};
  };
  kernels::Jitter jitter;
  if (config.crop) jitter.dy = offset(draw.word[0]), jitter.dx = offset(draw.word[1]);
  if (config.flip) jitter.flip = draw.word[2] >> 31 != 0;
  return jitter;
}

// Room for one batch; a short last batch is a view of its front.
struct Slot {
  Tensor x, labels;
  // (4 n) of a batch of n: positions, then n kernels::Jitter; sent in one piece to where x is
  Tensor moves, moves_there;
};
constexpr int64_t kJitterWords = sizeof(kernels::Jitter) / sizeof(int32_t);
static_assert(kJitterWords * sizeof(int32_t) == sizeof(kernels::Jitter) &&
              alignof(kernels::Jitter) <= alignof(int32_t));
constexpr int64_t kMoveWords = 1 + kJitterWords;

kernels::Jitter* jitter_of(const Tensor& moves) {
  return reinterpret_cast<kernels::Jitter*>(moves.as<int32_t>() + moves.size() / kMoveWords);
}

}  // namespace

void parse_augment(const std::string& text, LoaderConfig& config) {
  config.crop = config.flip = false;
  if (text == "none") return;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    bool* flag = part == "crop" ? &config.crop : part == "flip" ? &config.flip : nullptr;
    if (flag == nullptr || *flag)
      fail(ExitCode::usage, "augment \"{}\": expected none, crop, flip or crop,flip", text);
    *flag = true;
    begin = end + 1;
  }
}

struct Loader::Impl final : ImageMaker {
  Impl(const Dataset& data, LoaderConfig&& wanted)
      : set(data), config(std::move(wanted)), prefetch_job{this} {}

  struct Job {
    Impl* impl;
    void operator()() const { impl->fill(impl->next_batch); }
  };

  int64_t samples() const {
    const int64_t all = std::ssize(config.positions);
    return config.last == LastBatch::keep ? all : all / config.batch_size * config.batch_size;
  }
  int64_t batches() const { return (samples() + config.batch_size - 1) / config.batch_size; }
  int64_t size_of_batch(int64_t batch) const {
    return std::min(config.batch_size, samples() - batch * config.batch_size);
  }
  // Without a worker no batch is made ahead, and one place does: a GPU finds each where it found
  // the one before, as a recorded step wants it.
  Slot& slot_of(int64_t batch) { return slots[worker ? batch % 2 : 0]; }

  void make_slots() {
    const int64_t n = std::min(config.batch_size, samples());
    for (Slot& slot : std::span(slots, worker ? 2 : 1)) {
      slot.x = Tensor({n, set.height, set.width, set.channels}, DType::f32, config.stream);
      slot.labels = Tensor({n}, DType::i32);
      slot.moves = slot.moves_there = Tensor({kMoveWords * n}, DType::i32);
      if (on_gpu()) slot.moves_there = Tensor(slot.moves.shape(), DType::i32, config.stream);
    }
  }

  bool on_gpu() const { return config.stream.device == Device::cuda; }

  // All but the images.
  void gather(int64_t batch) {
    Slot& slot = slot_of(batch);
    const int64_t n = size_of_batch(batch);
    const int32_t* from = order.data() + batch * config.batch_size;
    const Tensor moves = slot.moves.slice(0, {kMoveWords * n});
    auto *labels = slot.labels.as<int32_t>(), *index = moves.as<int32_t>();
    auto* jitter = jitter_of(moves);
    for (int64_t i = 0; i < n; ++i) {
      const auto position = static_cast<size_t>(from[i]);
      index[i] = from[i];
      labels[i] = set.labels[position];
      jitter[i] = draw_jitter(config, epoch, set.ids[position]);
    }
    if (on_gpu()) slot.moves_there.slice(0, moves.shape()).copy_from(moves);
  }

  void make_images(const Slot& slot, int64_t n) const {
    const Stream stream = config.stream;
    const Tensor moves = slot.moves_there.slice(0, {kMoveWords * n});
    kernels::augment(stream, {set.height, set.width, set.channels, set.mean.data(), set.std.data()},
                     n, set.pixels_at(stream), moves.as<int32_t>(), jitter_of(moves),
                     slot.x.data());
  }

  void make(const Batch& batch) const override { make_images(slots[0], batch.size()); }

  void fill(int64_t batch) {
    gather(batch);
    make_images(slot_of(batch), size_of_batch(batch));
  }

  // The batch that was filled or gathered last.
  void hand_out(Batch& batch) {
    const int64_t n = size_of_batch(next_batch);
    const Slot& slot = slot_of(next_batch);
    batch = {.x = slot.x.slice(0, {n, set.height, set.width, set.channels}),
             .labels = slot.labels.slice(0, {n}),
             .index = slot.moves.slice(0, {n})};
    ++next_batch;
  }

  bool has_next() const {
    EXPUNGE_CHECK(next_batch != INT64_MAX, "loader: next before start");
    return next_batch < batches();
  }
  void fill_ahead() {
    if (next_batch >= batches()) return;
    if (worker) worker->start(prefetch_job);
  }

  const Dataset& set;
  const LoaderConfig config;
  std::vector<int32_t> order;
  Slot slots[2];
  uint32_t epoch = 0;
  int64_t next_batch = INT64_MAX;  // no epoch was started
  Job prefetch_job;
  std::unique_ptr<Worker> worker;  // last member: its destructor waits for the job
};

Loader::Loader(const Dataset& set, LoaderConfig config)
    : impl_(std::make_unique<Impl>(set, std::move(config))) {
  const LoaderConfig& checked = impl_->config;
  if (checked.batch_size < 1)
    fail(ExitCode::usage, "batch size {}: expected at least 1", checked.batch_size);
  if (!checked.positions.empty() && samples() == 0)
    fail(ExitCode::usage, "batch size {}: there are only {} samples and short batches are dropped",
         checked.batch_size, checked.positions.size());
  for (const int32_t position : checked.positions)
    EXPUNGE_CHECK(position >= 0 && position < set.count(), "loader: position {} of {} samples",
                  position, set.count());
  if (checked.prefetch && checked.stream.device == Device::cpu)
    impl_->worker = std::make_unique<Worker>();
  impl_->make_slots();
}

Loader::~Loader() = default;

int64_t Loader::samples() const {
  return impl_->samples();
}

int64_t Loader::batches() const {
  return impl_->batches();
}

void Loader::start(int epoch, int64_t first_batch) {
  Impl& impl = *impl_;
  EXPUNGE_CHECK(first_batch >= 0 && first_batch <= batches(), "loader: start at batch {} of {}",
                first_batch, batches());
  if (impl.worker) impl.worker->wait();
  impl.epoch = static_cast<uint32_t>(epoch);
  impl.order = impl.config.positions;
  if (impl.config.shuffle)
    shuffle_keyed(impl.order, impl.config.seed, rng::Purpose::shuffle, impl.epoch);
  impl.next_batch = first_batch;
  impl.fill_ahead();
}

bool Loader::next(Batch& batch) {
  Impl& impl = *impl_;
  if (!impl.has_next()) return false;
  if (impl.worker)
    impl.worker->wait();
  else
    impl.fill(impl.next_batch);
  impl.hand_out(batch);
  impl.fill_ahead();
  return true;
}

bool Loader::next_unmade(Batch& batch) {
  Impl& impl = *impl_;
  if (!impl.on_gpu()) return next(batch);
  if (!impl.has_next()) return false;
  impl.gather(impl.next_batch);
  impl.hand_out(batch);
  batch.maker = impl_.get();
  return true;
}

}  // namespace expunge::data
