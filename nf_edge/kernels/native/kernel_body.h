// The kernel of one instruction set.  Each kernel_*.cpp includes this file; it defines NF_ISA, the widths of vectors
// and tiles, and the kind of integer products, and is compiled for that instruction set only.
#include "kernel.h"

#include "integers.h"

namespace nf {
namespace NF_ISA {
namespace {

#include "vector.h"
#include "bytes.h"
#include "shuffle.h"
#include "exp2.h"
#include "product.h"
#include "integer_products.h"

// Keys per block, and tiles that share a copy of a block.
constexpr int64_t KEYS = NF_BLOCK_KEYS;
constexpr int64_t GROUP_TILES = NF_GROUP_TILES;
constexpr int64_t GROUP = GROUP_TILES * TILE; // queries
static_assert(KEYS % 2 == 0 && KEYS % TILE_ROWS == 0 && TILE_VECTORS <= 3, "tile sizes");

NF_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
NF_INLINE int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }

#include "arena.h"
#include "panel.h"
#include "query.h"
#include "softmax.h"
#include "float32.h"
#include "int8.h"
#include "tiles.h"
#include "decode.h"
#include "quantize.h"
#include "gelu.h"

template <class Arithmetic>
size_t tile_bytes(const nf_attention& call) {
  Arena arena = {nullptr};
  Tiles<Arithmetic> tiles(arena, call);
  return reinterpret_cast<size_t>(tiles.reserve(arena, call));
}

size_t decode_bytes(const nf_attention& call) {
  Arena arena = {nullptr};
  Decode decode(arena, call);
  return reinterpret_cast<size_t>(decode.reserve(arena, call));
}

size_t scratch_bytes(const nf_attention* call) {
  const size_t tiles = call->precision == NF_INT8 ? tile_bytes<Int8>(*call) : tile_bytes<Float32>(*call);
  const size_t decode = decode_bytes(*call);
  return tiles > decode ? tiles : decode;
}

void attend(const Job* job, int64_t head, int64_t first, int64_t count, char* scratch) {
  if (count <= FEW)
    Decode(Arena{scratch}, *job->call).attend(*job, head, first, count);
  else if (job->call->precision == NF_INT8)
    Tiles<Int8>(Arena{scratch}, *job->call).attend(*job, head, first, count);
  else
    Tiles<Float32>(Arena{scratch}, *job->call).attend(*job, head, first, count);
}

} // namespace

extern const Kernel kernel;
const Kernel kernel = {NF_ISA_NAME, GROUP, scratch_bytes, attend, quantize_rows, gelu_new};

} // namespace NF_ISA
} // namespace nf
