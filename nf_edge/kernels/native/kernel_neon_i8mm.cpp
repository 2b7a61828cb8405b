// For aarch64 CPUs with int8 matrix products (Armv8.6: from Cortex-A510, -A710 and -X2 on): 8 × 3 vectors are
// accumulators.
#define NF_ISA neon_i8mm
#define NF_ISA_NAME "neon_i8mm"
#define NF_LANES 4
#define NF_TILE_VECTORS 3
#define NF_TILE_ROWS 8
#define NF_BLOCK_KEYS 64
#define NF_GROUP_TILES 16
#define NF_INTEGERS NF_I8MM
#include "kernel_body.h"
