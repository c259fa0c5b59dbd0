#include "et_tile_mve.h"

#if defined(ET_HELIUM)

/* Of 16 values those that are open, as their predicate: a bit each. */
ET_INLINE mve_pred16_t open16(int8x16_t y, int32_t least, int32_t most, mve_pred16_t lanes) {
    return vcmpleq_m_n_s8(y, (int8_t)most, vcmpgeq_m_n_s8(y, (int8_t)least, lanes));
}

/* The ends of what is open; 0 where nothing is. */
static int range(int32_t low, int32_t high, int32_t *least, int32_t *most) {
    *least = et_max(low + 1, INT8_MIN);
    *most = et_min(high - 1, INT8_MAX);
    return low < INT8_MAX && high > INT8_MIN;
}

/* e = 0 where y < least or y > most. */
ET_ALONE void close(int8_t *e, const int8_t *y, int32_t least, int32_t most, int32_t n) {
    __asm__ volatile("wlstp.8 lr,%[n],2f\n1:\n\tvldrb.8 q0,[%[y]],#16\n\t"
                     "vpt.s8 lt,q0,%[least]\n\tvstrbt.8 %q[none],[%[e]]\n\t"
                     "vpt.s8 gt,q0,%[most]\n\tvstrbt.8 %q[none],[%[e]]\n\t"
                     "add %[e],%[e],#16\n\tletp lr,1b\n2:"
                     : [y] "+r"(y), [e] "+r"(e)
                     : [n] "r"(n), [least] "r"(least), [most] "r"(most), [none] "w"(vdupq_n_s8(0))
                     : "q0", "lr", "cc", "memory");
}

int32_t et_close_fast(int8_t *e, const int8_t *y, int32_t low, int32_t high, int32_t n) {
    int32_t least, most;
    if (!range(low, high, &least, &most))
        return 0;
    close(e, y, least, most, n);
    return n;
}

int32_t et_keep_open_fast(const int8_t *y, int32_t low, int32_t high, uint8_t *bits, int32_t n) {
    int32_t least, most;
    if (!range(low, high, &least, &most))
        return 0;
    const int32_t done = n / 16 * 16;
    for (int32_t i = 0; i < done; i += 16, bits += 2) {
        const mve_pred16_t open = open16(vld1q_s8(y + i), least, most, 0xffff);
        __builtin_memcpy(bits, &open, 2);
    }
    return done;
}

int32_t et_close_by_bits_fast(int8_t *e, const uint8_t *bits, int32_t n) {
    const int32_t done = n / 16 * 16;
    for (int32_t i = 0; i < done; i += 16, bits += 2) {
        mve_pred16_t open;
        __builtin_memcpy(&open, bits, 2);
        vst1q_s8(e + i, vld1q_z_s8(e + i, open));
    }
    return done;
}

/* Sums of 16 bits hold 256 rows of errors. */
int32_t et_sum_columns_fast(const int8_t *e, int32_t pitch, int32_t rows, int32_t columns,
                            int32_t *sums) {
    enum { MOST = 256 };
    if (columns < ET_COLUMNS)
        return 0;
    int32x4_t even = vdupq_n_s32(0), odd = even;
    for (int32_t row = 0; row < rows; row += MOST) {
        int16x8_t part = vdupq_n_s16(0);
        for (int32_t i = et_min(MOST, rows - row); i > 0; i--, e += pitch)
            part = vaddq_s16(part, vldrbq_s16(e));
        even = vaddq_s32(even, vmovlbq_s16(part));
        odd = vaddq_s32(odd, vmovltq_s16(part));
    }
    const int32x4x2_t both = {{even, odd}};
    vst2q_s32(sums, both);
    return ET_COLUMNS;
}

int32_t et_scale_error_fast(const int32_t *acc, int32_t multiplier, int32_t shift, int8_t *e,
                            int32_t n, int32_t *peak) {
    et_reducer reducer = et_reducer_of(multiplier, shift);
    if (shift > 0)
        return 0;
    for (int32_t i = 0; i < n; i += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(n - i));
        vstrbq_p_s32(e + i, et_reduce4(&reducer, vld1q_z_s32(acc + i, lanes)), lanes);
    }
    *peak = (int32_t)reducer.peak;
    return n;
}

int32_t et_slope_fast(const int8_t *e, const int8_t *x, const int8_t *slopes,
                      const et_scaling *scaling, int8_t *out, int32_t n, int32_t *peak) {
    et_reducer reducer = et_reducer_of(scaling->multiplier, scaling->shift);
    for (int32_t i = 0; i < n; i += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(n - i));
        const int32x4_t place = vaddq_n_s32(vldrbq_z_s32(x + i, lanes), -INT8_MIN);
        const int32x4_t slope =
            vldrbq_gather_offset_z_s32(slopes, vreinterpretq_u32_s32(place), lanes);
        const int32x4_t steep = vmulq_s32(vldrbq_z_s32(e + i, lanes), slope);
        vstrbq_p_s32(out + i, et_reduce4(&reducer, steep), lanes);
    }
    *peak = (int32_t)reducer.peak;
    return n;
}

int32_t et_merge_fast(const int8_t *const *parts, const int32_t *exponents, int32_t count,
                      int32_t base, const et_scaling *scaling, int8_t *out, int32_t n,
                      int32_t *peak) {
    et_reducer reducer = et_reducer_of(scaling->multiplier, scaling->shift);
    for (int32_t i = 0; i < n; i += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(n - i));
        int32x4_t sum = vdupq_n_s32(0);
        for (int32_t k = 0; k < count; k++) {
            const int32_t left = et_max(exponents[k] - base, -31);
            sum = vaddq_s32(sum, vshlq_r_s32(vldrbq_z_s32(parts[k] + i, lanes), left));
        }
        vstrbq_p_s32(out + i, et_reduce4(&reducer, sum), lanes);
    }
    *peak = (int32_t)reducer.peak;
    return n;
}

/* sums = factor * (x - zero_point), or that and the sums. */
#define PRODUCT                                                                    \
    "wlstp.32 lr,%[n],2f\n1:\n\tvldrb.s32 q0,[%[x]],#4\n\tvsub.i32 q0,q0,%[zero_point]\n\t"

void et_accumulate(int32_t *sums, int32_t factor, const int8_t *x, int32_t zero_point, int32_t n) {
    if (factor == 0)
        return;
    __asm__ volatile(PRODUCT "vldrw.u32 q1,[%[sums]]\n\tvmla.s32 q1,q0,%[factor]\n\t"
                     "vstrw.32 q1,[%[sums]],#16\n\tletp lr,1b\n2:"
                     : [x] "+l"(x), [sums] "+r"(sums)
                     : [n] "r"(n), [zero_point] "r"(zero_point), [factor] "r"(factor)
                     : "q0", "q1", "lr", "cc", "memory");
}

int32_t et_begin(int32_t *sums, int32_t factor, const int8_t *x, int32_t zero_point, int32_t n) {
    __asm__ volatile(PRODUCT "vmul.i32 q0,q0,%[factor]\n\tvstrw.32 q0,[%[sums]],#16\n\t"
                     "letp lr,1b\n2:"
                     : [x] "+l"(x), [sums] "+r"(sums)
                     : [n] "r"(n), [zero_point] "r"(zero_point), [factor] "r"(factor)
                     : "q0", "lr", "cc", "memory");
    return 1;
}

#endif
