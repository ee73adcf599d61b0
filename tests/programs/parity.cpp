// Runs a network on weights and batches that tools/golden.py wrote:
//   expunge_parity MODEL WEIGHTS BATCHES OUT sgd|adam LR
#include "support/parity.h"

#include <fmt/core.h>

#include <string>

#include "nn/model_file.h"

int main(int argc, char** argv) {
  using namespace expunge;
  try {
    if (argc != 7) fail(ExitCode::usage, "expunge_parity MODEL WEIGHTS BATCHES OUT sgd|adam LR");
    nn::Model model = nn::make_model(argv[1], nn::InputSpec{});
    nn::load_model(argv[2], model);
    const SafeTensors batches = read_safetensors(argv[3]);
    const NamedTensor *x = batches.find("x"), *labels = batches.find("labels");
    if (x == nullptr || labels == nullptr) fail(ExitCode::input, "{}: no x or labels", argv[3]);
    write_safetensors(argv[4], test::parity(model, *x, *labels, argv[5], std::stod(argv[6])), {});
  } catch (const std::exception& error) {
    fmt::print(stderr, "expunge_parity: {}\n", error.what());
    return 1;
  }
  return 0;
}
