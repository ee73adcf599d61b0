#pragma once

namespace expunge::kernels {

// The instruction set that convolution tiles run on, chosen once: the widest this CPU has, or the
// one named by the environment variable EXPUNGE_ISA (baseline, avx2, avx512). Results on different
// ones agree within tolerance, not bit for bit, so runs record it.
enum class Isa : unsigned char { baseline, avx2, avx512 };

Isa isa();  // throws Error(ExitCode::device) where EXPUNGE_ISA asks for what this CPU lacks
const char* isa_name(Isa isa);
inline const char* isa_name() {
  return isa_name(isa());
}
bool isa_supported(Isa isa);

// Tests run every path of this CPU in one process.
void set_isa(Isa isa);

}  // namespace expunge::kernels
