// GPT-2's GELU as x · sigmoid(2u), with u = √(2/π) · (x + 0.044715 x³).

NF_INLINE Floats gelu_of(Floats x) {
  // 2 · √(2/π) · log2(e)
  constexpr float slope = 2.3022082f;
  const Floats u = x * (splat(slope) + splat(0.044715f * slope) * (x * x));
  // t is computed from −|u|, which cannot overflow; sigmoid(2u) is 1 / (1 + t) or t / (1 + t).
  const Floats t = exp2_of(-larger(u, -u));
  return x * (u > 0 ? splat(1.0f) : t) / (splat(1.0f) + t);
}

static void gelu_new(const float* x, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES) store(out + i, gelu_of(load(x + i)));
  if (i == count) return;
  const Floats last = gelu_of(load_first(x + i, count - i));
  for (int64_t lane = 0; lane < count - i; ++lane) out[i + lane] = last[static_cast<int>(lane)];
}
