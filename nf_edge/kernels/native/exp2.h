// 2ˣ for x ≤ 0.  The scores of the softmax include the factor log2(e), so that 2ˣ replaces eˣ.

// Relative error below 2.5e-7 for x in (−126, 0]; exactly 0 for x < −126.5, so that a hidden key has weight 0.
NF_INLINE Floats exp2_of(Floats x) {
  x = larger(x, splat(-127.0f));
  // Adding 1.5 · 2²³ rounds to an integer in the low mantissa bits; with the bias 127 added as well, these
  // become the exponent of 2ⁿ by one shift, and n = −127 becomes the float 0.
  const Floats shifter = splat(12582912.0f + 127.0f);
  Floats shifted = x + shifter;
  Floats r = x - (shifted - shifter);
  // Relative minimax polynomial of 2ʳ on [−½, ½].
  Floats p = splat(0.0013276472f);
  p = p * r + splat(0.0096755410f);
  p = p * r + splat(0.0555071309f);
  p = p * r + splat(0.2402212024f);
  p = p * r + splat(0.6931469440f);
  p = p * r + splat(1.0000001192f);
  Ints exponent = reinterpret_cast<Ints>(shifted) << 23;
  return p * reinterpret_cast<Floats>(exponent);
}
