// Vectors of NF_LANES floats in the compiler's own types, which every target of GCC and Clang lowers to
// what it has.  Included once by each ISA's file, inside its namespace: no two ISAs share a function.

constexpr int LANES = NF_LANES;

typedef float Floats __attribute__((vector_size(4 * NF_LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * NF_LANES)));
typedef float UnalignedFloats __attribute__((vector_size(4 * NF_LANES), aligned(4), may_alias));

// A loop of its own function gets the registers for itself.
#define NF_LOOP static __attribute__((noinline))
#define NF_INLINE static inline __attribute__((always_inline))

// Keeps the compiler from reading a vector from memory again for each use, which costs more than the use.
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
  return a > b ? a : b; // GCC makes a comparison and a choice of it
#endif
}
NF_INLINE Floats to_floats(Ints x) { return __builtin_convertvector(x, Floats); }

NF_INLINE Ints lane_numbers() {
  Ints numbers;
  for (int i = 0; i < LANES; ++i) numbers[i] = i;
  return numbers;
}

// Zero in the lanes from `count` on.
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
