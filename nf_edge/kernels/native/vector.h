// Vectors of NF_LANES floats in the compiler's vector types, which GCC and Clang support on every CPU.  Each
// instruction set's file includes this once, inside its namespace, so that they share no function.

constexpr int LANES = NF_LANES;

typedef float Floats __attribute__((vector_size(4 * NF_LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * NF_LANES)));
typedef float UnalignedFloats __attribute__((vector_size(4 * NF_LANES), aligned(4), may_alias));

// A separate function gives its loop all registers.
#define NF_LOOP static __attribute__((noinline))
#define NF_INLINE static inline __attribute__((always_inline))

// Keeps a vector in a register: reading it from memory for each use would take longer than the use.
#if defined(__x86_64__)
#define NF_KEEP_IN_REGISTER(x) asm("" : "+v"(x))
#elif defined(__aarch64__)
#define NF_KEEP_IN_REGISTER(x) asm("" : "+w"(x))
#else
#define NF_KEEP_IN_REGISTER(x)
#endif

NF_INLINE Floats splat(float x) { return Floats{} + x; }
NF_INLINE Ints splat(int32_t x) { return Ints{} + x; }
NF_INLINE Floats load(const float* from) { return *reinterpret_cast<const UnalignedFloats*>(from); }
NF_INLINE void store(float* to, Floats x) { *reinterpret_cast<UnalignedFloats*>(to) = x; }
NF_INLINE Floats larger(Floats a, Floats b) {
#if defined(__AVX512F__) && NF_LANES == 16
  return (Floats)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && NF_LANES == 8
  return (Floats)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__aarch64__)
  return (Floats)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
#else
  return a > b ? a : b; // GCC compiles this to a comparison and a selection
#endif
}
NF_INLINE Floats to_floats(Ints x) { return __builtin_convertvector(x, Floats); }

NF_INLINE Ints lane_numbers() {
  Ints numbers;
  for (int i = 0; i < LANES; ++i) numbers[i] = i;
  return numbers;
}

// Loads `count` floats; the other lanes are zero.
NF_INLINE Floats load_first(const float* from, int64_t count) {
  float lanes[LANES] = {};
  __builtin_memcpy(lanes, from, sizeof(float) * static_cast<size_t>(count));
  return load(lanes);
}

NF_INLINE float sum_of(Floats x) {
  float sum = 0;
  for (int i = 0; i < LANES; ++i) sum += x[i];
  return sum;
}
