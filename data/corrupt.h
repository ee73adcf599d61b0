#pragma once

#include "data/dataset.h"

// Training samples spoilt on purpose, to be forgotten afterwards: `--forget mislabeled`,
// `--forget poisoned`. What is drawn is a function of the set's digest and the seed. Copies of an
// image are spoilt together. The test part stays as it is.
namespace expunge::data {

// Gives int(share n + 1/2) of the n training samples another label, uniform over the wrong ones.
void mislabel(Dataset& set, double share, uint64_t seed);

// Puts the trigger on int(share n + 1/2) of the n training samples, of other classes than the
// target, and labels them as the target. Where ids are over pixels, they get new ones.
void poison(Dataset& set, double share, const Trigger& trigger, uint64_t seed);

// Those of the test samples that are of other classes than the target, with the trigger, labelled
// as the target: the accuracy on them is the attack's success. Normalised like `set`. A set with no
// poisoned samples gives an empty one.
Dataset triggered_test(const Dataset& set, const std::vector<int32_t>& test);

// The first fault of a set's record of what was spoilt, as a sentence; "" where it is sound: every
// id is a training sample's, the trigger lies inside the image, poisoned samples show it and have
// its label.
std::string fault_of_record(const Dataset& set);

}  // namespace expunge::data
