#include "core/param_store.h"

#include <algorithm>

namespace expunge {

int RangeTable::add(Range range) {
  EXPUNGE_CHECK(find(range.name) < 0, "parameter {}: the name is taken", range.name);
  range.offset = size_;
  range.size = range.shape.size();
  size_ += (range.size + kAlign - 1) / kAlign * kAlign;
  ranges_.push_back(std::move(range));
  return count() - 1;
}

int RangeTable::find(std::string_view name) const {
  const auto it = std::ranges::find(ranges_, name, &Range::name);
  return it == ranges_.end() ? -1 : static_cast<int>(it - ranges_.begin());
}

int64_t RangeTable::size() const {
  int64_t n = 0;
  for (const Range& range : ranges_) n += range.size;
  return n;
}

int ParamStore::add_parameter(Range range) {
  EXPUNGE_CHECK(!values_, "parameter {}: the buffers are allocated already", range.name);
  return parameters_.add(std::move(range));
}

int ParamStore::add_statistic(Range range) {
  EXPUNGE_CHECK(!values_, "statistic {}: the buffers are allocated already", range.name);
  return statistics_.add(std::move(range));
}

void ParamStore::allocate(Stream stream) {
  values_ = Tensor::zeros({parameters_.padded_size()}, DType::f32, stream);
  stats_ = Tensor::zeros({statistics_.padded_size()}, DType::f32, stream);
}

Tensor ParamStore::make_buffer() const {
  return Tensor::zeros({parameters_.padded_size()}, DType::f32, values_.stream());
}

void ParamStore::move_to(Stream stream) {
  values_ = values_.to(stream);
  stats_ = stats_.to(stream);
}

ParamStore ParamStore::clone() const {
  ParamStore copy = *this;
  copy.values_ = values_.clone();
  copy.stats_ = stats_.clone();
  return copy;
}

ParamStore ParamStore::clone_with(std::span<const Range> changed) const {
  ParamStore copy;
  for (const Range& range : parameters_) {
    const auto it = std::ranges::find(changed, range.name, &Range::name);
    copy.parameters_.add(it == changed.end() ? range : *it);
  }
  copy.statistics_ = statistics_;
  copy.allocate(values_.stream());
  copy.stats_.copy_from(stats_);
  for (int i = 0; i < parameters_.count(); ++i) {
    const Tensor from = value(i), to = copy.value(i);
    EXPUNGE_CHECK(from.rank() == to.rank(), "clone_with: {} is {}, not {}", parameters_[i].name,
                  from.shape().str(), to.shape().str());
    for (int d = 1; d < from.rank(); ++d)
      EXPUNGE_CHECK(from.dim(d) == to.dim(d),
                    "clone_with: {} may differ in its first dimension only", parameters_[i].name);
    const Shape both{std::min(from.size(), to.size())};
    to.slice(0, both).copy_from(from.slice(0, both));
  }
  return copy;
}

}  // namespace expunge
