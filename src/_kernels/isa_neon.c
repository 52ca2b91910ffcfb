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
/* Of 32 registers, with the pixels of one k all loaded ahead, a register each, their lane 0 named by the FMA:
 * 12 × 1 takes 12 sums + 1 weight + 12 pixels = 25, 8 × 2 takes 16 + 2 + 8 = 26, 7 × 3 takes 21 + 3 + 7 = 31,
 * 5 × 4 takes 20 + 4 + 5 = 29; 8 × 3 and 6 × 4 spilled. Sixteen sums hide the latency of four pipes of 4 cycles,
 * the most there are. Depthwise 3 × 3: 8 sums, nine weights, one input; with six columns GCC 12 spilled. */
#define FS_PANEL_PIXELS_1 12
#define FS_PANEL_PIXELS_2 8
#define FS_PANEL_PIXELS_3 7
#define FS_PANEL_PIXELS_4 5
#define FS_PANEL_VECTORS 3
#define FS_STRIP_COLUMNS 4
#define FS_SQUARE_COLUMNS 4
#define FS_ANY_COLUMNS 8
/* Lines: 8 sums would take 26 registers of 32 as well, but GCC 12 loads the factors of eight pairs ahead and spills. */
#define FS_LINES_TALL 4

#include "micro_kernels.inc"
#endif
