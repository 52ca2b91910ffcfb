/* The SIMD vocabulary: everything a kernel body may say about vectors.
 *
 * Read once per element type (no include guard). The including file defines
 *   FS_ISA            name of the instruction set, ends every symbol: load_f32_avx2
 *   FS_VECTOR_BYTES   16, 32 or 64
 *   FS_REAL_BITS      32 or 64
 *   FS_FMA_X86        1 where the instruction set has FMA3
 *   FS_MASKS_X86      1 where it has AVX-512's masks, which a 64-byte vector uses (else it is two halves)
 *   FS_NEON           1 where 16-byte vectors are AArch64's
 * and gets FS_HAS_FMA: 1 if fma() rounds once, 0 if it is mul + add.
 *
 * Names are plain in the bodies (`load`, `fma`, `vec`); a macro adds the suffix, so that a debugger and
 * `objdump` show `load_f32_avx2` and one can see that no AVX instruction left its functions.
 *
 * Unaligned is the normal case: `vec_memory` and `real_memory` carry alignment 1 and may alias.
 */

#undef FS_SUFFIX
#undef FS_LANES
#if FS_REAL_BITS == 32
#define FS_SUFFIX FS_JOIN(f32, FS_ISA)
#define FS_LANES (FS_VECTOR_BYTES / 4)
#else
#define FS_SUFFIX FS_JOIN(f64, FS_ISA)
#define FS_LANES (FS_VECTOR_BYTES / 8)
#endif

#ifndef FS_NAMES
#define FS_NAMES
#if FS_FMA_X86 || FS_NEON
#define FS_HAS_FMA 1
#else
#define FS_HAS_FMA 0
#endif
/* 1 where accumulate() adds in place whatever the compiler thinks: there loops over many sums can be unrolled. */
#define FS_ACCUMULATES (FS_FMA_X86 && (FS_VECTOR_BYTES == 32 || FS_MASKS_X86))
#define FS_JOIN_(a, b) a##_##b
#define FS_JOIN(a, b) FS_JOIN_(a, b)
#define FS_FN(name) FS_JOIN(name, FS_SUFFIX)

#define real FS_FN(real)
#define bits FS_FN(bits)
#define real_memory FS_FN(real_memory)
#define vec FS_FN(vec)
#define ivec FS_FN(ivec)
#define vec_memory FS_FN(vec_memory)
#define load FS_FN(load)
#define load_n FS_FN(load_n)
#define store FS_FN(store)
#define store_n FS_FN(store_n)
#define load_some FS_FN(load_some)
#define store_some FS_FN(store_some)
#define load_real FS_FN(load_real)
#define store_real FS_FN(store_real)
#define splat FS_FN(splat)
#define fma FS_FN(fma)
#define fma_once FS_FN(fma_once)
#define accumulate FS_FN(accumulate)
#define max_vec FS_FN(max_vec)
#define min_vec FS_FN(min_vec)
#define larger FS_FN(larger)
#define choose FS_FN(choose)
#define choose_negative FS_FN(choose_negative)
#define minus_magnitude FS_FN(minus_magnitude)
#define all_within FS_FN(all_within)
#define and_mask FS_FN(and_mask)
#define transpose FS_FN(transpose)
#define between FS_FN(between)
#define floor_vec FS_FN(floor_vec)
#define to_reals FS_FN(to_reals)
#define to_int32 FS_FN(to_int32)
#define int32s FS_FN(int32s)
#define load_u8 FS_FN(load_u8)
#define load_i8 FS_FN(load_i8)
#define load_u16 FS_FN(load_u16)
#define load_i16 FS_FN(load_i16)
#define load_i32 FS_FN(load_i32)
#define store_8 FS_FN(store_8)
#define store_16 FS_FN(store_16)
#define store_32 FS_FN(store_32)
#define store_words FS_FN(store_words)
#define clamp FS_FN(clamp)
#define root FS_FN(root)

#define FS_INLINE static inline __attribute__((always_inline))
#define FS_NOINLINE static __attribute__((noinline))
#if defined(__clang__)
#define FS_OPAQUE FS_NOINLINE
#define FS_UNROLL _Pragma("clang loop unroll(full)")
#define FS_UNROLL_ALL FS_UNROLL
#else
#define FS_OPAQUE static __attribute__((noipa)) /* no caller knows what it reads */
#define FS_UNROLL _Pragma("GCC unroll 16")
#define FS_UNROLL_ALL _Pragma("GCC unroll 32")
#endif
/* The compiler shall not know what an address was made of. */
#define FS_HIDE(x) __asm__("" : "+r"(x))
#define FS_LIKELY(x) __builtin_expect(!!(x), 1)
#endif

