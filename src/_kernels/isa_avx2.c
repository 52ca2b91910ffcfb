/* x86-64 with AVX2 and FMA3. The target is set here by a pragma and nowhere by a flag, so that no baseline
 * function can pick it up; baseline headers stay above it. */
#include "fastsep_kernels.h"
#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,prfchw"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,prfchw")
#endif

#define FS_ISA avx2
#define FS_VECTOR_BYTES 32
#define FS_VECTOR_REGISTERS 16
#define FS_FMA_X86 1
#define FS_MASKS_X86 0
/* 6 × 2: twelve sums, two weights, one broadcast pixel = 15 of 16 registers; likewise 4 × 3. */
#define FS_PANEL_PIXELS_1 6
#define FS_PANEL_PIXELS_2 6
#define FS_PANEL_PIXELS_3 4
#define FS_PANEL_PIXELS_4 0
#define FS_PANEL_VECTORS 2
#define FS_STRIP_COLUMNS 4
/* Depthwise 5 × 5 and 7 × 7: ten sums, an input and a row of taps, 7 × 7's last two from memory = 16 registers. */
#define FS_SQUARE_COLUMNS 5
#define FS_ANY_COLUMNS 8
/* Lines: 4 sums, two windows of 4 rows, a factor, a pair: 14 of 16. */
#define FS_LINES_TALL 4
/* Folded: 6 sums, two windows of 4 rows, a factor, a pair: 16 of 16. */
#define FS_LINES_FOLDED 6

#include "micro_kernels.inc"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
