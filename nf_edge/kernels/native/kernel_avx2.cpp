// For x86-64 CPUs with AVX2: 16 registers of 8 floats, 4 × 3 of them accumulators.
#define NF_ISA avx2
#define NF_ISA_NAME "avx2"
#define NF_LANES 8
#define NF_TILE_VECTORS 3
#define NF_TILE_ROWS 4
#define NF_BLOCK_KEYS 64
#define NF_GROUP_TILES 8
#define NF_INTEGERS NF_PAIRS_AVX2
#include "kernel_body.h"
