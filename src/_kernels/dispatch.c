/* Which instruction sets were compiled in, and which of them this CPU and its operating system can run. */
#include "fastsep_kernels.h"

extern const struct fs_kernels fs_kernels_generic;
#if defined(__x86_64__)
#include <cpuid.h>
extern const struct fs_kernels fs_kernels_avx2;
extern const struct fs_kernels fs_kernels_avx512;
#if FS_WITH_SPLIT
extern const struct fs_kernels fs_kernels_split;
#endif
#elif defined(__aarch64__)
extern const struct fs_kernels fs_kernels_neon;
#endif

static const struct fs_kernels *const compiled[] = {
    &fs_kernels_generic,
#if defined(__x86_64__)
#if FS_WITH_SPLIT
    &fs_kernels_split,
#endif
    &fs_kernels_avx2,
    &fs_kernels_avx512,
#elif defined(__aarch64__)
    &fs_kernels_neon,
#endif
};

int fs_isa_count(void)
{
    return (int)(sizeof(compiled) / sizeof(compiled[0]));
}

const struct fs_kernels *fs_isa(int index)
{
    return compiled[index];
}

#if defined(__x86_64__)
enum { FMA = 1, AVX2 = 2, AVX512 = 4 };

/* CPUID says what the chip has, XGETBV which registers the operating system saves: AVX without the second
 * would lose its upper halves at the next context switch. */
static int features(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 0;
    const int has_fma = (c >> 12) & 1, has_xsave = (c >> 27) & 1, has_avx = (c >> 28) & 1;
    if (!has_xsave || !has_avx)
        return 0;
    unsigned saved, high;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return 0;
    int found = has_fma ? FMA : 0;
    if ((b >> 5) & 1)
        found |= AVX2;
    /* F, DQ, BW and VL: what every core since Skylake-SP has, and the compiler may use. */
    const unsigned foundation = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    if ((b & foundation) == foundation && (saved & 0xe0) == 0xe0)
        found |= AVX512;
    return found;
}

int fs_isa_supported(int index)
{
    if (compiled[index] == &fs_kernels_generic)
        return 1;
    const int wanted = compiled[index] == &fs_kernels_avx512 ? FMA | AVX2 | AVX512 : FMA | AVX2;
    return (features() & wanted) == wanted;
}

const char *fs_cpu_features(void)
{
    static const char *const text[] = {"sse2",      "sse2 fma",          "sse2 avx2",         "sse2 avx2 fma",
                                       "sse2 avx512", "sse2 fma avx512", "sse2 avx2 avx512", "sse2 avx2 fma avx512"};
    return text[features()];
}
#else
/* NEON with FMA is part of every AArch64: there is nothing to ask the CPU. */
int fs_isa_supported(int index)
{
    (void)index;
    return 1;
}

const char *fs_cpu_features(void)
{
#if defined(__aarch64__)
    return "neon fma";
#else
    return "baseline";
#endif
}
#endif