#if FS_REAL_BITS == 32
typedef float real;
typedef int32_t bits;
typedef float real_memory __attribute__((aligned(1), may_alias));
typedef float vec __attribute__((vector_size(FS_VECTOR_BYTES)));
typedef int32_t ivec __attribute__((vector_size(FS_VECTOR_BYTES)));
typedef float vec_memory __attribute__((vector_size(FS_VECTOR_BYTES), aligned(1), may_alias));
#else
typedef double real;
typedef int64_t bits;
typedef double real_memory __attribute__((aligned(1), may_alias));
typedef double vec __attribute__((vector_size(FS_VECTOR_BYTES)));
typedef int64_t ivec __attribute__((vector_size(FS_VECTOR_BYTES)));
typedef double vec_memory __attribute__((vector_size(FS_VECTOR_BYTES), aligned(1), may_alias));
#endif

FS_INLINE vec load(const void *p)
{
    return *(const vec_memory *)p;
}

FS_INLINE void store(void *p, vec v)
{
    *(vec_memory *)p = v;
}

FS_INLINE real load_real(const void *p)
{
    return *(const real_memory *)p;
}

FS_INLINE void store_real(void *p, real x)
{
    *(real_memory *)p = x;
}

FS_INLINE vec splat(real x)
{
#if FS_VECTOR_BYTES * 8 / FS_REAL_BITS == 2
    return (vec){x, x};
#elif FS_VECTOR_BYTES * 8 / FS_REAL_BITS == 4
    return (vec){x, x, x, x};
#elif FS_VECTOR_BYTES * 8 / FS_REAL_BITS == 8
    return (vec){x, x, x, x, x, x, x, x};
#else
    return (vec){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#endif
}

/* Lanes n… of the result are zero; no byte past the n-th element is touched. 0 <= n <= FS_LANES. */
FS_INLINE vec load_n(const void *p, int64_t n)
{
#if FS_MASKS_X86 && FS_REAL_BITS == 32
    return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif FS_MASKS_X86
    return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    /* The mask is a window into eight set lanes followed by eight clear ones: lane i is set if i < n. */
    static const bits window[2 * FS_LANES] = {
        [0 ... FS_LANES - 1] = -1,
    };
    __m256i mask = _mm256_loadu_si256((const __m256i *)(window + FS_LANES - n));
#if FS_REAL_BITS == 32
    return (vec)_mm256_maskload_ps((const float *)p, mask);
#else
    return (vec)_mm256_maskload_pd((const double *)p, mask);
#endif
#elif FS_NEON
    /* A load for every lane, and no branch: those from n on read the first element, and are masked. */
    if (__builtin_constant_p(n) && n == FS_LANES)
        return load(p);
    static const real zero = 0;
    const real_memory *q = n > 0 ? p : &zero;
#if FS_REAL_BITS == 32
    const ivec lane = {0, 1, 2, 3};
    const vec v = {q[0], q[n > 1 ? 1 : 0], q[n > 2 ? 2 : 0], q[n > 3 ? 3 : 0]};
#else
    const ivec lane = {0, 1};
    const vec v = {q[0], q[n > 1 ? 1 : 0]};
#endif
    return (vec)((ivec)v & (lane < (bits)n));
#else
    vec v = {0};
    for (int64_t i = 0; i < n; i++)
        v[i] = ((const real_memory *)p)[i];
    return v;
#endif
}

/* Writes the first n lanes and nothing else. */
FS_INLINE void store_n(void *p, vec v, int64_t n)
{
#if FS_MASKS_X86 && FS_REAL_BITS == 32
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#elif FS_MASKS_X86
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    /* Halves, then quarters: vmaskmov stores are microcoded on AMD (18 to 42 operations). */
    char *q = (char *)p;
    __m128 half = _mm256_castps256_ps128((__m256)v);
    const int64_t bytes = n * (int64_t)sizeof(real);
    if (bytes & 32) {
        store(p, v);
        return;
    }
    if (bytes & 16) {
        _mm_storeu_ps((float *)q, half);
        half = _mm256_extractf128_ps((__m256)v, 1);
        q += 16;
    }
    if (bytes & 8) {
        _mm_storel_pi((__m64 *)q, half);
        half = _mm_movehl_ps(half, half);
        q += 8;
    }
    if (bytes & 4)
        _mm_store_ss((float *)q, half);
#elif FS_NEON
    if (n == FS_LANES) {
        store(p, v);
        return;
    }
    real_memory *q = p;
#if FS_REAL_BITS == 32
    if (n & 2) {
        vst1_u8((uint8_t *)q, vreinterpret_u8_f32(vget_low_f32((float32x4_t)v)));
        q += 2;
        v = (vec)vextq_f32((float32x4_t)v, (float32x4_t)v, 2);
    }
#endif
    if (n & 1)
        q[0] = v[0];
#else
    for (int64_t i = 0; i < n; i++)
        ((real_memory *)p)[i] = v[i];
#endif
}

/* Where whole vectors are the rule and their number of lanes is no constant. */
FS_INLINE vec load_some(const void *p, int64_t n)
{
    return FS_LIKELY(n == FS_LANES) ? load(p) : load_n(p, n);
}

FS_INLINE void store_some(void *p, vec v, int64_t n)
{
    if (FS_LIKELY(n == FS_LANES))
        store(p, v);
    else
        store_n(p, v, n);
}

/* a·b + c. Rounded once where the instruction set has FMA, twice where it does not: never left to the
 * compiler (-ffp-contract=off), because GCC and Clang would fuse different products. */
#if FS_FMA_X86 && FS_VECTOR_BYTES == 64 && !FS_MASKS_X86
/* A vector as two halves of AVX2: the body of AVX-512 on a machine that lacks it. */
typedef union {
    vec whole;
#if FS_REAL_BITS == 32
    __m256 half[2];
#else
    __m256d half[2];
#endif
} FS_FN(halves);
#endif

FS_INLINE vec fma(vec a, vec b, vec c)
{
#if FS_MASKS_X86 && FS_REAL_BITS == 32
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif FS_MASKS_X86
    return (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 64
    FS_FN(halves) x = {a}, y = {b}, sum = {c};
    for (int i = 0; i < 2; i++)
#if FS_REAL_BITS == 32
        sum.half[i] = _mm256_fmadd_ps(x.half[i], y.half[i], sum.half[i]);
#else
        sum.half[i] = _mm256_fmadd_pd(x.half[i], y.half[i], sum.half[i]);
#endif
    return sum.whole;
#elif FS_FMA_X86 && FS_REAL_BITS == 32
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif FS_FMA_X86
    return (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif FS_NEON && FS_REAL_BITS == 32
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif FS_NEON
    return (vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
}

/* *sum = fma(a, b, *sum), in the register that holds *sum. Left to choose which of three registers an FMA overwrites, GCC
 * takes a factor's where a loop is unrolled, and moves and spills sums for it: 6 × 2 sums, four rows of weights a round,
 * 88 % of the FMA peak, where this reaches 97. */
FS_INLINE void accumulate(vec *sum, vec a, vec b)
{
#if !FS_ACCUMULATES
    *sum = fma(a, b, *sum);
#elif FS_REAL_BITS == 32
    __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
#else
    __asm__("vfmadd231pd %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
#endif
}

#if !FS_HAS_FMA && FS_REAL_BITS == 32
/* a·b + c rounded once, for numbers far from both ends of the exponents. The product is exact in double; what the sum
 * there loses (Knuth's two-sum) makes it odd, and an odd number rounds to float as the exact sum does. */
typedef double FS_FN(doubles) __attribute__((vector_size(FS_VECTOR_BYTES)));
typedef int64_t FS_FN(patterns) __attribute__((vector_size(FS_VECTOR_BYTES)));
typedef float FS_FN(half_vec) __attribute__((vector_size(FS_VECTOR_BYTES / 2)));

FS_INLINE vec fma_once(vec a, vec b, vec c)
{
    union {
        vec whole;
        FS_FN(half_vec) half[2];
    } x = {a}, y = {b}, z = {c};
    for (int i = 0; i < 2; i++) {
        const FS_FN(doubles) product = __builtin_convertvector(x.half[i], FS_FN(doubles)) *
                                       __builtin_convertvector(y.half[i], FS_FN(doubles));
        const FS_FN(doubles) addend = __builtin_convertvector(z.half[i], FS_FN(doubles));
        const FS_FN(doubles) sum = product + addend, back = sum - product;
        const FS_FN(doubles) lost = (product - (sum - back)) + (addend - back);
        const FS_FN(patterns) pattern = (FS_FN(patterns))sum;
        /* Of the two neighbours of the exact sum the odd one: this, or the next one toward what was lost. */
        const FS_FN(patterns) step = 1 + 2 * (((FS_FN(patterns))lost ^ pattern) >> 63);
        const FS_FN(patterns) odd = pattern + (step & (lost != 0) & -(~pattern & 1));
        z.half[i] = __builtin_convertvector((FS_FN(doubles))odd, FS_FN(half_vec));
    }
    return z.whole;
}
#else
FS_INLINE vec fma_once(vec a, vec b, vec c)
{
    return fma(a, b, c);
}
#endif

/* max(x, bound) and min(x, bound) that keep a NaN in x: x86's instructions return their second operand
 * when either is NaN, Arm's return the NaN, and `bound` never is (checked when the plan is made). */
FS_INLINE vec choose(ivec condition, vec yes, vec no)
{
    return (vec)((condition & (ivec)yes) | (~condition & (ivec)no));
}

FS_INLINE vec max_vec(vec x, vec bound)
{
#if FS_MASKS_X86 && FS_REAL_BITS == 32
    return (vec)_mm512_max_ps((__m512)bound, (__m512)x);
#elif FS_MASKS_X86
    return (vec)_mm512_max_pd((__m512d)bound, (__m512d)x);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32 && FS_REAL_BITS == 32
    return (vec)_mm256_max_ps((__m256)bound, (__m256)x);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (vec)_mm256_max_pd((__m256d)bound, (__m256d)x);
#elif FS_NEON && FS_REAL_BITS == 32
    return (vec)vmaxq_f32((float32x4_t)x, (float32x4_t)bound);
#elif FS_NEON
    return (vec)vmaxq_f64((float64x2_t)x, (float64x2_t)bound);
#else
    return choose((ivec)(x < bound), bound, x);
#endif
}

FS_INLINE vec min_vec(vec x, vec bound)
{
#if FS_MASKS_X86 && FS_REAL_BITS == 32
    return (vec)_mm512_min_ps((__m512)bound, (__m512)x);
#elif FS_MASKS_X86
    return (vec)_mm512_min_pd((__m512d)bound, (__m512d)x);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32 && FS_REAL_BITS == 32
    return (vec)_mm256_min_ps((__m256)bound, (__m256)x);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (vec)_mm256_min_pd((__m256d)bound, (__m256d)x);
#elif FS_NEON && FS_REAL_BITS == 32
    return (vec)vminq_f32((float32x4_t)x, (float32x4_t)bound);
#elif FS_NEON
    return (vec)vminq_f64((float64x2_t)x, (float64x2_t)bound);
#else
    return choose((ivec)(x > bound), bound, x);
#endif
}

/* The larger of two values of which either may be NaN: a NaN stays, the first of two; of two zeros the second. */
FS_INLINE vec larger(vec a, vec b)
{
#if FS_MASKS_X86 && FS_REAL_BITS == 32
    const __mmask16 number = _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_ORD_Q);
    return (vec)_mm512_mask_max_ps((__m512)a, number, (__m512)a, (__m512)b);
#elif FS_MASKS_X86
    const __mmask8 number = _mm512_cmp_pd_mask((__m512d)a, (__m512d)a, _CMP_ORD_Q);
    return (vec)_mm512_mask_max_pd((__m512d)a, number, (__m512d)a, (__m512d)b);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32 && FS_REAL_BITS == 32
    return (vec)_mm256_blendv_ps((__m256)max_vec(b, a), (__m256)a, (__m256)(a != a));
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (vec)_mm256_blendv_pd((__m256d)max_vec(b, a), (__m256d)a, (__m256d)(a != a));
#elif FS_NEON
    return max_vec(b, a);
#else
    return choose(a != a, a, max_vec(b, a));
#endif
}

/* Where the sign bit of `sign` is set (-0 and some NaNs too), yes; elsewhere no. */
FS_INLINE vec choose_negative(vec sign, vec yes, vec no)
{
#if FS_MASKS_X86 && FS_REAL_BITS == 32
    return (vec)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)sign), (__m512)no, (__m512)yes);
#elif FS_MASKS_X86
    return (vec)_mm512_mask_blend_pd(_mm512_movepi64_mask((__m512i)sign), (__m512d)no, (__m512d)yes);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32 && FS_REAL_BITS == 32
    return (vec)_mm256_blendv_ps((__m256)no, (__m256)yes, (__m256)sign);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (vec)_mm256_blendv_pd((__m256d)no, (__m256d)yes, (__m256d)sign);
#else
    return choose((ivec)sign >> (FS_REAL_BITS - 1), yes, no);
#endif
}

FS_INLINE vec minus_magnitude(vec x)
{
    return (vec)((ivec)x | (ivec)splat((real)-0.0));
}

/* Whether |x| <= bound in every lane of COUNT vectors; a NaN is not. */
FS_INLINE int all_within(const vec *x, real bound, const int COUNT)
{
#if FS_MASKS_X86
    int within = -1;
    FS_UNROLL
    for (int i = 0; i < COUNT; i++)
#if FS_REAL_BITS == 32
        within &= (int16_t)_mm512_cmp_ps_mask((__m512)minus_magnitude(x[i]), (__m512)splat(-bound), _CMP_GE_OQ);
#else
        within &= (int8_t)_mm512_cmp_pd_mask((__m512d)minus_magnitude(x[i]), (__m512d)splat(-bound), _CMP_GE_OQ);
#endif
    return within == -1;
#else
    ivec within = minus_magnitude(x[0]) >= splat(-bound);
    FS_UNROLL
    for (int i = 1; i < COUNT; i++)
        within &= minus_magnitude(x[i]) >= splat(-bound);
#if FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return _mm256_movemask_epi8((__m256i)within) == -1;
#else
    bits all = -1;
    FS_UNROLL
    for (int i = 0; i < FS_LANES; i++)
        all &= within[i];
    return (int)all;
#endif
#endif
}

FS_INLINE vec clamp(vec x, vec low, vec high)
{
    return min_vec(max_vec(x, low), high);
}

FS_INLINE vec and_mask(vec x, ivec mask)
{
    return (vec)((ivec)x & mask);
}

/* Lane j of a result is lane index(j) of a followed by b. */
#undef FS_SHUFFLE
#if FS_VECTOR_BYTES * 8 / FS_REAL_BITS == 2
#define FS_SHUFFLE(a, b, index) __builtin_shufflevector(a, b, index(0), index(1))
#elif FS_VECTOR_BYTES * 8 / FS_REAL_BITS == 4
#define FS_SHUFFLE(a, b, index) __builtin_shufflevector(a, b, index(0), index(1), index(2), index(3))
#elif FS_VECTOR_BYTES * 8 / FS_REAL_BITS == 8
#define FS_SHUFFLE(a, b, index)                                                                                  \
    __builtin_shufflevector(a, b, index(0), index(1), index(2), index(3), index(4), index(5), index(6), index(7))
#else
#define FS_SHUFFLE(a, b, index)                                                                                   \
    __builtin_shufflevector(a, b, index(0), index(1), index(2), index(3), index(4), index(5), index(6), index(7), \
                            index(8), index(9), index(10), index(11), index(12), index(13), index(14), index(15))
#endif
#ifndef FS_INDICES
#define FS_INDICES
/* Elements s on in what begins with a and goes on with b, 16 bytes further. */
#define FS_BLOCK (16 * 8 / FS_REAL_BITS)
#define FS_ON(j, s)                                                                                  \
    ((j) / FS_BLOCK * FS_BLOCK + ((j) + (s)) % FS_BLOCK + ((j) % FS_BLOCK + (s) >= FS_BLOCK ? FS_LANES : 0))
#define FS_ON_1(j) FS_ON(j, 1)
#define FS_ON_2(j) FS_ON(j, 2)
#define FS_ON_3(j) FS_ON(j, 3)
/* Within 16 bytes: the lower and the upper halves interleaved by elements, and by pairs of floats. */
#define FS_LOWER(j) (((j) & ~3) + ((j) & 3) / 2 + ((j) & 1) * FS_LANES)
#define FS_UPPER(j) (FS_LOWER(j) + 2)
#define FS_LOWER_PAIR(j) (((j) & ~2) + ((j) & 2) / 2 * FS_LANES)
#define FS_UPPER_PAIR(j) (FS_LOWER_PAIR(j) + 2)
/* Between blocks of d lanes: those at even places of both, those at odd places. */
#define FS_EVEN(j, d) ((j) & (d) ? FS_LANES + (j) - (d) : (j))
#define FS_ODD(j, d) ((j) & (d) ? FS_LANES + (j) : (j) + (d))
#define FS_EVEN_1(j) FS_EVEN(j, 1)
#define FS_ODD_1(j) FS_ODD(j, 1)
#define FS_EVEN_2(j) FS_EVEN(j, 2)
#define FS_ODD_2(j) FS_ODD(j, 2)
#define FS_EVEN_4(j) FS_EVEN(j, 4)
#define FS_ODD_4(j) FS_ODD(j, 4)
#define FS_EVEN_8(j) FS_EVEN(j, 8)
#define FS_ODD_8(j) FS_ODD(j, 8)
#define FS_EXCHANGE(x, i, k, even, odd)               \
    do {                                              \
        const vec first_ = (x)[i], second_ = (x)[k];  \
        (x)[i] = FS_SHUFFLE(first_, second_, even);   \
        (x)[k] = FS_SHUFFLE(first_, second_, odd);    \
    } while (0)
#endif

/* What `load(p + s elements)` gives, of a = load(p) and b = load(p + 16 bytes): 0 <= s <= FS_BLOCK, a constant. */
FS_INLINE vec between(vec a, vec b, const int s)
{
    switch (s) {
    case 0:
        return a;
    case 1:
        return (vec)FS_SHUFFLE((ivec)a, (ivec)b, FS_ON_1);
#if FS_REAL_BITS == 32
    case 2:
        return (vec)FS_SHUFFLE((ivec)a, (ivec)b, FS_ON_2);
    case 3:
        return (vec)FS_SHUFFLE((ivec)a, (ivec)b, FS_ON_3);
#endif
    default:
        return b;
    }
}

/* A square of FS_LANES vectors. Every round exchanges between pairs, one instruction a vector: log2(FS_LANES) rounds. */
FS_INLINE void transpose(vec *x)
{
#if FS_REAL_BITS == 32
    FS_UNROLL
    for (int i = 0; i < FS_LANES; i += 4) {
        FS_EXCHANGE(x, i, i + 1, FS_LOWER, FS_UPPER);
        FS_EXCHANGE(x, i + 2, i + 3, FS_LOWER, FS_UPPER);
        FS_EXCHANGE(x, i, i + 2, FS_LOWER_PAIR, FS_UPPER_PAIR);
        FS_EXCHANGE(x, i + 1, i + 3, FS_LOWER_PAIR, FS_UPPER_PAIR);
        const vec swapped = x[i + 1];
        x[i + 1] = x[i + 2];
        x[i + 2] = swapped;
    }
#else
    FS_UNROLL
    for (int i = 0; i < FS_LANES; i += 2)
        FS_EXCHANGE(x, i, i + 1, FS_EVEN_1, FS_ODD_1);
#if FS_VECTOR_BYTES >= 32
    FS_UNROLL
    for (int i = 0; i < FS_LANES; i++)
        if (!(i & 2))
            FS_EXCHANGE(x, i, i + 2, FS_EVEN_2, FS_ODD_2);
#endif
#endif
#if FS_VECTOR_BYTES * 8 / FS_REAL_BITS >= 8
    FS_UNROLL
    for (int i = 0; i < FS_LANES; i++)
        if (!(i & 4))
            FS_EXCHANGE(x, i, i + 4, FS_EVEN_4, FS_ODD_4);
#endif
#if FS_VECTOR_BYTES * 8 / FS_REAL_BITS >= 16
    FS_UNROLL
    for (int i = 0; i < FS_LANES; i++)
        if (!(i & 8))
            FS_EXCHANGE(x, i, i + 8, FS_EVEN_8, FS_ODD_8);
#endif
}

/* The largest integer that is no greater, for magnitudes below 2²² (2⁵¹ of double) where there is no instruction: beyond
 * half of its precision a number has no fraction, and adding such a one and taking it away again rounds to the nearest. */
FS_INLINE vec floor_vec(vec x)
{
#if FS_MASKS_X86 && FS_REAL_BITS == 32
    return (vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif FS_MASKS_X86
    return (vec)_mm512_roundscale_pd((__m512d)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32 && FS_REAL_BITS == 32
    return (vec)_mm256_floor_ps((__m256)x);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (vec)_mm256_floor_pd((__m256d)x);
#elif FS_NEON && FS_REAL_BITS == 32
    return (vec)vrndmq_f32((float32x4_t)x);
#elif FS_NEON
    return (vec)vrndmq_f64((float64x2_t)x);
#else
    const vec large = splat(FS_REAL_BITS == 32 ? (real)0x1.8p23 : (real)0x1.8p52);
    const vec nearest = (x + large) - large;
    return nearest - and_mask(splat((real)1), (ivec)(nearest > x));
#endif
}

/* The square root, rounded once. */
FS_INLINE vec root(vec x)
{
#if FS_MASKS_X86 && FS_REAL_BITS == 32
    return (vec)_mm512_sqrt_ps((__m512)x);
#elif FS_MASKS_X86
    return (vec)_mm512_sqrt_pd((__m512d)x);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32 && FS_REAL_BITS == 32
    return (vec)_mm256_sqrt_ps((__m256)x);
#elif FS_FMA_X86 && FS_VECTOR_BYTES == 32
    return (vec)_mm256_sqrt_pd((__m256d)x);
#elif FS_NEON && FS_REAL_BITS == 32
    return (vec)vsqrtq_f32((float32x4_t)x);
#elif FS_NEON
    return (vec)vsqrtq_f64((float64x2_t)x);
#else
    FS_UNROLL
    for (int i = 0; i < FS_LANES; i++)
#if FS_REAL_BITS == 32
        x[i] = sqrtf(x[i]);
#else
        x[i] = sqrt(x[i]);
#endif
    return x;
#endif
}

/* Integers of 8, 16 and 32 bits, as many as a vector has lanes, between memory, registers of 32-bit integers, and
 * reals. What a real becomes out of the range of 32 bits is the instruction set's affair. */
#undef FS_INTEGERS
#if FS_FMA_X86 && (FS_MASKS_X86 || FS_VECTOR_BYTES == 32)
#define FS_INTEGERS 1
#if FS_VECTOR_BYTES * 8 / FS_REAL_BITS == 16
typedef __m512i int32s;
#define FS_WIDEN(name, from, load) \
    FS_INLINE int32s name(const void *p) { return _mm512_cvtep##from##_epi32(load); }
FS_WIDEN(load_u8, u8, _mm_loadu_si128(p))
FS_WIDEN(load_i8, i8, _mm_loadu_si128(p))
FS_WIDEN(load_u16, u16, _mm256_loadu_si256(p))
FS_WIDEN(load_i16, i16, _mm256_loadu_si256(p))
FS_INLINE int32s load_i32(const void *p) { return _mm512_loadu_si512(p); }
FS_INLINE void store_8(void *p, int32s x) { _mm_storeu_si128(p, _mm512_cvtepi32_epi8(x)); }
FS_INLINE void store_16(void *p, int32s x) { _mm256_storeu_si256(p, _mm512_cvtepi32_epi16(x)); }
FS_INLINE void store_32(void *p, int32s x) { _mm512_storeu_si512(p, x); }
FS_INLINE vec to_reals(int32s x) { return (vec)_mm512_cvtepi32_ps(x); }
FS_INLINE int32s to_int32(vec x) { return _mm512_cvttps_epi32((__m512)x); }
#elif FS_VECTOR_BYTES * 8 / FS_REAL_BITS == 8
typedef __m256i int32s;
#define FS_WIDEN(name, from, load) \
    FS_INLINE int32s name(const void *p) { return _mm256_cvtep##from##_epi32(load); }
FS_WIDEN(load_u8, u8, _mm_loadl_epi64(p))
FS_WIDEN(load_i8, i8, _mm_loadl_epi64(p))
FS_WIDEN(load_u16, u16, _mm_loadu_si128(p))
FS_WIDEN(load_i16, i16, _mm_loadu_si128(p))
FS_INLINE int32s load_i32(const void *p) { return _mm256_loadu_si256(p); }
FS_INLINE void store_32(void *p, int32s x) { _mm256_storeu_si256(p, x); }
#if FS_MASKS_X86
FS_INLINE void store_8(void *p, int32s x) { _mm_storel_epi64(p, _mm256_cvtepi32_epi8(x)); }
FS_INLINE void store_16(void *p, int32s x) { _mm_storeu_si128(p, _mm256_cvtepi32_epi16(x)); }
FS_INLINE vec to_reals(int32s x) { return (vec)_mm512_cvtepi32_pd(x); }
FS_INLINE int32s to_int32(vec x) { return _mm512_cvttpd_epi32((__m512d)x); }
#else
FS_INLINE void store_16(void *p, int32s x)
{
    x = _mm256_and_si256(x, _mm256_set1_epi32(0xffff));
    x = _mm256_permute4x64_epi64(_mm256_packus_epi32(x, x), 0x08);
    _mm_storeu_si128(p, _mm256_castsi256_si128(x));
}
FS_INLINE void store_8(void *p, int32s x)
{
    x = _mm256_and_si256(x, _mm256_set1_epi32(0xff));
    x = _mm256_permute4x64_epi64(_mm256_packus_epi32(x, x), 0x08);
    _mm_storel_epi64(p, _mm_packus_epi16(_mm256_castsi256_si128(x), _mm256_castsi256_si128(x)));
}
FS_INLINE vec to_reals(int32s x) { return (vec)_mm256_cvtepi32_ps(x); }
FS_INLINE int32s to_int32(vec x) { return _mm256_cvttps_epi32((__m256)x); }
#endif
#else
typedef __m128i int32s;
#define FS_WIDEN(name, from, load) \
    FS_INLINE int32s name(const void *p) { return _mm_cvtep##from##_epi32(load); }
FS_WIDEN(load_u8, u8, _mm_cvtsi32_si128(*(const int32_t __attribute__((aligned(1), may_alias)) *)p))
FS_WIDEN(load_i8, i8, _mm_cvtsi32_si128(*(const int32_t __attribute__((aligned(1), may_alias)) *)p))
FS_WIDEN(load_u16, u16, _mm_loadl_epi64(p))
FS_WIDEN(load_i16, i16, _mm_loadl_epi64(p))
FS_INLINE int32s load_i32(const void *p) { return _mm_loadu_si128(p); }
FS_INLINE void store_32(void *p, int32s x) { _mm_storeu_si128(p, x); }
FS_INLINE void store_16(void *p, int32s x)
{
    x = _mm_and_si128(x, _mm_set1_epi32(0xffff));
    _mm_storel_epi64(p, _mm_packus_epi32(x, x));
}
FS_INLINE void store_8(void *p, int32s x)
{
    x = _mm_and_si128(x, _mm_set1_epi32(0xff));
    x = _mm_packus_epi32(x, x);
    *(int32_t __attribute__((aligned(1), may_alias)) *)p = _mm_cvtsi128_si32(_mm_packus_epi16(x, x));
}
FS_INLINE vec to_reals(int32s x) { return (vec)_mm256_cvtepi32_pd(x); }
FS_INLINE int32s to_int32(vec x) { return _mm256_cvttpd_epi32((__m256d)x); }
#endif
/* Two vectors side by side, rounded down to integers of 16 bits and kept in their range; magnitudes below 2³¹. */
#if FS_REAL_BITS == 32
FS_INLINE void store_words(void *p, vec a, vec b, int is_signed)
{
#if FS_MASKS_X86
    const __m512i order = _mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0);
    const __m512i x = is_signed ? _mm512_packs_epi32(to_int32(floor_vec(a)), to_int32(floor_vec(b)))
                                : _mm512_packus_epi32(to_int32(a), to_int32(b));
    _mm512_storeu_si512(p, _mm512_permutexvar_epi64(order, x));
#else
    const __m256i x = is_signed ? _mm256_packs_epi32(to_int32(floor_vec(a)), to_int32(floor_vec(b)))
                                : _mm256_packus_epi32(to_int32(a), to_int32(b));
    _mm256_storeu_si256(p, _mm256_permute4x64_epi64(x, 0xd8));
#endif
}
#endif
#undef FS_WIDEN
#else
#define FS_INTEGERS 0
#endif
