/* Instructions of Arm's DSP extension (Cortex-M4, M7, M33). Private to the kernels.
 *
 * The statements are volatile so that compilers keep their order, and with it the registers.
 * SXTB16 takes bytes (0, 2) and, rotated, (1, 3) of four; both factors of a product are widened
 * so, and the order does not matter.
 */
#ifndef ET_DSP_H
#define ET_DSP_H

#include "et_fast.h"

#if defined(ET_DSP)

#define ET_INLINE static inline __attribute__((always_inline))

/* An inner loop is a function of its own, so that nothing else asks for registers, and what is
 * around it can be ET_COLD. */
#define ET_ALONE static __attribute__((noinline, hot))

/* Four bytes, or two numbers of 16 bits, as one word. */
typedef uint32_t __attribute__((may_alias)) et_word;

/* A word of four bytes at any address. */
ET_INLINE uint32_t et_load4(const int8_t *p) {
    uint32_t word;
    __builtin_memcpy(&word, p, 4);
    return word;
}

ET_INLINE uint32_t et_sxtb16(uint32_t a) {
    uint32_t d;
    __asm__ volatile("sxtb16 %0,%1" : "=r"(d) : "r"(a));
    return d;
}

ET_INLINE uint32_t et_sxtb16_odd(uint32_t a) {
    uint32_t d;
    __asm__ volatile("sxtb16 %0,%1,ror #8" : "=r"(d) : "r"(a));
    return d;
}

/* Two sums of 16 bits += bytes 0 and 2. */
ET_INLINE uint32_t et_sxtab16(uint32_t sums, uint32_t a) {
    uint32_t d;
    __asm__ volatile("sxtab16 %0,%1,%2" : "=r"(d) : "r"(sums), "r"(a));
    return d;
}

/* Two sums of 16 bits += bytes 1 and 3. */
ET_INLINE uint32_t et_sxtab16_odd(uint32_t sums, uint32_t a) {
    uint32_t d;
    __asm__ volatile("sxtab16 %0,%1,%2,ror #8" : "=r"(d) : "r"(sums), "r"(a));
    return d;
}

/* The larger of each pair of int8. */
ET_INLINE uint32_t et_max4(uint32_t a, uint32_t b) {
    uint32_t d;
    __asm__ volatile("ssub8 %0,%1,%2\n\tsel %0,%1,%2" : "=&r"(d) : "r"(a), "r"(b) : "cc");
    return d;
}

/* sum + high word of a * b, to nearest, ties up. */
ET_INLINE int32_t et_smmlar(int32_t a, int32_t b, int32_t sum) {
    int32_t d;
    __asm__ volatile("smmlar %0,%1,%2,%3" : "=r"(d) : "r"(a), "r"(b), "r"(sum));
    return d;
}

/* The low half of a, and that of b above it. */
ET_INLINE uint32_t et_pkhbt(uint32_t a, uint32_t b) {
    uint32_t d;
    __asm__ volatile("pkhbt %0,%1,%2,lsl #16" : "=r"(d) : "r"(a), "r"(b));
    return d;
}

/* The high half of a, and that of b below it. */
ET_INLINE uint32_t et_pkhtb(uint32_t a, uint32_t b) {
    uint32_t d;
    __asm__ volatile("pkhtb %0,%1,%2,asr #16" : "=r"(d) : "r"(a), "r"(b));
    return d;
}

/* Widens n int8, a multiple of 4, to n / 2 words. */
ET_INLINE void et_widen(uint32_t *to, const int8_t *x, int32_t n) {
    for (const int8_t *end = x + n; x != end; x += 4, to += 2) {
        const uint32_t word = et_load4(x);
        to[0] = et_sxtb16(word);
        to[1] = et_sxtb16_odd(word);
    }
}

/* sum += low half of a times low half of b */
ET_INLINE int32_t et_smlabb(uint32_t a, uint32_t b, int32_t sum) {
    int32_t d;
    __asm__ volatile("smlabb %0,%1,%2,%3" : "=r"(d) : "r"(a), "r"(b), "r"(sum));
    return d;
}

/* sum += high half of a times low half of b */
ET_INLINE int32_t et_smlatb(uint32_t a, uint32_t b, int32_t sum) {
    int32_t d;
    __asm__ volatile("smlatb %0,%1,%2,%3" : "=r"(d) : "r"(a), "r"(b), "r"(sum));
    return d;
}

/* sum += low half of a times high half of b */
ET_INLINE int32_t et_smlabt(uint32_t a, uint32_t b, int32_t sum) {
    int32_t d;
    __asm__ volatile("smlabt %0,%1,%2,%3" : "=r"(d) : "r"(a), "r"(b), "r"(sum));
    return d;
}

ET_INLINE int32_t et_smlad(uint32_t a, uint32_t b, int32_t sum) {
    int32_t d;
    __asm__ volatile("smlad %0,%1,%2,%3" : "=r"(d) : "r"(a), "r"(b), "r"(sum));
    return d;
}

/* zero_point + et_rescale(acc, twice / 2, -right), saturated to int8; right in [1, 31], twice in
 * [2^31, 2^32) as int32.
 *
 * SMMLAR of the doubled multiplier, which is negative as int32, and the accumulator once more is
 * the product to nearest, ties up; adding its sign and the bit that ASRS leaves in the carry is
 * the shift to nearest, ties away from zero.
 */
ET_INLINE int8_t et_scale_dsp(int32_t acc, int32_t twice, int32_t right, int32_t zero_point) {
    int32_t d;
    __asm__ volatile("smmlar %0,%1,%2,%1\n\tadd %0,%0,%0,asr #31\n\tasrs %0,%0,%3\n\t"
                     "adc %0,%0,%4\n\tssat %0,#8,%0"
                     : "=&r"(d)
                     : "r"(acc), "r"(twice), "r"(right), "r"(zero_point)
                     : "cc");
    return (int8_t)d;
}

/* The same; multiplier in [2^30, 2^31). */
ET_INLINE int8_t et_requantize_dsp(int32_t acc, int32_t multiplier, int32_t right,
                                   int32_t zero_point) {
    return et_scale_dsp(acc, (int32_t)((uint32_t)multiplier * 2), right, zero_point);
}

/* Whether et_requantize_dsp holds for every channel: whether every shift is negative. */
__attribute__((noinline)) int et_fits_dsp(const et_output *output, int32_t channels);

/* Clip what was saturated to int8 to a narrower activation. */
__attribute__((noinline)) void et_activate(const et_output *output, int8_t *y, int32_t n);

/* Convolutions of few weights a channel, at most ET_PAIRS_N: the weights are widened, two channels
 * side by side, some channels at a time. */
enum { ET_PAIRS_N = 128 };

/* Packs channels first .. first + channels - 1, an even number, of n weights each, with their
 * starts and scales: 32 * ceil(n / 8) + 32 bytes for two. */
void et_pack_pairs(uint32_t *pairs, const int8_t *w, const int32_t *start,
                   const et_output *output, int32_t first, int32_t channels, int32_t n);

/* Two pixels through packed channels. pixels: for each four taps two words of either pixel, up to
 * a multiple of 8 taps. y: first result of the first pixel; pitch: to the second pixel. */
void et_run_pairs(const uint32_t *pairs, const uint32_t *pixels, int32_t zero_point, int8_t *y,
                  int32_t channels, int32_t n, int32_t pitch);

#endif
#endif
