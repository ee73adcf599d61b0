#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace expunge {

// How a range's elements are ordered here, and hence how they leave for PyTorch (nn/model_file).
enum class Layout : unsigned char {
  plain,      // same order on both sides
  krsc,       // convolution weight (out, height, width, in) here, (out, in, height, width) there
  after_map,  // linear weight whose columns read a flattened map: (h, w, c) here, (c, h, w) there
};

// What a range is for; optimizer groups and reports ask.
enum class Role : unsigned char { weight, bias, norm };

// A parameter (or a running statistic): elements [offset, offset + size) of the flat buffers.
struct Range {
  std::string name;  // as PyTorch's state_dict spells it: "layer1.0.conv2.weight"
  Shape shape;
  int64_t offset = 0;
  int64_t size = 0;
  Role role = Role::weight;
  Layout layout = Layout::plain;
  Shape map{};  // layout after_map: (height, width, channels) of the map that was flattened
};

// A flat buffer to save and restore with a run: an optimizer's, a statistic's.
struct NamedBuffer {
  std::string name;
  Tensor buffer;
};

// Names and sizes of a set of ranges laid out in one flat buffer. Every range starts on a 256-byte
// boundary; padding between ranges is zero in every buffer and never counted, ranked or drawn.
class RangeTable {
 public:
  int add(Range range);  // fills offset and size; returns the index
  const Range& operator[](int i) const { return ranges_[static_cast<size_t>(i)]; }
  int count() const { return static_cast<int>(ranges_.size()); }
  auto begin() const { return ranges_.begin(); }
  auto end() const { return ranges_.end(); }
  int find(std::string_view name) const;         // -1 where absent
  int64_t padded_size() const { return size_; }  // elements of a flat buffer
  int64_t size() const;                          // elements without padding

 private:
  static constexpr int64_t kAlign = 64;  // floats: 256 bytes
  std::vector<Range> ranges_;
  int64_t size_ = 0;
};

// Everything a model learns in one flat buffer, and its running statistics in another. Gradients,
// momentum, masks and anchors are further flat buffers of the same layout, owned by whoever needs
// them.
class ParamStore {
 public:
  // While the model is built; both throw once allocate() ran.
  int add_parameter(Range range);
  int add_statistic(Range range);  // batch norm's running mean and variance

  void allocate(Stream stream = {});  // zeroed buffers
  void move_to(Stream stream);        // both buffers; views of before stay where they were

  const RangeTable& parameters() const { return parameters_; }
  const RangeTable& statistics() const { return statistics_; }
  Tensor values() const { return values_; }           // (parameters().padded_size())
  Tensor statistic_values() const { return stats_; }  // (statistics().padded_size())
  Tensor value(int parameter) const { return view(values_, parameters_[parameter]); }
  Tensor statistic(int i) const { return view(stats_, statistics_[i]); }

  Tensor make_buffer() const;  // a zeroed flat buffer of the parameters' layout
  static Tensor view(const Tensor& flat, const Range& range) {
    return flat.slice(range.offset, range.shape);
  }

  ParamStore clone() const;  // its own copy of both buffers
  // A copy in which the named parameters have the given ranges' shapes instead (a class more in the
  // last layer, say): elements that both have, by index along the first dimension, are kept; new
  // ones are zero.
  ParamStore clone_with(std::span<const Range> changed) const;

 private:
  RangeTable parameters_, statistics_;
  Tensor values_, stats_;
};

}  // namespace expunge
