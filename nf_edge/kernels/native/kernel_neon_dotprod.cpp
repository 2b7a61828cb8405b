// For aarch64 CPUs with int8 dot products: 32 registers of 4 floats, 8 × 3 of them accumulators.
#define NF_ISA neon_dotprod
#define NF_ISA_NAME "neon_dotprod"
#define NF_LANES 4
#define NF_TILE_VECTORS 3
#define NF_TILE_ROWS 8
#define NF_BLOCK_KEYS 64
#define NF_GROUP_TILES 16
#define NF_INTEGERS NF_DOTPROD
#include "kernel_body.h"
