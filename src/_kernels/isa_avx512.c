/* x86-64 with AVX-512 F, DQ, BW and VL: 64-byte vectors, 32 registers, masks for tails. */
#include "fastsep_kernels.h"
#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,prfchw,avx512f,avx512dq,avx512bw,avx512vl"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,prfchw,avx512f,avx512dq,avx512bw,avx512vl")
#endif

#define FS_ISA avx512
#define FS_VECTOR_BYTES 64
#define FS_VECTOR_REGISTERS 32
#define FS_FMA_X86 1
#define FS_MASKS_X86 1
/* 9 × 3: 27 sums, three weights, one broadcast pixel = 31 of 32 registers; 12 loads for 27 FMAs. Wider in pixels
 * would run out of general registers instead: each row has its pointer, and 12 of them leave three.
 * Depthwise 3 × 3: 14 sums, nine weights, one input; seven columns, because maps are 7, 14, 28 … wide. */
#define FS_PANEL_PIXELS_1 12
#define FS_PANEL_PIXELS_2 12
#define FS_PANEL_PIXELS_3 9
#define FS_PANEL_PIXELS_4 6
#define FS_PANEL_VECTORS 3
#define FS_STRIP_COLUMNS 7
#define FS_SQUARE_COLUMNS 7
#define FS_ANY_COLUMNS 8
/* Lines: 8 sums, two windows of 8 rows, a factor, a pair: 26 of 32. */
#define FS_LINES_TALL 8

#include "micro_kernels.inc"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
