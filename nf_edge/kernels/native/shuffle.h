// Exchanges of lanes between vectors, for any number of lanes.

template <int STEP, int... LANE>
struct Exchange {
  // Lanes whose index has the bit STEP clear come from a, the others from b.
  NF_INLINE Floats keep(Floats a, Floats b) {
    return __builtin_shufflevector(a, b, ((LANE & STEP) ? LANES + LANE : LANE)...);
  }
  // Lanes with the bit clear get a's lane STEP higher; the others get b's lane STEP lower.
  NF_INLINE Floats cross(Floats a, Floats b) {
    return __builtin_shufflevector(a, b, ((LANE & STEP) ? LANES + (LANE ^ STEP) : (LANE ^ STEP))...);
  }
  // For a transpose: a's lanes with the bit clear, and b's lanes with the bit clear moved up by STEP.
  NF_INLINE Floats low(Floats a, Floats b) {
    return __builtin_shufflevector(a, b, ((LANE & STEP) ? LANES + (LANE ^ STEP) : LANE)...);
  }
  // For a transpose: b's lanes with the bit set, and a's lanes with the bit set moved down by STEP.
  NF_INLINE Floats high(Floats a, Floats b) {
    return __builtin_shufflevector(a, b, ((LANE & STEP) ? LANES + LANE : (LANE ^ STEP))...);
  }
};

template <int STEP, int COUNT, int... LANE>
struct ExchangeOf : ExchangeOf<STEP, COUNT - 1, COUNT - 1, LANE...> {};
template <int STEP, int... LANE>
struct ExchangeOf<STEP, 0, LANE...> : Exchange<STEP, LANE...> {};

// Lane i of the result is the sum of vector i.
template <int STEP = 1>
NF_INLINE Floats sums_of(Floats* x) {
  if constexpr (STEP < LANES) {
    typedef ExchangeOf<STEP, LANES> E;
    for (int i = 0; i < LANES / STEP; i += 2) x[i / 2] = E::keep(x[i], x[i + 1]) + E::cross(x[i], x[i + 1]);
    return sums_of<STEP * 2>(x);
  }
  return x[0];
}

template <int STEP = 1>
NF_INLINE void transpose(Floats* x) {
  if constexpr (STEP < LANES) {
    typedef ExchangeOf<STEP, LANES> E;
    for (int i = 0; i < LANES; ++i) {
      if (i & STEP) continue;
      const Floats a = x[i], b = x[i + STEP];
      x[i] = E::low(a, b);
      x[i + STEP] = E::high(a, b);
    }
    transpose<STEP * 2>(x);
  }
}
