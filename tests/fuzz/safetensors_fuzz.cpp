#include "core/safetensors.h"
#include "fuzz/fuzz.h"
#include "nn/model_file.h"
#include "tools/model_card.h"

using namespace expunge;

// What `expunge inspect` and the loading of a model do with a file.
int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  return fuzz::with_file(bytes, size, [](const std::filesystem::path& path) {
    const SafeTensors file = read_safetensors(path);
    tools::read_card(file.metadata, path);
    static nn::Model model = nn::make_model("mlp", {.height = 2, .width = 2, .classes = 2});
    nn::fill_model(file, path, model);
  });
}
