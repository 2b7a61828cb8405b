// For x86-64 CPUs with AVX-512 VNNI: 32 registers of 16 floats, 8 × 3 of them accumulators.
#define NF_ISA avx512vnni
#define NF_ISA_NAME "avx512vnni"
#define NF_LANES 16
#define NF_TILE_VECTORS 3
#define NF_TILE_ROWS 8
#define NF_BLOCK_KEYS 64
#define NF_GROUP_TILES 4
#define NF_INTEGERS NF_VNNI
#include "kernel_body.h"
