#include "data/builtin.h"

#include <cmath>

#include "core/check.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "data/builtin_shapes.h"

namespace expunge::data {
namespace {

constexpr int kSide = 32;
constexpr int kTrain = 4000, kTest = 1000;
constexpr uint64_t kSeed = 20260729;

// How hard the set is. Any change changes its digest (tests/data/builtin_test.cpp pins it).
constexpr float kAmbiguous = 0.12f;                       // share of samples that blend two classes
constexpr float kBlendLeast = 0.4f, kBlendMost = 0.6f;    // weight of the other class in those
constexpr float kScaleLeast = 5.0f, kScaleMost = 11.0f;   // half size of the shape, pixels
constexpr float kShift = 6.0f;                            // of its centre, pixels
constexpr float kTurn = 0.13f;                            // tan(angle / 2), so up to 15 degrees
constexpr float kPeriodLeast = 0.5f, kPeriodMost = 0.8f;  // of patterns, half sizes
constexpr float kContrastLeast = 0.18f, kContrastMost = 0.7f;  // between shape and ground
constexpr int kClutterLeast = 3, kClutterMost = 8;             // pieces of clutter
constexpr float kClutterContrast = 0.55f;                      // at most, against the ground
constexpr float kShade = 0.3f;                                 // of the ground, corner to corner
constexpr float kTexture = 0.25f;                              // of the shape's surface
constexpr float kNoiseLeast = 0.02f, kNoiseMost = 0.14f;       // amplitude of pixel noise

// Draws of one sample, one after another.
class Dice {
 public:
  explicit Dice(uint32_t sample) : sample_(sample) {}
  uint32_t word() {
    if (used_ == 4)
      draw_ = rng::philox(kSeed, rng::Purpose::builtin, {{sample_, ++block_, 0, 0}}), used_ = 0;
    return draw_.word[used_++];
  }
  float in(float least, float most) { return least + (most - least) * rng::uniform(word()); }
  int below(int n) { return static_cast<int>(rng::below(word(), static_cast<uint32_t>(n))); }
  bool coin() { return word() >> 31 != 0; }

 private:
  uint32_t sample_, block_ = 0;
  int used_ = 4;
  rng::Draw draw_{};
};

struct Colour {
  float c[3];
};

Colour draw_colour(Dice& dice, float least, float most) {
  Colour colour{};
  for (float& c : colour.c) c = dice.in(least, most);
  return colour;
}

// A colour at about `contrast` from the other in a random direction, the way round that stays in
// [0, 1].
Colour away_from(Dice& dice, const Colour& other, float contrast) {
  Colour direction = draw_colour(dice, -1, 1);
  float length = 0.05f;
  for (const float c : direction.c) length += c * c;
  length = std::sqrt(length);
  Colour colour{};
  for (int i = 0; i < 3; ++i) {
    const float step = direction.c[i] / length * contrast * 1.5f;
    const float up = other.c[i] + step;
    colour.c[i] = up < 0 || up > 1 ? other.c[i] - step : up;
  }
  return colour;
}

struct Picture {
  float pixel[kSide][kSide][3];

  // Puts `colour` over the pixel, `coverage` of it.
  void blend(int y, int x, float coverage, const Colour& colour) {
    for (int c = 0; c < 3; ++c) pixel[y][x][c] += coverage * (colour.c[c] - pixel[y][x][c]);
  }
};

// Where a shape lies: centre, half size, a small rotation.
struct Pose {
  float y, x, scale, cosine, sine, period;

