#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "eval/features.h"
#include "eval/spread.h"

namespace expunge::eval {

// C-SVC with the kernel exp(-gamma |x - x'|^2), C = 3, gamma = 1 / width, tolerance 1e-3,
// shrinking: scikit-learn's SVC(C=3, gamma="auto"), by the library that is behind it (libsvm; Chang
// & Lin 2011). Fitting takes time between linear and quadratic in the number of samples, and cannot
// be interrupted.
class SvcClassifier {
 public:
  SvcClassifier(const Features& members, const Features& non_members);  // neither empty
  ~SvcClassifier();
  SvcClassifier(const SvcClassifier&) = delete;
  SvcClassifier& operator=(const SvcClassifier&) = delete;

  // One value a row; "member" is >= 0.
  std::vector<double> decisions(const Features& x) const;
  int64_t called_member(const Features& x) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The membership attack of Unlearn-Saliency (SVC_MIA): members are the first min(|R|, |T|) retained
// samples, non-members all of T, and the answer is asked for F. None of them empty.
// Unlearn-Saliency prints 1 - member_share as "MIA".
struct SvcAttack {
  double member_share = kNotMeasured;  // of F
  // On the attack's own training samples, mean of both sides: 0.5 where it sees nothing.
  double training_accuracy = kNotMeasured;
};
SvcAttack svc_attack(const Features& retain, const Features& test, const Features& forget);

// The same for several features of the samples, fitted side by side: a fit is one thread's work.
// `go_on` is asked before each fit, by whoever does it; where it says no, nothing is returned.
struct SvcAttackOn {
  Features retain, test, forget;
};
std::vector<SvcAttack> svc_attacks(std::span<const SvcAttackOn> of,
                                   const std::function<bool()>& go_on = {});

}  // namespace expunge::eval
