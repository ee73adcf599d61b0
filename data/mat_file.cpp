#include "data/mat_file.h"

#include <cstring>

#include "core/check.h"
#include "core/file.h"

#ifdef EXPUNGE_MATIO
#include <matio.h>

#include <memory>
#endif

namespace expunge::data {
namespace fs = std::filesystem;

#ifndef EXPUNGE_MATIO

bool mat_supported() {
  return false;
}

MatDigits read_mat_digits(const fs::path& path) {
  fail(ExitCode::device,
       "{}: this build cannot read MATLAB files: install matio (Debian package libmatio-dev) and "
       "build again",
       path.string());
}

#else

bool mat_supported() {
  return true;
}

namespace {

constexpr size_t kSide = 32, kPlane = kSide * kSide, kImage = 3 * kPlane;

[[noreturn]] void refuse(const fs::path& path, const std::string& what) {
  fail(ExitCode::input, "{}: {}", path.string(), what);
}

// Walks the elements of the file from its header to its end, before matio sees it: each is a
// matrix, plain or compressed, and lies within the file.
void check_elements(const fs::path& path) {
  InputFile file(path);
  char header[128] = {};
  file.read(header, std::min<uint64_t>(sizeof header, file.size()));
  const std::string_view kind = looks_like(std::string_view(header, sizeof header));
  constexpr char kVersion[] = {0, 1, 'I', 'M'};  // MATLAB 5, little-endian
  if (file.size() < sizeof header || std::memcmp(header + 124, kVersion, sizeof kVersion) != 0)
    refuse(path, fmt::format("is {} of {} bytes, expected a MATLAB 5 file, as SVHN has them", kind,
                             file.size()));
  constexpr uint32_t kMatrix = 14, kCompressed = 15;
  std::string skipped;
  for (uint64_t at = sizeof header; at < file.size();) {
    uint32_t tag[2] = {};
    const uint64_t left = file.size() - at;
    if (left >= sizeof tag) file.read(tag, sizeof tag);
    if (left < sizeof tag || (tag[0] != kMatrix && tag[0] != kCompressed) ||
        tag[1] > left - sizeof tag)
      refuse(path, fmt::format("is damaged at byte {}: no matrix fits there", at));
    skipped.resize(tag[1]);
    file.read(skipped.data(), skipped.size());
    at += sizeof tag + tag[1];
  }
}

struct CloseMat {
  void operator()(mat_t* file) const { Mat_Close(file); }
  void operator()(matvar_t* variable) const { Mat_VarFree(variable); }
};
using Mat = std::unique_ptr<mat_t, CloseMat>;
using Variable = std::unique_ptr<matvar_t, CloseMat>;

std::string dims_text(const matvar_t& v) {
  std::string text;
  for (int i = 0; i < v.rank; ++i)
    text += (i > 0 ? " x " : "") + std::to_string(v.dims[static_cast<size_t>(i)]);
  return text;
}

// A variable's description. Only its header has been read, so a size may still be a lie: more than
// deflate's largest ratio is refused.
Variable find(mat_t* mat, const fs::path& path, const char* name, int rank, uint64_t file_bytes) {
  Variable v(Mat_VarReadInfo(mat, name));
  if (!v) refuse(path, fmt::format("holds no array '{}', expected X and y as SVHN has them", name));
  constexpr uint64_t kDeflate = 1032;
  uint64_t bytes = std::max<size_t>(v->data_size > 0 ? static_cast<size_t>(v->data_size) : 1, 1);
  bool fits = v->rank == rank && v->isComplex == 0;
  for (int i = 0; fits && i < v->rank; ++i) {
    const uint64_t extent = v->dims[static_cast<size_t>(i)];
    fits = extent > 0 && bytes <= file_bytes * kDeflate / extent;
    bytes *= extent;
  }
  if (!fits)
    refuse(path, fmt::format("array '{}' is {}, expected one of rank {} that fits the file", name,
                             dims_text(*v), rank));
  return v;
}

void read_values(mat_t* mat, const fs::path& path, matvar_t& v) {
  if (Mat_VarReadDataAll(mat, &v) != 0 || v.data == nullptr)
    refuse(path, fmt::format("array '{}' cannot be read: it is damaged", v.name));
}

// (h, w, c, n) with h running fastest -> (n, h, w, c)
void interleave(const uint8_t* columns, uint8_t* pixels) {
  for (size_t h = 0; h < kSide; ++h)
    for (size_t w = 0; w < kSide; ++w)
      for (size_t c = 0; c < 3; ++c)
        pixels[(h * kSide + w) * 3 + c] = columns[c * kPlane + w * kSide + h];
}

}  // namespace

MatDigits read_mat_digits(const fs::path& path) {
  check_elements(path);
  Mat_LogInitFunc("expunge", [](int, char*) {});  // what matio says goes into our own sentence
  const uint64_t file_bytes = fs::file_size(path);
  const Mat mat(Mat_Open(path.c_str(), MAT_ACC_RDONLY));
  if (!mat || Mat_GetVersion(mat.get()) != MAT_FT_MAT5)
    refuse(path, "cannot be opened as a MATLAB 5 file");
  const Variable x = find(mat.get(), path, "X", 4, file_bytes),
                 y = find(mat.get(), path, "y", 2, file_bytes);
  const size_t count = x->dims[3];
  if (x->class_type != MAT_C_UINT8 || x->dims[0] != kSide || x->dims[1] != kSide || x->dims[2] != 3)
    refuse(path, fmt::format("array 'X' is {}, expected 32 x 32 x 3 x N of uint8", dims_text(*x)));
  if ((y->class_type != MAT_C_UINT8 && y->class_type != MAT_C_DOUBLE) ||
      y->dims[0] * y->dims[1] != count)
    refuse(path, fmt::format("array 'y' is {}, expected {} labels of uint8 or double",
                             dims_text(*y), count));
  read_values(mat.get(), path, *x);
  read_values(mat.get(), path, *y);
  if (x->nbytes != count * kImage) refuse(path, "array 'X' holds fewer values than it states");

  MatDigits digits{.count = static_cast<int64_t>(count), .pixels = {}, .labels = {}};
  digits.pixels.resize(count * kImage);
  digits.labels.resize(count);
  const auto* columns = static_cast<const uint8_t*>(x->data);
  for (size_t n = 0; n < count; ++n) {
    interleave(columns + n * kImage, digits.pixels.data() + n * kImage);
    const double label = y->class_type == MAT_C_UINT8
                             ? static_cast<double>(static_cast<const uint8_t*>(y->data)[n])
                             : static_cast<const double*>(y->data)[n];
    if (!(label >= 1 && label <= 10) || label != static_cast<int>(label))
      refuse(path, fmt::format("label {} of sample {}, expected 1 to 10", label, n));
    digits.labels[n] = static_cast<uint8_t>(label);
  }
  return digits;
}

#endif

}  // namespace expunge::data
