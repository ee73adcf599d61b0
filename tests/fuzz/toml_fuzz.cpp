#include "fuzz/fuzz.h"
#include "tools/config_file.h"

using namespace expunge;

// A configuration file: what is wrong with it is exit code 2. What was read can be written and
// read.
int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  return fuzz::with_file(
      bytes, size,
      [](const std::filesystem::path& path) {
        tools::Settings settings("train");
        tools::read_config(path, tools::Source::file, settings);
        const std::string text = settings.to_toml();
        tools::Settings again("train");
        fuzz::with_file(
            reinterpret_cast<const uint8_t*>(text.data()), text.size(),
            [&](const std::filesystem::path& written) {
              tools::read_config(written, tools::Source::file, again);
              if (again.to_toml() != text) throw std::logic_error("reads otherwise than it was");
            },
            0);
      },
      2);
}
