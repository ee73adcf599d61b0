#pragma once

#include <map>
#include <vector>

#include "data/dataset.h"

namespace expunge::data {

// The set being collected. A sample brings every training sample of its id with it.
class Chosen {
 public:
  Chosen(const Dataset& set, const std::vector<int32_t>& train)
      : set_(set), train_(train), taken_(train.size()) {
    for (size_t i = 0; i < train.size(); ++i)
      by_id_[set.ids[static_cast<size_t>(train[i])]].push_back(i);
  }
  // False where all of them were there already.
  bool add(const SampleId& id) {
    bool any_new = false;
    for (const size_t i : by_id_.at(id)) {
      if (taken_[i]) continue;
      taken_[i] = any_new = true;
      ++count_;
    }
    return any_new;
  }
  bool add(int32_t position) { return add(set_.ids[static_cast<size_t>(position)]); }
  bool trains(const SampleId& id) const { return by_id_.contains(id); }
  int64_t count() const { return count_; }
  std::vector<int32_t> positions() const {
    std::vector<int32_t> out;
    for (size_t i = 0; i < train_.size(); ++i)
      if (taken_[i]) out.push_back(train_[i]);
    return out;
  }

 private:
  const Dataset& set_;
  const std::vector<int32_t>& train_;
  std::vector<bool> taken_;  // by index in train
  std::map<SampleId, std::vector<size_t>> by_id_;
  int64_t count_ = 0;
};

}  // namespace expunge::data
