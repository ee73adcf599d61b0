#include "data/image.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "core/rng.h"
#include "data/image_budget.h"
#include "support/error.h"
#include "support/temp_dir.h"
#include "tests/data/image_files.h"

using namespace expunge;
using namespace expunge::data;
using namespace expunge::test;

TEST_CASE("image: a PNG gives its exact pixels, a JPEG nearly") {
  const Image png = decode_image(png_bytes(8, 6, 1));
  CHECK(png.size == ImageSize{8, 6});
  CHECK(png.pixels == picture(8, 6, 1));
  std::string smooth = jpeg_bytes(16, 24, 2);
  CHECK(decode_image(smooth).size == ImageSize{16, 24});
  CHECK(decode_image(smooth).pixels.size() == 16 * 24 * 3);
  CHECK(image_size(smooth) == ImageSize{16, 24});
}

TEST_CASE("image: R13: cut short at any length is refused") {
  for (const std::string& whole : {png_bytes(8, 6, 1), jpeg_bytes(8, 6, 1)})
    for (size_t n = 0; n < whole.size(); ++n)
      REQUIRE(error_code([&] { decode_image(whole.substr(0, n)); }) == ExitCode::input);
}

TEST_CASE("image: R13: any damaged byte gives pixels or a refusal, never a crash") {
  for (const std::string& whole : {png_bytes(8, 6, 1), jpeg_bytes(8, 6, 1)}) {
    for (size_t i = 0; i < whole.size(); ++i) {
      for (const int flip : {0x01, 0x80, 0xFF}) {
        std::string damaged = whole;
        damaged[i] = static_cast<char>(damaged[i] ^ flip);
        const ExitCode code = error_code([&] { decode_image(damaged); });
        REQUIRE((code == ExitCode::done || code == ExitCode::input));
      }
    }
  }
}

TEST_CASE("image: random bytes behind a valid signature are refused or decoded") {
  for (uint32_t n = 0; n < 2000; ++n) {
    std::string bytes = n % 2 == 0 ? png_bytes(8, 6, 1) : jpeg_bytes(8, 6, 1);
    for (uint32_t k = 0; k < 8; ++k) {
      const rng::Draw draw = rng::philox(7, rng::Purpose::test, {{n, k, 0, 0}});
      bytes[rng::below(draw.word[0], static_cast<uint32_t>(bytes.size()))] =
          static_cast<char>(draw.word[1]);
    }
    const ExitCode code = error_code([&] { decode_image(bytes); });
    REQUIRE((code == ExitCode::done || code == ExitCode::input));
  }
}

TEST_CASE("image: R13: a header that claims a huge picture is refused before memory is taken") {
  CHECK(contains(error_text([&] { decode_image(png_header(60000, 60000)); }),
                 "more than 16384 pixels per side"));
  CHECK(contains(error_text([&] { decode_image(png_header(16384, 16384)); }), "16384 x 16384"));
  CHECK(error_code([&] { decode_image(png_header(16384, 4096)); }) == ExitCode::input);
  CHECK(error_code([&] { decode_image(png_header(0, 10)); }) == ExitCode::input);
  std::string jpeg = jpeg_bytes(8, 6, 1);
  const size_t frame = jpeg.find("\xFF\xC0");
  jpeg.replace(frame + 5, 4, "\xFF\xFF\xFF\xFF");
  CHECK(error_code([&] { decode_image(jpeg); }) == ExitCode::input);
}

TEST_CASE("image: a Huffman table of more than 256 codes is refused before the decoder sees it") {
  std::string jpeg = jpeg_bytes(8, 6, 1);
  const size_t table = jpeg.find("\xFF\xC4");
  REQUIRE(table != jpeg.npos);
  for (size_t i = 0; i < 16; ++i) jpeg[table + 5 + i] = '\xFF';
  CHECK(contains(error_text([&] { decode_image(jpeg); }), "cut short or damaged"));
}

TEST_CASE("image: other formats are named") {
  CHECK(error_text([] { decode_image(""); }) == "is empty, expected a JPEG or PNG image");
  CHECK(contains(error_text([] { decode_image("GIF89a..."); }), "is a GIF image"));
  CHECK(contains(error_text([] { decode_image("<html>404"); }), "is an HTML page"));
  CHECK(contains(error_text([] { decode_image("P6 1 1 255 abc"); }), "expected a JPEG or PNG"));
  CHECK(contains(error_text([] { decode_image("#?RADIANCE\n"); }), "is an HDR image"));
  TempDir dir;
  put_file(dir / "a.png", "BMxxxx");
  CHECK(error_text([&] { read_image(dir / "a.png"); }) ==
        (dir / "a.png").string() + ": is a BMP image, expected a JPEG or PNG image");
}

TEST_CASE("image budget: zeroes, limits and frees what is left") {
  ImageBudget budget(1000);
  auto* a = static_cast<char*>(ImageBudget::allocate(600));
  REQUIRE(a != nullptr);
  for (int i = 0; i < 600; ++i) REQUIRE(a[i] == 0);
  CHECK(ImageBudget::allocate(401) == nullptr);
  a[0] = 'x';
  CHECK(ImageBudget::reallocate(a, 500) == nullptr);  // both live for a moment
  ImageBudget::release(a);
  auto* b = static_cast<char*>(ImageBudget::allocate(100));
  b[0] = 'y';
  auto* c = static_cast<char*>(ImageBudget::reallocate(b, 200));
  REQUIRE(c != nullptr);
  CHECK(c[0] == 'y');
  CHECK(c[150] == 0);
  CHECK(ImageBudget::allocate(800) != nullptr);
  CHECK(ImageBudget::allocate(SIZE_MAX) == nullptr);
}
