/* Baseline of the platform: 16-byte vectors by the compiler (SSE2 on x86-64). Every machine runs this. */
#include "fastsep_kernels.h"
#include <math.h>

#define FS_ISA generic
#define FS_VECTOR_BYTES 16
#define FS_VECTOR_REGISTERS 16
#define FS_FMA_X86 0
#define FS_MASKS_X86 0
/* 4 × 2 vectors and not 6 × 2: mul + add needs a register for the product. */
#define FS_PANEL_PIXELS_1 6
#define FS_PANEL_PIXELS_2 4
#define FS_PANEL_PIXELS_3 3
#define FS_PANEL_PIXELS_4 0
#define FS_PANEL_VECTORS 2
#define FS_STRIP_COLUMNS 4
#define FS_SQUARE_COLUMNS 4
#define FS_ANY_COLUMNS 8
#define FS_LINES_TALL 4

#include "micro_kernels.inc"
