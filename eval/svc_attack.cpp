#include "eval/svc_attack.h"

#include <libsvm/svm.h>

#include <algorithm>

#include "core/parallel.h"

namespace expunge::eval {
namespace {

constexpr double kC = 3, kTolerance = 1e-3;
constexpr double kCacheMegabytes = 100;  // of a fit; with 500 a fit of 20,000 took as long
constexpr double kNonMember = 0, kMember = 1;

// A row as libsvm wants it: (index from 1, value) pairs and an index of -1.
void append(std::vector<svm_node>& nodes, std::span<const double> row) {
  int index = 0;
  for (const double value : row) nodes.push_back({++index, value});
  nodes.push_back({-1, 0});
}

svm_parameter parameters(int64_t width) {
  svm_parameter p{};
  p.svm_type = C_SVC;
  p.kernel_type = RBF;
  p.gamma = 1.0 / static_cast<double>(width);
  p.C = kC;
  p.cache_size = kCacheMegabytes;
  p.eps = kTolerance;
  p.shrinking = 1;
  return p;
}

}  // namespace

struct SvcClassifier::Impl {
  int64_t width = 0;
  std::vector<svm_node> nodes;  // the model points into them
  std::vector<svm_node*> rows;
  std::vector<double> labels;
  svm_model* model = nullptr;

  ~Impl() { svm_free_and_destroy_model(&model); }
};

// Non-members come first: libsvm's first class is the positive one, and scikit-learn sorts classes.
SvcClassifier::SvcClassifier(const Features& members, const Features& non_members)
    : impl_(std::make_unique<Impl>()) {
  EXPUNGE_CHECK(
      members.width == non_members.width && members.samples() > 0 && non_members.samples() > 0,
      "svc: {} members of width {}, {} non-members of width {}", members.samples(), members.width,
      non_members.samples(), non_members.width);
  Impl& s = *impl_;
  s.width = members.width;
  for (int64_t i = 0; i < non_members.samples(); ++i) append(s.nodes, non_members.row(i));
  for (int64_t i = 0; i < members.samples(); ++i) append(s.nodes, members.row(i));
  s.labels.assign(static_cast<size_t>(non_members.samples()), kNonMember);
  s.labels.resize(s.labels.size() + static_cast<size_t>(members.samples()), kMember);
  for (size_t i = 0; i < s.labels.size(); ++i)
    s.rows.push_back(s.nodes.data() + i * static_cast<size_t>(s.width + 1));
  svm_problem problem{static_cast<int>(s.labels.size()), s.labels.data(), s.rows.data()};
  const svm_parameter parameter = parameters(s.width);
  svm_set_print_string_function([](const char*) {});
  const char* fault = svm_check_parameter(&problem, &parameter);
  EXPUNGE_CHECK(fault == nullptr, "svc: {}", fault);
  s.model = svm_train(&problem, &parameter);
}

SvcClassifier::~SvcClassifier() = default;

std::vector<double> SvcClassifier::decisions(const Features& x) const {
  constexpr int64_t kRows = 64;  // a chunk of work
  EXPUNGE_CHECK(x.width == impl_->width, "svc: fitted to width {}, got {}", impl_->width, x.width);
  std::vector<double> out(static_cast<size_t>(x.samples()));
  parallel_for((x.samples() + kRows - 1) / kRows, [&](int64_t chunk) {
    std::vector<svm_node> nodes;
    for (int64_t i = chunk * kRows; i < std::min((chunk + 1) * kRows, x.samples()); ++i) {
      nodes.clear();
      append(nodes, x.row(i));
      double non_member = 0;
      svm_predict_values(impl_->model, nodes.data(), &non_member);
      out[static_cast<size_t>(i)] = -non_member;
    }
  });
  return out;
}

int64_t SvcClassifier::called_member(const Features& x) const {
  const std::vector<double> values = decisions(x);
  return std::count_if(values.begin(), values.end(), [](double d) { return d >= 0; });
}

SvcAttack svc_attack(const Features& retain, const Features& test, const Features& forget) {
  const SvcAttackOn one{retain, test, forget};
  return svc_attacks({&one, 1}).front();
}

std::vector<SvcAttack> svc_attacks(std::span<const SvcAttackOn> of,
                                   const std::function<bool()>& go_on) {
  struct Attack {
    Features members;
    std::unique_ptr<SvcClassifier> svc;
  };
  std::vector<Attack> attacks(of.size());
  for (size_t i = 0; i < of.size(); ++i) {
    EXPUNGE_CHECK(of[i].forget.samples() > 0, "svc: no forget samples");
    attacks[i].members = of[i].retain.first(std::min(of[i].retain.samples(), of[i].test.samples()));
  }
  parallel_for(std::ssize(of), [&](int64_t k) {
    const auto i = static_cast<size_t>(k);
    if (!go_on || go_on())
      attacks[i].svc = std::make_unique<SvcClassifier>(attacks[i].members, of[i].test);
  });
  if (std::ranges::any_of(attacks, [](const Attack& a) { return a.svc == nullptr; })) return {};
  std::vector<SvcAttack> found;
  for (size_t i = 0; i < of.size(); ++i) {
    const auto share = [&](const Features& x) {
      return static_cast<double>(attacks[i].svc->called_member(x)) /
             static_cast<double>(x.samples());
    };
    found.push_back({share(of[i].forget), (share(attacks[i].members) + 1 - share(of[i].test)) / 2});
  }
  return found;
}

}  // namespace expunge::eval
