/* Helium (Cortex-M55, M85): results four at a time. Private to the kernels. */
#ifndef ET_MVE_H
#define ET_MVE_H

#include "et_fast.h"

#if defined(ET_HELIUM)
#include <arm_mve.h>

#define ET_INLINE static inline __attribute__((always_inline))

/* Four numbers as a vector: two instructions, where an initializer takes five. */
ET_INLINE int32x4_t et_pack4(int32_t a, int32_t b, int32_t c, int32_t d) {
    int32x4_t v;
    __asm__("vmov %q0[2],%q0[0],%1,%2\n\tvmov %q0[3],%q0[1],%3,%4"
            : "=&w"(v)
            : "r"(a), "r"(c), "r"(b), "r"(d));
    return v;
}

/* 16 bytes, and the pointer goes on: one instruction, which gcc makes two. */
#define ET_NEXT16(v, p) __asm__ volatile("vldrb.8 %q0,[%1],#16" : "=w"(v), "+r"(p))

/* Saturate to int8, in the low byte of each lane. */
ET_INLINE int32x4_t et_saturate4(int32x4_t v) {
    __asm__("vqmovnb.s32 %q0,%q0\n\tvqmovnb.s16 %q0,%q0" : "+w"(v));
    return v;
}

/* zero_point + et_rescale of four accumulators, saturated to int8; shifts are in [-31, -1].
 * VQRDMULH is the product to nearest, ties up. VRSHL rounds ties up too; the sign that is added
 * before makes it ties away from zero. Here a lane is a channel. */
ET_INLINE int32x4_t et_requantize4(int32x4_t acc, int32x4_t multiplier, int32x4_t shift,
                                   int32_t zero_point) {
    acc = vqrdmulhq_s32(acc, multiplier);
    acc = vrshlq_s32(vaddq_s32(acc, vshrq_n_s32(acc, 31)), shift);
    return et_saturate4(vaddq_n_s32(acc, zero_point));
}

/* The same with one channel in all lanes. */
ET_INLINE int32x4_t et_requantize4_n(int32x4_t acc, int32_t multiplier, int32_t shift,
                                     int32_t zero_point) {
    acc = vqrdmulhq_n_s32(acc, multiplier);
    acc = vrshlq_n_s32(vaddq_s32(acc, vshrq_n_s32(acc, 31)), shift);
    return et_saturate4(vaddq_n_s32(acc, zero_point));
}

/* Whether every shift is negative. */
ET_INLINE int et_fits_mve(const et_output *output, int32_t channels) {
    int8_t largest = INT8_MIN;
    for (int32_t o = 0; o < channels; o += 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)(channels - o));
        largest = vmaxvq_p_s8(largest, vld1q_z_s8(output->shift + o, lanes), lanes);
    }
    return largest < 0;
}

/* Clip what was saturated to int8 to a narrower activation. */
ET_INLINE void et_activate_mve(const et_output *output, int8_t *y, int32_t n) {
    if (output->low == INT8_MIN && output->high == INT8_MAX)
        return;
    const int8x16_t low = vdupq_n_s8((int8_t)output->low);
    const int8x16_t high = vdupq_n_s8((int8_t)output->high);
    for (int32_t i = 0; i < n; i += 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)(n - i));
        const int8x16_t v = vld1q_z_s8(y + i, lanes);
        vst1q_p_s8(y + i, vminq_s8(vmaxq_s8(v, low), high), lanes);
    }
}

/* One sample or pixel through all rows of weights; every shift is negative.
 * y is saturated to int8; et_activate_mve follows. */
void et_rows_mve(const int8_t *x, const int8_t *w, const int32_t *start, const et_output *output,
                 int8_t *y, int32_t n_in, int32_t n_out);

/* A convolution with a group a channel, of any kernel and stride; as et_rows_mve. */
void et_channels_mve(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                     const et_output *output, int8_t *y, const et_window *window);

#endif
#endif
