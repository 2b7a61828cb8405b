// Exchanges between vectors, written for any number of lanes.

template <int STEP, int... LANE>
struct Exchange {
  // Lanes with the bit STEP clear from a, the others from b.
  NF_INLINE Floats keep(Floats a, Floats b) {
    return __builtin_shufflevector(a, b, ((LANE & STEP) ? LANES + LANE : LANE)...);
  }
  // Where the bit is clear a's neighbour STEP lanes up, elsewhere b's neighbour STEP lanes down.
  NF_INLINE Floats cross(Floats a, Floats b) {
    return __builtin_shufflevector(a, b, ((LANE & STEP) ? LANES + (LANE ^ STEP) : (LANE ^ STEP))...);
  }
  // For a transpose: a's clear lanes, and b's clear lanes moved up into the set ones.
  NF_INLINE Floats low(Floats a, Floats b) {
    return __builtin_shufflevector(a, b, ((LANE & STEP) ? LANES + (LANE ^ STEP) : LANE)...);
  }
  // b's set lanes, and a's set lanes moved down into the clear ones.
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
