// aarch64 with products of int8 matrices (Armv8.6; Cortex-A510, -A710 and -X2 on).  As the others: 8 × 3 vectors
// accumulate.
#define NF_ISA neon_i8mm
#define NF_ISA_NAME "neon_i8mm"
#define NF_LANES 4
#define NF_TILE_VECTORS 3
#define NF_TILE_ROWS 8
#define NF_BLOCK_KEYS 64
#define NF_GROUP_TILES 16
#define NF_INTEGERS NF_I8MM
#include "kernel_body.h"
