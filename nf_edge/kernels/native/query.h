// Computes the queries of a tile: K with the head's noise, or the caller's queries.

constexpr float LOG2_E = 1.44269504088896340736f;

// Writes scale · log2(e) · Q to the panel [head_size][TILE_VECTORS]; lanes from `count` on are zero.  `spare` has the
// size of the panel.
static void query_panel(const Job& job, int64_t head, int64_t first, int64_t count, Floats* panel, Floats* spare) {
  const nf_attention& call = *job.call;
  const int64_t size = call.head_size, rank = call.rank;
  const float* rows = job.q.rows + head * job.q.head_stride + first * job.q.token_stride;
  const bool given = call.q.data != nullptr;
  const Floats* query = panel;
  load_panel(rows, job.q.token_stride, count, size, panel);
  if (!given && call.noise_a) {
    multiply(call.noise_a + head * size * rank, 1, rank, rank, panel, size, nullptr, spare);
    multiply(call.noise_b + head * size * rank, rank, 1, size, spare, rank, panel, panel);
  } else if (!given && call.noise_p) {
    multiply(call.noise_p + head * size * size, 1, size, size, panel, size, panel, spare);
    query = spare;
  }
  const Floats scale = splat(call.scale * LOG2_E);
  for (int64_t i = 0; i < size * TILE_VECTORS; ++i) panel[i] = query[i] * scale;
}
