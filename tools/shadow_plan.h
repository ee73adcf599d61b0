#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tools/experiment.h"

namespace expunge::tools {

// A run that U-LiRA needs, be it there or not.
struct ShadowRun {
  std::filesystem::path folder;
  Settings settings;                // what its configuration comes to, but where it comes from
  std::vector<std::string> flags;   // that lead to these settings: "--lr=0.1"
  std::vector<std::string> forget;  // ids, ascending
  std::filesystem::path from = {};  // of unlearning: the run that it starts from
};

// Shadow k of an unlearning run that took F out of a network trained on R + F: the same recipe on R
// and a half H_k of F, then the same unlearning of H_k; with a seed of its own.
struct Shadow {
  std::string name;  // "007"
  ShadowRun original, unlearned;
};

struct ShadowPlan {
  std::filesystem::path originals, unlearned;  // folders of all of them
  std::string data_digest;
  std::vector<Shadow> shadows;  // 2j and 2j + 1 have opposite halves
  // (N, S) 1 where the sample of F is in H_k; S as experiment.forgotten
  std::vector<uint8_t> forgotten;
};

// --shadows odd, options of U-LiRA without it: ExitCode::usage.
void check_shadow_options(const Settings& eval);
bool wants_ulira(const Settings& eval);

// Halves and seeds depend on data, F and k alone; so do the folders of the originals, by default:
// what was unlearned from one network in several ways has them in common, and N shadows are the
// first ones of more. A run that cannot be repeated with other samples: ExitCode::input.
ShadowPlan plan_shadows(const LoadedRun& run, const Settings& eval);

// Whether the run is there and finished. One of other settings or samples: ExitCode::input.
bool is_finished(const ShadowRun& run, const std::string& data_digest);

}  // namespace expunge::tools
