/* The SIMD vocabulary of 16-bit lanes, beside that of floats in simd.h: the same names for the same things, `vec` of
 * 16-bit integers, `wide` of as many bytes of 32-bit ones. Read after the element types of simd.h. */

#undef FS_SUFFIX
#undef FS_LANES
#define FS_SUFFIX FS_JOIN(i16, FS_ISA)
#define FS_LANES (FS_VECTOR_BYTES / 2)

#ifndef FS_NAMES_16
#define FS_NAMES_16
#define wide FS_FN(wide)
#define multiply_pairs FS_FN(multiply_pairs)
#define lower_pairs FS_FN(lower_pairs)
#define upper_pairs FS_FN(upper_pairs)
#define saturate FS_FN(saturate)
#define multiply_high FS_FN(multiply_high)
#define zip_halves FS_FN(zip_halves)
#define splat_wide FS_FN(splat_wide)

/* Lane j of a result, as a lane of a followed by b. All stay within 16 bytes, as x86's instructions do. */
#define FS_EIGHT(index, j)                                                                            \
    index(j), index((j) + 1), index((j) + 2), index((j) + 3), index((j) + 4), index((j) + 5), index((j) + 6), \
        index((j) + 7)
#define FS_LOWER_16(j) (((j) & ~7) + ((j) & 7) / 2 + ((j) & 1) * FS_LANES)
#define FS_UPPER_16(j) (FS_LOWER_16(j) + 4)
#define FS_ZIP_16(j) (((j) & ~7) + ((j) & 7) / 2 + ((j) & 1) * 4)
#define FS_LOW_WORDS(j) (((j) & ~7) + ((j) & 3) * 2 + ((j) & 4) / 4 * FS_LANES)
#endif

#undef FS_SHUFFLE_16
#if FS_VECTOR_BYTES == 16
#define FS_SHUFFLE_16(a, b, index) __builtin_shufflevector(a, b, FS_EIGHT(index, 0))
#elif FS_VECTOR_BYTES == 32
#define FS_SHUFFLE_16(a, b, index) __builtin_shufflevector(a, b, FS_EIGHT(index, 0), FS_EIGHT(index, 8))
#else
#define FS_SHUFFLE_16(a, b, index)                                                                    \
    __builtin_shufflevector(a, b, FS_EIGHT(index, 0), FS_EIGHT(index, 8), FS_EIGHT(index, 16), FS_EIGHT(index, 24))
#endif

typedef int16_t real;
typedef int16_t real_memory __attribute__((aligned(1), may_alias));
typedef int16_t vec __attribute__((vector_size(FS_VECTOR_BYTES)));
typedef int16_t vec_memory __attribute__((vector_size(FS_VECTOR_BYTES), aligned(1), may_alias));
typedef int32_t wide __attribute__((vector_size(FS_VECTOR_BYTES)));

FS_INLINE vec load(const void *p)
{
    return *(const vec_memory *)p;
}

FS_INLINE void store(void *p, vec v)
{
    *(vec_memory *)p = v;
}

FS_INLINE vec splat(real x)
{
    return (vec){0} + x;
}

FS_INLINE wide splat_wide(int32_t x)
{
    return (wide){0} + x;
}

/* a[2i]·b[2i] + a[2i + 1]·b[2i + 1]. */
FS_INLINE wide multiply_pairs(vec a, vec b)
{
#if FS_MASKS_X86
    return (wide)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (wide)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__) && FS_VECTOR_BYTES == 16
    return (wide)__builtin_ia32_pmaddwd128(a, b);
#else
    const wide x = (wide)a, y = (wide)b;
    return (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16);
#endif
}

/* Within each 16 bytes, the lower or the upper four lanes of a and b, interleaved. */
FS_INLINE vec lower_pairs(vec a, vec b)
{
    return FS_SHUFFLE_16(a, b, FS_LOWER_16);
}

FS_INLINE vec upper_pairs(vec a, vec b)
{
    return FS_SHUFFLE_16(a, b, FS_UPPER_16);
}

/* Within each 16 bytes, four lanes of a, then four of b, kept within 16 bits: undoes the two above. */
FS_INLINE vec saturate(wide a, wide b)
{
#if FS_MASKS_X86
    return (vec)_mm512_packs_epi32((__m512i)a, (__m512i)b);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (vec)_mm256_packs_epi32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__) && FS_VECTOR_BYTES == 16
    return (vec)__builtin_ia32_packssdw128(a, b);
#else
    const wide low = splat_wide(-32768), high = splat_wide(32767);
    wide clear = a < low;
    a = (clear & low) | (~clear & a);
    clear = a > high;
    a = (clear & high) | (~clear & a);
    clear = b < low;
    b = (clear & low) | (~clear & b);
    clear = b > high;
    b = (clear & high) | (~clear & b);
    return FS_SHUFFLE_16((vec)a, (vec)b, FS_LOW_WORDS);
#endif
}

/* The upper 16 bits of a·b, then shifted right, all without a sign. */
FS_INLINE vec multiply_high(vec a, vec b, int shift)
{
    typedef uint16_t unsigned_vec __attribute__((vector_size(FS_VECTOR_BYTES)));
#if FS_MASKS_X86
    return (vec)((unsigned_vec)_mm512_mulhi_epu16((__m512i)a, (__m512i)b) >> shift);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (vec)((unsigned_vec)_mm256_mulhi_epu16((__m256i)a, (__m256i)b) >> shift);
#else
    typedef uint32_t unsigned_wide __attribute__((vector_size(FS_VECTOR_BYTES)));
    const unsigned_wide x = (unsigned_wide)a, y = (unsigned_wide)b;
    const unsigned_wide even = (x & 0xffff) * (y & 0xffff) >> 16, odd = (x >> 16) * (y >> 16) & 0xffff0000;
    return (vec)((unsigned_vec)(even | odd) >> shift);
#endif
}

/* Within each 16 bytes, the first four lanes and the last four, interleaved. */
FS_INLINE vec zip_halves(vec x)
{
    return FS_SHUFFLE_16(x, x, FS_ZIP_16);
}

FS_INLINE vec clamp(vec x, vec low, vec high)
{
#if FS_MASKS_X86
    return (vec)_mm512_min_epi16(_mm512_max_epi16((__m512i)x, (__m512i)low), (__m512i)high);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (vec)_mm256_min_epi16(_mm256_max_epi16((__m256i)x, (__m256i)low), (__m256i)high);
#else
    vec outside = x < low;
    x = (outside & low) | (~outside & x);
    outside = x > high;
    return (outside & high) | (~outside & x);
#endif
}
