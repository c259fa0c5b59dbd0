/* Helium (Cortex-M55, M85): results four at a time. Private to the kernels. */
#ifndef ET_MVE_H
#define ET_MVE_H

#include "et_fast.h"

#if defined(ET_HELIUM)
#include <arm_mve.h>

#define ET_INLINE static inline __attribute__((always_inline))

/* A loop in assembly is a function of its own where it needs nearly all registers, or changes VPR,
 * which no call keeps. */
#define ET_ALONE static __attribute__((noinline, hot))

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

/* Copy n bytes, 16 at a time. */
ET_INLINE int8_t *et_copy(int8_t *to, const int8_t *from, int32_t n) {
    int8_t *next = to;
    __asm__ volatile("wlstp.8 lr,%[n],2f\n1:\n\tvldrb.8 q0,[%[from]],#16\n\t"
                     "vstrb.8 q0,[%[to]],#16\n\tletp lr,1b\n2:"
                     : [from] "+r"(from), [to] "+r"(next)
                     : [n] "r"(n)
                     : "q0", "lr", "cc", "memory");
    return to + n;
}

ET_INLINE int8_t *et_repeat(int8_t *to, int32_t value, int32_t n) {
    int8_t *next = to;
    __asm__ volatile("vdup.8 q0,%[value]\n\twlstp.8 lr,%[n],2f\n1:\n\t"
                     "vstrb.8 q0,[%[to]],#16\n\tletp lr,1b\n2:"
                     : [to] "+r"(next)
                     : [n] "r"(n), [value] "r"(value)
                     : "q0", "lr", "cc", "memory");
    return to + n;
}

/* What one pixel sees, one byte after the other. */
ET_INLINE void et_gather(int8_t *to, const int8_t *x, int32_t zero_point, const et_window *v,
                   const et_view *at) {
    const int32_t row = v->kernel_width * v->n_in;
    const int32_t left = at->first_column * v->n_in;
    const int32_t inside = (at->end_column - at->first_column) * v->n_in;
    const int8_t *from = x + et_pixel(v, at, at->first_row, at->first_column) * v->n_in;
    for (int32_t i = 0; i < v->kernel_height; i++) {
        if (i < at->first_row || i >= at->end_row || inside <= 0) {
            to = et_repeat(to, zero_point, row);
            continue;
        }
        if (inside == row) {
            to = et_copy(to, from, row);
        } else {
            to = et_repeat(to, zero_point, left);
            to = et_copy(to, from, inside);
            to = et_repeat(to, zero_point, row - left - inside);
        }
        from += v->width * v->n_in;
    }
}

/* Four rows share the loads of x: ten instructions for 64 products. The loop predicates its own
 * tail, so that any n will do. */
ET_INLINE int32x4_t et_four_rows(const int8_t *x, const int8_t *const p[4], int32_t n) {
    register int32_t a __asm__("r4") = 0;
    register int32_t b __asm__("r6") = 0;
    register int32_t c __asm__("r8") = 0;
    register int32_t d __asm__("r10") = 0;
    register int32_t turns __asm__("lr") = n;
    const int8_t *p0 = p[0], *p1 = p[1], *p2 = p[2], *p3 = p[3];
    __asm__ volatile(
        "dlstp.8 lr,lr\n1:\n\t"
        "vldrb.8 q0,[%[x]],#16\n\tvldrb.8 q1,[%[p0]],#16\n\tvldrb.8 q2,[%[p1]],#16\n\t"
        "vldrb.8 q3,[%[p2]],#16\n\tvmladava.s8 %[a],q0,q1\n\tvldrb.8 q1,[%[p3]],#16\n\t"
        "vmladava.s8 %[b],q0,q2\n\tvmladava.s8 %[c],q0,q3\n\tvmladava.s8 %[d],q0,q1\n\t"
        "letp lr,1b"
        : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [x] "+r"(x), [p0] "+r"(p0),
          [p1] "+r"(p1), [p2] "+r"(p2), [p3] "+r"(p3), "+r"(turns)
        :
        : "q0", "q1", "q2", "q3", "cc", "memory");
    return et_pack4(a, b, c, d);
}

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

/* et_core of four numbers. */
ET_INLINE uint32x4_t et_core4(uint32x4_t x) {
    x = vmulq_n_u32(x, 0x7feb352du);
    return vmulq_n_u32(veorq_u32(x, vshrq_n_u32(x, 15)), 0x846ca68bu);
}

/* et_random_word of four counters. */
ET_INLINE uint32x4_t et_random4(et_key key, uint32x4_t counter) {
    uint32x4_t x = vaddq_n_u32(counter, key.k0);
    x = et_core4(veorq_u32(x, vshrq_n_u32(x, 16)));
    x = et_core4(veorq_u32(x, vdupq_n_u32(et_fold(key.k1))));
    return veorq_u32(x, vshrq_n_u32(x, 16));
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
