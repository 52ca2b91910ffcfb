/* AArch64: NEON and its fused multiply-add are the baseline there, so no target is set. */
#include "fastsep_kernels.h"
#include <math.h>

#if defined(__aarch64__)
#include <arm_neon.h>

#define FS_ISA neon
#define FS_VECTOR_BYTES 16
#define FS_VECTOR_REGISTERS 32
#define FS_FMA_X86 0
#define FS_MASKS_X86 0
#define FS_NEON 1
/* 6 × 3: eighteen sums, three weights, one broadcast pixel = 22 of 32 registers. */
#define FS_PANEL_PIXELS_1 6
#define FS_PANEL_PIXELS_2 6
#define FS_PANEL_PIXELS_3 6
#define FS_PANEL_PIXELS_4 5
#define FS_PANEL_VECTORS 3
#define FS_STRIP_COLUMNS 4
#define FS_ANY_COLUMNS 8

#include "micro_kernels.inc"
#endif
