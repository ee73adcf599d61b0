#include "unlearn/methods.h"

#include "unlearn/parameters.h"

namespace expunge::unlearn {
namespace {

template <class Row>
const Row& find(const std::vector<Row>& table, const char* what, const std::string& name) {
  std::vector<std::string> names;
  for (const Row& row : table) {
    if (name == row.name) return row;
    names.emplace_back(row.name);
  }
  fail(ExitCode::usage, "{} '{}' is not known{}", what, name, nearest_hint(name, names));
}

constexpr MethodNumbers kSparse{.alpha = 1e-4},
    kScrub{.alpha = 0.001, .gamma = 0.99, .temperature = 4},
    kScrubMia{.alpha = 0.5, .gamma = 1, .temperature = 4},
    kScrubSmall{.alpha = 0.5, .gamma = 1, .temperature = 2}, kBadTeacher{.temperature = 1},
    kShrink{.fgsm_step = 0.1};

}  // namespace

const std::vector<Preset>& presets() {
  using nn::OptimKind;
  static const std::vector<Preset> table = {
      {"paper", Order::together, OptimKind::adam, 1e-4, 0, 0, 0.95, 30, 256, "none",
       kernels::GateOn::gradient, "arXiv 2511.02435 and its authors' code"},
      {"sparse", Order::together, OptimKind::sgd, 1e-4, 0.9, 5e-4, 0.95, 5, 256, "none",
       kernels::GateOn::gradient, "gradient ascent of Unlearn-Sparse (Jia et al. 2023)"},
      {"salun", Order::in_turn, OptimKind::sgd, 0.013, 0.9, 5e-4, 0.5, 10, 256,
       "saliency-global:0.5", kernels::GateOn::update, "SalUn (Fan et al. 2024), 10 % forgotten"},
      {"l1-sparse", Order::retain_leads, OptimKind::sgd, 0.01, 0.9, 5e-4, 0.95, 10, 256, "none",
       kernels::GateOn::gradient,
       "FT_l1 of Unlearn-Sparse (Jia et al. 2023); alpha as a replication chose it", "constant", 0,
       0, 1, kSparse},
      {"scrub", Order::in_turn, OptimKind::sgd, 5e-4, 0.9, 5e-4, 0.5, 3, 128, "none",
       kernels::GateOn::gradient, "SCRUB (Kurmanji et al. 2023), large scale, CIFAR-10",
       "step:3,5,9", 32, 2, 1, kScrub},
      {"scrub-mia", Order::in_turn, OptimKind::sgd, 5e-4, 0.9, 5e-4, 0.5, 5, 32, "none",
       kernels::GateOn::gradient, "SCRUB's notebook on membership inference, ResNet on CIFAR-10",
       "step:3,5,9", 16, 3, 1, kScrubMia},
      {"scrub-small", Order::in_turn, OptimKind::adam, 5e-4, 0, 0.1, 0.5, 10, 32, "none",
       kernels::GateOn::gradient, "SCRUB (Kurmanji et al. 2023), small scale", "step:5,8,9", 64, 3,
       1, kScrubSmall},
      {"badteacher", Order::mixed, OptimKind::adam, 1e-4, 0, 0, 0.5, 1, 256, "none",
       kernels::GateOn::gradient,
       "bad teaching (Chundawat et al. 2023) as the code of SSD (Foster et al. 2024) runs it",
       "constant", 0, 0, 0.3, kBadTeacher},
      {"boundary-shrink", Order::together, OptimKind::sgd, 1e-5, 0.9, 0, 0.95, 10, 64, "none",
       kernels::GateOn::gradient, "Boundary Unlearning (Chen et al. 2023), its authors' code",
       "constant", 0, 0, 1, kShrink},
      {"boundary-expand", Order::together, OptimKind::sgd, 1e-5, 0.9, 0, 0.95, 10, 64, "none",
       kernels::GateOn::gradient, "Boundary Unlearning (Chen et al. 2023), its authors' code"},
      {"ssd", Order::once, OptimKind::sgd, 0, 0, 0, 0, 1, 64, "none", kernels::GateOn::gradient,
       "Selective Synaptic Dampening (Foster et al. 2024)"},
      {"fisher", Order::once, OptimKind::sgd, 0, 0, 0, 0, 1, 32, "none", kernels::GateOn::gradient,
       "Fisher forgetting (Golatkar et al. 2020) as in Unlearn-Sparse"},
      {"influence", Order::once, OptimKind::sgd, 0, 0, 0, 0, 1, 256, "none",
       kernels::GateOn::gradient, "influence unlearning as in Unlearn-Sparse (Jia et al. 2023)"},
  };
  return table;
}

const Preset& preset(const std::string& name) {
  return find(presets(), "preset", name);
}

const std::vector<Method>& methods() {
  static const std::vector<Method> table = {
      {"ft", nullptr, "ce", false, Prologue::none, "paper", "fine-tuning on the retained samples"},
      {"ga", "ascent", nullptr, false, Prologue::none, "sparse",
       "gradient ascent on the forgotten samples alone"},
      {"ngplus", "ascent", "ce", false, Prologue::none, "paper",
       "ascent on the forgotten samples, descent on the retained (NegGrad+)"},
      {"srl", "random-labels", "ce", true, Prologue::none, "paper",
       "random wrong labels for the forgotten samples"},
      {"salun", "random-labels", "ce", true, Prologue::none, "salun",
       "srl on the half of all weights that matter most to the forgotten samples"},
      {"scrub-paper", "scrub-away", "scrub-keep", true, Prologue::none, "paper",
       "away from the original network's answers on F, near them on R; not the original SCRUB: "
       "its term is no divergence"},
      {"msg", nullptr, "ce", false, Prologue::perturb, "paper",
       "weights with a small gradient on one side or both times N(0, 1), then ft"},
      {"ct", nullptr, "ce", false, Prologue::transpose, "paper", "kernels transposed, then ft"},
      {"ft-l1", nullptr, "ce-l1", false, Prologue::none, "l1-sparse",
       "ft with a penalty on the size of all weights that fades out"},
      {"scrub", "distil-away", "distil-keep", true, Prologue::none, "scrub",
       "away from the original network's answers on F, then near them on R (SCRUB); --rewind for "
       "SCRUB+R"},
      {.name = "badteacher",
       .forget = "imitate-untrained",
       .retain = "imitate-original",
       .saliency_pass = true,
       .prologue = Prologue::none,
       .preset = "badteacher",
       .summary = "an untrained network teaches the forgotten samples, the original the retained",
       .mixed = "imitate-by-side"},
      {"boundary-shrink", "nearest-class", nullptr, true, Prologue::none, "boundary-shrink",
       "forgotten samples take the label behind the nearest decision boundary"},
      {.name = "boundary-expand",
       .forget = "shadow-class",
       .retain = nullptr,
       .saliency_pass = true,
       .prologue = Prologue::none,
       .preset = "boundary-expand",
       .summary = "forgotten samples go to a class more, which is dropped at the end",
       .shadow_class = true},
      {"ssd", nullptr, nullptr, false, Prologue::none, "ssd",
       "shrinks once the weights that matter more to F than to all samples: ssd:10,dampen=1",
       OneShotKind::ssd},
      {"fisher", nullptr, nullptr, false, Prologue::none, "fisher",
       "noise, once, where the Fisher information of R is small: fisher:1e-6", OneShotKind::fisher},
      {"influence", nullptr, nullptr, false, Prologue::none, "influence",
       "one Newton step away from F: influence:1,samples=1000,damping=1,iterations=20,"
       "form=correct|optml",
       OneShotKind::influence},
  };
  return table;
}

const Method& method(const std::string& text) {
  const Method& row = find(methods(), "method", Parameters::name_of(text));
  if (row.one_shot == OneShotKind::none) Parameters(text).finish();
  return row;
}

const std::vector<Compat>& compats() {
  static const std::vector<Compat> table = {
      {"rum", "scrub",
       "RUM's code counts epochs from 0 and so goes through F once more than --forget-epochs"},
      {"comparator", "scrub",
       "Unlearning-Comparator weighs the steps on F by alpha too; in the paper their weight is 1"},
      {"badt", "badteacher",
       "the authors' code takes PyTorch's mean: the divergence is divided by the number of "
       "classes"},
      {"salun", "boundary-expand",
       "SalUn's port begins the class more at PyTorch's values, not at Xavier's with bias 0"},
      {"ufv", "",
       "the code of arXiv 2511.02435: the split comes from --seed, whatever the original's was, "
       "and "
       "images are augmented in the first epoch alone"},
  };
  return table;
}

const Compat& compat(const std::string& name) {
  return find(compats(), "compat", name);
}

}  // namespace expunge::unlearn
