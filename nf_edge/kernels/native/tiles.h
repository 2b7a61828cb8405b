// Attention of a group of queries of one head: tiles of queries times blocks of keys.
//
// Without noise and mask the scores are symmetric, but both halves are computed.  Computing one half would save at
// most 21 % of a call in float32 and 11 % in int8 (12 heads of 64 channels, 1,024 tokens, AVX512-VNNI; with 128
// tokens 15 % and 6 %).  Transposing and storing the other half for later queries would cost part of that.
// Sharing a block's copy of keys between both halves would save 2 to 4 % of a call.

template <class Arithmetic>
struct Tiles {
  Arithmetic arithmetic;
  typename Arithmetic::Query* query; // per tile
  Floats* output;                    // [tiles][padded][TILE_VECTORS]
  Floats* maximum;                   // [tiles][TILE_VECTORS]
  Floats* sum;
  Floats* scores; // [KEYS + TILE_ROWS][TILE_VECTORS]
  Floats* panel;  // [size][TILE_VECTORS]
  Floats* spare;
  float* bias; // R at distances −(keys − 1) … start + queries − 1, in units of log2

  Tiles(Arena arena, const nf_attention& call) { reserve(arena, call); }

  // Returns the end of the reserved memory: its size in bytes if the arena started at null.
  char* reserve(Arena& arena, const nf_attention& call) {
    const int64_t size = call.head_size;
    arithmetic.reserve(arena, call);
    arena.take(query, GROUP_TILES * arithmetic.query_vectors());
    arena.take(output, GROUP_TILES * round_up(size, TILE_ROWS) * TILE_VECTORS);
    arena.take(maximum, GROUP_TILES * TILE_VECTORS);
    arena.take(sum, GROUP_TILES * TILE_VECTORS);
    arena.take(scores, (KEYS + TILE_ROWS) * TILE_VECTORS);
    arena.take(panel, size * TILE_VECTORS);
    arena.take(spare, size * TILE_VECTORS);
    bias = nullptr;
    if (call.bias) arena.take(bias, call.keys + call.start + call.queries + GROUP);
    return arena.at;
  }

  // Writes a head's bias in both directions, so that the lanes of a tile read it in ascending order.  Returns the
  // pointer to distance 0.
  const float* mirror_bias(const nf_attention& call, int64_t head, int64_t keys, int64_t queries) {
    const float* row = call.bias + head * call.positions;
    float* zero = bias + keys - 1;
    for (int64_t i = 1; i < keys; ++i) zero[-i] = i < call.positions ? row[i] * LOG2_E : 0;
    for (int64_t i = 0; i < queries; ++i) zero[i] = i < call.positions ? row[i] * LOG2_E : 0;
    return zero;
  }

  void start(const Job& job, int64_t head, int64_t first, int64_t count) {
    for (int64_t tile = 0; tile * TILE < count; ++tile) {
      const int64_t lanes = count - tile * TILE < TILE ? count - tile * TILE : TILE;
      query_panel(job, head, first + tile * TILE, lanes, panel, spare);
      arithmetic.set_query(panel, query + tile * arithmetic.query_vectors());
    }
    const int64_t tiles = (count + TILE - 1) / TILE;
    for (int64_t i = 0; i < tiles * arithmetic.padded * TILE_VECTORS; ++i) output[i] = Floats{};
    for (int64_t i = 0; i < tiles * TILE_VECTORS; ++i) maximum[i] = splat(HIDDEN), sum[i] = Floats{};
  }

  template <int VECTORS>
  void meet(int64_t tile, Scores block, int64_t count) {
    const Running running = {maximum + tile * TILE_VECTORS, sum + tile * TILE_VECTORS};
    arithmetic.template scores<VECTORS>(query + tile * arithmetic.query_vectors(), count, scores);
    arithmetic.template attend<VECTORS>(block, running, output + tile * arithmetic.padded * TILE_VECTORS);
  }

  void attend(const Job& job, int64_t head, int64_t first, int64_t count) {
    const nf_attention& call = *job.call;
    const int64_t position = call.start + first;
    const int64_t visible = call.causal ? least(call.keys, position + count) : call.keys;
    const float* zero = call.bias ? mirror_bias(call, head, visible, position + round_up(count, TILE)) : nullptr;
    start(job, head, first, count);
    for (int64_t key = 0; key < visible; key += KEYS) {
      const int64_t block_keys = least(KEYS, visible - key);
      arithmetic.load_block(job, head, key, block_keys);
      for (int64_t tile = 0; tile * TILE < count; ++tile) {
        const int64_t lane = position + tile * TILE;
        const int64_t keys = call.causal ? least(block_keys, lane + TILE - key) : block_keys;
        if (keys <= 0) continue;
        const Scores block = {
            scores, keys, zero ? zero + lane - key : nullptr, key - lane, call.causal && key + keys - 1 > lane};
        const int64_t vectors = (least(TILE, count - tile * TILE) + LANES - 1) / LANES;
        if (vectors == TILE_VECTORS)
          meet<TILE_VECTORS>(tile, block, keys);
        else if (vectors == 1)
          meet<1>(tile, block, keys);
        else
          meet<2>(tile, block, keys);
      }
    }
    finish(job, head, first, count);
  }

  void finish(const Job& job, int64_t head, int64_t first, int64_t count) {
    const nf_attention& call = *job.call;
    const int64_t row = call.heads * call.head_size;
    for (int64_t tile = 0; tile * TILE < count; ++tile) {
      Floats factor[TILE_VECTORS];
      for (int v = 0; v < TILE_VECTORS; ++v) factor[v] = 1.0f / sum[tile * TILE_VECTORS + v];
      store_panel(
          output + tile * arithmetic.padded * TILE_VECTORS, factor, least(TILE, count - tile * TILE), call.head_size,
          call.out + (first + tile * TILE) * row + head * call.head_size, row);
    }
  }
};
