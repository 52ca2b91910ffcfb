/* The bodies of avx512 on a machine with AVX2 alone: the compiler splits every 64-byte vector in two, and spills. For
 * tests only, compiled in where FASTSEP_BUILD_SPLIT is set: chips with AVX-512 are rarer than changes to its code. */
#include "fastsep_kernels.h"
#include <math.h>

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#pragma GCC optimize("O1")
#endif

#define FS_ISA split
#define FS_VECTOR_BYTES 64
#define FS_VECTOR_REGISTERS 16
#define FS_FMA_X86 1
#define FS_MASKS_X86 0
/* The same code with small tiles: GCC moves such a vector in eight pieces, and full tiles take minutes to compile. */
#define FS_PANEL_PIXELS_1 2
#define FS_PANEL_PIXELS_2 2
#define FS_PANEL_PIXELS_3 2
#define FS_PANEL_PIXELS_4 2
#define FS_PANEL_VECTORS 3
#define FS_STRIP_COLUMNS 2
#define FS_SQUARE_COLUMNS 2
#define FS_ANY_COLUMNS 2
#define FS_LINES_TALL 4

#include "micro_kernels.inc"

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