  // Pixels to the shape's coordinates.
  float u(float py, float px) const { return ((px - x) * cosine + (py - y) * sine) / scale; }
  float v(float py, float px) const { return ((py - y) * cosine - (px - x) * sine) / scale; }
};

Pose draw_pose(Dice& dice, float scale_least, float scale_most, float shift) {
  constexpr float kCentre = 0.5f * (kSide - 1);
  Pose pose{};
  pose.y = kCentre + dice.in(-shift, shift);
  pose.x = kCentre + dice.in(-shift, shift);
  pose.scale = dice.in(scale_least, scale_most);
  const float t = dice.in(-kTurn, kTurn);
  pose.cosine = (1 - t * t) / (1 + t * t);
  pose.sine = 2 * t / (1 + t * t);
  pose.period = dice.in(kPeriodLeast, kPeriodMost);
  return pose;
}

void paint_ground(Dice& dice, const Colour& ground, Picture& picture) {
  const Colour down = draw_colour(dice, -kShade, kShade),
               right = draw_colour(dice, -kShade, kShade);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x)
      for (int c = 0; c < 3; ++c)
        picture.pixel[y][x][c] = ground.c[c] + down.c[c] * (static_cast<float>(y) / kSide - 0.5f) +
                                 right.c[c] * (static_cast<float>(x) / kSide - 0.5f);
}

// Little ellipses and bars, anywhere.
void paint_clutter(Dice& dice, const Colour& ground, Picture& picture) {
  const int pieces = kClutterLeast + dice.below(kClutterMost - kClutterLeast + 1);
  for (int piece = 0; piece < pieces; ++piece) {
    const float contrast = dice.in(0, kClutterContrast);
    const Colour colour = away_from(dice, ground, contrast);
    const float cy = dice.in(0, kSide), cx = dice.in(0, kSide);
    const float ry = dice.in(0.7f, 4.0f), rx = dice.in(0.7f, 4.0f);
    const bool bar = dice.coin();
    for (int y = 0; y < kSide; ++y) {
      for (int x = 0; x < kSide; ++x) {
        const float dy = (static_cast<float>(y) - cy) / ry, dx = (static_cast<float>(x) - cx) / rx;
        const bool inside = bar ? dy * dy < 1 && dx * dx < 1 : dy * dy + dx * dx < 1;
        if (inside) picture.blend(y, x, 0.8f, colour);
      }
    }
  }
}

void paint_shape(Dice& dice, int label, const Pose& pose, float weight, const Colour& colour,
                 Picture& picture) {
  const float soft = 1.2f / pose.scale;
  Colour rough = colour;
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      const auto py = static_cast<float>(y), px = static_cast<float>(x);
      const float coverage =
          shape_coverage(label, pose.u(py, px), pose.v(py, px), soft, pose.period);
      if (coverage <= 0) continue;
      const float texture = dice.in(-kTexture, kTexture);
      for (int c = 0; c < 3; ++c) rough.c[c] = colour.c[c] + texture;
      picture.blend(y, x, coverage * weight, rough);
    }
  }
}

void store(Dice& dice, const Picture& picture, uint8_t* pixels) {
  const float noise = dice.in(kNoiseLeast, kNoiseMost);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      for (int c = 0; c < 3; ++c) {
        const float value =
            picture.pixel[y][x][c] + dice.in(-noise, noise) + dice.in(-noise, noise);
        const float bounded = value < 0 ? 0 : value > 1 ? 1 : value;
        *pixels++ = static_cast<uint8_t>(bounded * 255 + 0.5f);
      }
    }
  }
}

void draw_sample(uint32_t sample, int label, uint8_t* pixels) {
  Dice dice(sample);
  Picture picture;
  const Colour ground = draw_colour(dice, 0.1f, 0.9f);
  paint_ground(dice, ground, picture);
  paint_clutter(dice, ground, picture);
  const float contrast = dice.in(kContrastLeast, kContrastMost);
  const Colour colour = away_from(dice, ground, contrast);
  const Pose pose = draw_pose(dice, kScaleLeast, kScaleMost, kShift);
  const bool ambiguous = dice.in(0, 1) < kAmbiguous;
  const int other = (label + 1 + dice.below(kBuiltinClasses - 1)) % kBuiltinClasses;
  const float share = ambiguous ? dice.in(kBlendLeast, kBlendMost) : 0;
  paint_shape(dice, label, pose, 1 - share, colour, picture);
  if (ambiguous) paint_shape(dice, other, pose, share, colour, picture);
  store(dice, picture, pixels);
}

}  // namespace

// Training and test samples come from one distribution: otherwise a membership attack would see the
// difference and not the memory.
Dataset make_builtin() {
  Dataset set;
  set.name = "builtin";
  set.height = set.width = kSide;
  set.channels = 3;
  set.classes.assign(kBuiltinNames.begin(), kBuiltinNames.end());
  set.train_count = kTrain;
  set.test_count = kTest;
  set.pixels.resize(static_cast<size_t>(set.count() * set.image_bytes()));
  for (int64_t i = 0; i < set.count(); ++i) {
    const auto label = static_cast<uint16_t>(i % kBuiltinClasses);
    set.labels.push_back(label);
    set.sources.push_back(fmt::format("{}/{}/{:04}", i < kTrain ? "train" : "test",
                                      set.classes[label], i / kBuiltinClasses));
  }
  parallel_for(set.count(), [&](int64_t i) {
    draw_sample(static_cast<uint32_t>(i), static_cast<int>(i % kBuiltinClasses),
                set.pixels.data() + i * set.image_bytes());
  });
  ids_from_pixels(set);
  summarize(set);
  return set;
}

}  // namespace expunge::data
