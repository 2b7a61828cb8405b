// For any CPU: vectors of four floats, which SSE2 and NEON have and the compiler emulates elsewhere.
#define NF_ISA portable
#define NF_ISA_NAME "portable"
#define NF_LANES 4
#define NF_TILE_VECTORS 2
#define NF_TILE_ROWS 4
#define NF_BLOCK_KEYS 64
#define NF_GROUP_TILES 16
#define NF_INTEGERS NF_NO_INTEGERS
#include "kernel_body.h"
