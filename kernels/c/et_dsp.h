/* Instructions of Arm's DSP extension (Cortex-M4, M7, M33). Private to the kernels.
 *
 * The statements are volatile so that compilers keep their order, and with it the registers.
 * SXTB16 takes bytes (0, 2) and, rotated, (1, 3) of four; both factors of a product are widened
 * so, and the order does not matter.
 */
#ifndef ET_DSP_H
#define ET_DSP_H

#include "et_fast.h"

#define ET_INLINE static inline __attribute__((always_inline))

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

ET_INLINE int32_t et_smlad(uint32_t a, uint32_t b, int32_t sum) {
    int32_t d;
    __asm__ volatile("smlad %0,%1,%2,%3" : "=r"(d) : "r"(a), "r"(b), "r"(sum));
    return d;
}

/* zero_point + et_rescale(acc, multiplier, -right), saturated to int8; right in [1, 20].
 *
 * SMMULR of the doubled accumulator is the product to nearest, ties up; adding its sign and the
 * bit that ASRS leaves in the carry is the shift to nearest, ties away from zero. An accumulator
 * that saturates when doubled saturates in int8 too, because right is at most 20.
 */
ET_INLINE int8_t et_requantize_dsp(int32_t acc, int32_t multiplier, int32_t right,
                                   int32_t zero_point) {
    int32_t d;
    __asm__ volatile("qadd %0,%1,%1\n\tsmmulr %0,%0,%2\n\tadd %0,%0,%0,asr #31\n\t"
                     "asrs %0,%0,%3\n\tadc %0,%0,%4\n\tssat %0,#8,%0"
                     : "=&r"(d)
                     : "r"(acc), "r"(multiplier), "r"(right), "r"(zero_point)
                     : "cc");
    return (int8_t)d;
}

/* Whether et_requantize_dsp holds for every channel. */
ET_INLINE int et_fits_dsp(const et_output *output, int32_t channels) {
    uint32_t misfits = 0;
    for (const int8_t *shift = output->shift, *end = shift + channels; shift != end; shift++)
        misfits |= (uint32_t)(-1 - *shift) > 19u;
    return misfits == 0;
}

/* Clip what was saturated to int8 to a narrower activation. */
ET_INLINE void et_activate(const et_output *output, int8_t *y, int32_t n) {
    if (output->low == INT8_MIN && output->high == INT8_MAX)
        return;
    for (int32_t i = 0; i < n; i++)
        y[i] = (int8_t)et_clip(y[i], output->low, output->high);
}

#endif
