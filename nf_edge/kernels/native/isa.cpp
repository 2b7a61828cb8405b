#include "isa.h"

#include <cstdlib>
#include <cstring>
#include <string>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace nf {

namespace portable {
extern const Kernel kernel;
}
namespace avx2 {
extern const Kernel kernel;
}
namespace avx512 {
extern const Kernel kernel;
}
namespace avx512vnni {
extern const Kernel kernel;
}
namespace neon {
extern const Kernel kernel;
}
namespace neon_dotprod {
extern const Kernel kernel;
}
namespace neon_i8mm {
extern const Kernel kernel;
}

namespace {

struct Candidate {
  const Kernel* kernel;
  bool runs;
};

// In order of preference; unused entries have runs = false.
struct Candidates {
  Candidate all[4];
};

#if defined(__x86_64__)

Candidates candidates() {
  __builtin_cpu_init();
  const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool wide = fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return {{
      {&avx512vnni::kernel, wide && __builtin_cpu_supports("avx512vnni")},
      {&avx512::kernel, wide},
      {&avx2::kernel, fma},
      {&portable::kernel, true},
  }};
}

#elif defined(__aarch64__)

bool has_i8mm() {
#if defined(__linux__)
  constexpr unsigned long I8MM = 1UL << 13; // HWCAP2_I8MM, which older headers lack
  return (getauxval(AT_HWCAP2) & I8MM) != 0;
#else
  return false;
#endif
}

bool has_dotprod() {
#if defined(__linux__)
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#elif defined(__APPLE__)
  return true; // every 64-bit Mac and each iPhone since the A13
#else
  return false;
#endif
}

Candidates candidates() {
  return {{
      {&neon_i8mm::kernel, has_i8mm() && has_dotprod()},
      {&neon_dotprod::kernel, has_dotprod()},
      {&neon::kernel, true},
      {&portable::kernel, true},
  }};
}

#else

Candidates candidates() { return {{{&portable::kernel, true}}}; }

#endif

} // namespace

const Kernel* chosen_kernel() {
  static const Candidates known = candidates();
  const char* requested = std::getenv("NF_EDGE_ISA");
  for (const Candidate& candidate : known.all)
    if (candidate.runs && (!requested || !*requested || std::strcmp(requested, candidate.kernel->name) == 0))
      return candidate.kernel;
  return nullptr;
}

} // namespace nf

const char* nf_isa_available(void) {
  static const std::string names = [] {
    std::string joined;
    for (const nf::Candidate& candidate : nf::candidates().all)
      if (candidate.runs) joined += (joined.empty() ? "" : " ") + std::string(candidate.kernel->name);
    return joined;
  }();
  return names.c_str();
}

const char* nf_isa_in_use(void) {
  const nf::Kernel* kernel = nf::chosen_kernel();
  return kernel ? kernel->name : nullptr;
}
