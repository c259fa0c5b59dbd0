/* Products of pairs of vectors, and how bytes become such pairs. Private to the kernels.
 *
 * A pair holds, four int16 at a time, the first vector and then the second: 4 words for 8 numbers.
 */
#ifndef ET_TILE_DSP_H
#define ET_TILE_DSP_H

#include "et_dsp.h"
#include "et_train.h"

#if defined(ET_DSP)

#define ET_TILE_QUAD                                                                  \
    "ldm %[b]!,{r4,r5,r8,r9}\n\tldrd %[s],%[t],[%[a]],#8\n\t"                         \
    "smlad %[p],%[s],r4,%[p]\n\tsmlad %[q],%[s],r8,%[q]\n\t"                          \
    "smlad %[p],%[t],r5,%[p]\n\tsmlad %[q],%[t],r9,%[q]\n\tldrd %[s],%[t],[%[a]],#8\n\t" \
    "smlad %[u],%[s],r4,%[u]\n\tsmlad %[v],%[s],r8,%[v]\n\t"                          \
    "smlad %[u],%[t],r5,%[u]\n\tsmlad %[v],%[t],r9,%[v]\n\t"

/* Sums of products: p and q of the first vector of a with both of b, u and v of the second. */
typedef struct {
    int32_t p, q, u, v;
} et_sums4;

/* sums += products of two pairs; their length is a positive multiple of 16. */
ET_INLINE et_sums4 et_tile(const uint32_t *a, const uint32_t *b, int32_t length, et_sums4 sums) {
    const uint32_t *end = a + length;
    uint32_t s, t;
    __asm__ volatile("1:\n\t" ET_TILE_QUAD ET_TILE_QUAD ET_TILE_QUAD ET_TILE_QUAD
                     "cmp %[a],%[end]\n\tbne 1b"
                     : [a] "+r"(a), [b] "+r"(b), [p] "+r"(sums.p), [q] "+r"(sums.q),
                       [u] "+r"(sums.u), [v] "+r"(sums.v), [s] "=&r"(s), [t] "=&r"(t)
                     : [end] "r"(end)
                     : "r4", "r5", "r8", "r9", "cc", "memory");
    return sums;
}

/* A loop over tiles is a function of its own, so that nothing else asks for registers, and its
 * count is hidden from compilers, which take the assembly for little and unroll it. */
#define ET_HIDE(pointer) __asm__ volatile("" : "+r"(pointer))

/* The length of vectors for n numbers. */
ET_INLINE int32_t et_padded(int32_t n) {
    return (n + 15) / 16 * 16;
}

ET_INLINE uint32_t et_ssub16(uint32_t a, uint32_t b) {
    uint32_t d;
    __asm__ volatile("ssub16 %0,%1,%2" : "=r"(d) : "r"(a), "r"(b));
    return d;
}

/* A word at any address. */
ET_INLINE void et_store4(void *p, uint32_t word) {
    __builtin_memcpy(p, &word, 4);
}

/* Four bytes as numbers of 16 bits: bytes 0 and 2, and bytes 1 and 3. */
typedef struct {
    uint32_t even, odd;
} et_halves;

ET_INLINE et_halves et_split(uint32_t word) {
    const et_halves d = {et_sxtb16(word), et_sxtb16_odd(word)};
    return d;
}

/* The same less a zero point, which stands in both halves of a word. */
ET_INLINE et_halves et_split_less(uint32_t word, uint32_t zero_points) {
    const et_halves a = et_split(word);
    const et_halves d = {et_ssub16(a.even, zero_points), et_ssub16(a.odd, zero_points)};
    return d;
}

/* Four bytes of each of four places become four numbers of each of four vectors, two pairs. */
ET_INLINE void et_pack4(et_halves a, et_halves b, et_halves c, et_halves d, uint32_t *first,
                        uint32_t *second) {
    first[0] = et_pkhbt(a.even, b.even);
    first[1] = et_pkhbt(c.even, d.even);
    first[2] = et_pkhbt(a.odd, b.odd);
    first[3] = et_pkhbt(c.odd, d.odd);
    second[0] = et_pkhtb(b.even, a.even);
    second[1] = et_pkhtb(d.even, c.even);
    second[2] = et_pkhtb(b.odd, a.odd);
    second[3] = et_pkhtb(d.odd, c.odd);
}

/* How sums become errors. */
typedef struct {
    int32_t twice, right; /* twice: the doubled multiplier, as int32 */
} et_factor;

/* Whether et_error_dsp holds. */
ET_INLINE int et_error_fits(const et_scaling *scaling) {
    return scaling->shift < 0 && scaling->multiplier != 0;
}

ET_INLINE et_factor et_factor_of(const et_scaling *scaling) {
    const et_factor found = {(int32_t)((uint32_t)scaling->multiplier * 2), -scaling->shift};
    return found;
}

/* et_rescale.
 *
 * SMMLAR of the doubled multiplier, which is negative as int32, and the sum once more is the product
 * to nearest, ties up; adding its sign and the bit that ASRS leaves in the carry is the shift to
 * nearest, ties away from zero. */
ET_INLINE int32_t et_rescale_dsp(int32_t sum, et_factor factor) {
    int32_t d;
    __asm__ volatile("smmlar %0,%1,%2,%1\n\tadd %0,%0,%0,asr #31\n\tasrs %0,%0,%3\n\t"
                     "adc %0,%0,#0"
                     : "=&r"(d)
                     : "r"(sum), "r"(factor.twice), "r"(factor.right)
                     : "cc");
    return d;
}

ET_INLINE int8_t et_saturate_dsp(int32_t value) {
    int32_t d;
    __asm__ volatile("ssat %0,#8,%1" : "=r"(d) : "r"(value));
    return (int8_t)d;
}

/* The magnitude of a number, or one less. */
ET_INLINE int32_t et_about(int32_t value) {
    return value ^ value >> 31;
}

ET_INLINE int32_t et_peak(int32_t peak, int32_t value) {
    return et_max(peak, value < 0 ? -value : value);
}

/* Errors, a multiple of 4, end at -127, and only saturated ones were below. */
ET_INLINE void et_finish_errors(int8_t *e, int32_t n, int32_t peak) {
    const uint32_t least = 0x81818181u;
    for (const int8_t *end = e + n / 4 * 4; peak > 127 && e != end; e += 4) {
        uint32_t word = et_load4(e), unused;
        __asm__ volatile("ssub8 %1,%0,%2\n\tsel %0,%0,%2" : "+r"(word), "=&r"(unused) : "r"(least));
        et_store4(e, word);
    }
}

#endif
#endif
