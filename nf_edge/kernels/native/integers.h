// Defines the kinds of integer products, and includes the intrinsics' headers.  Each instruction set uses one kind.
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define NF_NO_INTEGERS 0
#define NF_PAIRS_AVX2 1
#define NF_VNNI 2
#define NF_DOTPROD 3
#define NF_I8MM 4
