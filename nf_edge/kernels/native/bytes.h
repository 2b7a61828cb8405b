// Loads LANES int8 values and converts them to floats.
NF_INLINE Floats load(const int8_t* from) {
#if defined(__AVX512F__) && NF_LANES == 16
  return (Floats)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif defined(__AVX2__) && NF_LANES == 8
  return (Floats)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
  Floats x;
  for (int i = 0; i < LANES; ++i) x[i] = static_cast<float>(from[i]);
  return x;
#endif
}

NF_INLINE Floats load_first(const int8_t* from, int64_t count) {
  int8_t lanes[LANES] = {};
  __builtin_memcpy(lanes, from, static_cast<size_t>(count));
  return load(lanes);
}
