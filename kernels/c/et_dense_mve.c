#include "et_mve.h"

#if defined(ET_HELIUM)

int32_t et_dot(const int8_t *a, const int8_t *b, int32_t n) {
    register int32_t sum __asm__("r4") = 0;
    __asm__ volatile("wlstp.8 lr,%[n],2f\n1:\n\tvldrb.8 q0,[%[a]],#16\n\tvldrb.8 q1,[%[b]],#16\n\t"
                     "vmladava.s8 %[sum],q0,q1\n\tletp lr,1b\n2:"
                     : [a] "+r"(a), [b] "+r"(b), [sum] "+r"(sum)
                     : [n] "r"(n)
                     : "q0", "q1", "lr", "cc", "memory");
    return sum;
}

void et_rows_mve(const int8_t *x, const int8_t *w, const int32_t *start, const et_output *output,
                 int8_t *y, int32_t n_in, int32_t n_out) {
    const int32_t *multiplier = output->multiplier, zero_point = output->zero_point;
    const int8_t *shift = output->shift;
    int32_t o = 0;
    for (; o + 4 <= n_out; o += 4, w += 4 * n_in) {
        const int8_t *const p[4] = {w, w + n_in, w + 2 * n_in, w + 3 * n_in};
        const int32x4_t acc = vaddq_s32(et_four_rows(x, p, n_in), vld1q_s32(start + o));
        vstrbq_s32(y + o, et_requantize4(acc, vld1q_s32(multiplier + o), vldrbq_s32(shift + o),
                                         zero_point));
    }
    if (o == n_out)
        return;
    /* One to three rows: the others repeat the last one and are not stored. */
    const int32_t left = n_out - o;
    const mve_pred16_t lanes = vctp32q((uint32_t)left);
    const int8_t *last = w + (left - 1) * n_in;
    const int8_t *const p[4] = {w, left > 1 ? w + n_in : w, last, last};
    const int32x4_t acc = vaddq_s32(et_four_rows(x, p, n_in), vld1q_z_s32(start + o, lanes));
    const int32x4_t scaled = et_requantize4(acc, vld1q_z_s32(multiplier + o, lanes),
                                            vldrbq_z_s32(shift + o, lanes), zero_point);
    vstrbq_p_s32(y + o, scaled, lanes);
}

/* Sums of four rows: nine instructions for 64 weights. */
ET_INLINE int32x4_t four_totals(const int8_t *const p[4], int32_t n) {
    register int32_t a __asm__("r4") = 0;
    register int32_t b __asm__("r6") = 0;
    register int32_t c __asm__("r8") = 0;
    register int32_t d __asm__("r10") = 0;
    register int32_t turns __asm__("lr") = n;
    const int8_t *p0 = p[0], *p1 = p[1], *p2 = p[2], *p3 = p[3];
    __asm__ volatile(
        "dlstp.8 lr,lr\n1:\n\t"
        "vldrb.8 q0,[%[p0]],#16\n\tvldrb.8 q1,[%[p1]],#16\n\tvldrb.8 q2,[%[p2]],#16\n\t"
        "vldrb.8 q3,[%[p3]],#16\n\tvaddva.s8 %[a],q0\n\tvaddva.s8 %[b],q1\n\t"
        "vaddva.s8 %[c],q2\n\tvaddva.s8 %[d],q3\n\tletp lr,1b"
        : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [p0] "+r"(p0), [p1] "+r"(p1),
          [p2] "+r"(p2), [p3] "+r"(p3), "+r"(turns)
        :
        : "q0", "q1", "q2", "q3", "cc", "memory");
    return et_pack4(a, b, c, d);
}

void et_start_fast(const int8_t *w, const int32_t *bias, int32_t x_zero_point, int32_t n_out,
                   int32_t n, int32_t *start) {
    int32_t o = 0;
    for (; o + 4 <= n_out; o += 4, w += 4 * n) {
        const int8_t *const p[4] = {w, w + n, w + 2 * n, w + 3 * n};
        vst1q_s32(start + o, vmlaq_n_s32(vld1q_s32(bias + o), four_totals(p, n), -x_zero_point));
    }
    for (; o < n_out; o++, w += n) {
        const int8_t *const p[4] = {w, w, w, w};
        start[o] = bias[o] - x_zero_point * vgetq_lane_s32(four_totals(p, n), 0);
    }
}

int et_dense_fast(const int8_t *x, const int8_t *w, const int32_t *start, const et_output *output,
                  int8_t *y, int32_t batch, int32_t n_in, int32_t n_out, void *scratch) {
    (void)scratch;
    if (!et_fits_mve(output, n_out))
        return 0;
    for (int32_t n = 0; n < batch; n++, x += n_in)
        et_rows_mve(x, w, start, output, y + n * n_out, n_in, n_out);
    et_activate_mve(output, y, batch * n_out);
    return 1;
}

int et_requantize_fast(const int32_t *acc, const et_output *output, int8_t *y, int32_t rows,
                       int32_t channels) {
    if (!et_fits_mve(output, channels))
        return 0;
    const int32_t *multiplier = output->multiplier;
    const int8_t *shift = output->shift;
    int8_t *to = y;
    for (int32_t r = 0; r < rows; r++, acc += channels, to += channels)
        for (int32_t o = 0; o < channels; o += 4) {
            const mve_pred16_t lanes = vctp32q((uint32_t)(channels - o));
            const int32x4_t scaled =
                et_requantize4(vld1q_z_s32(acc + o, lanes), vld1q_z_s32(multiplier + o, lanes),
                               vldrbq_z_s32(shift + o, lanes), output->zero_point);
            vstrbq_p_s32(to + o, scaled, lanes);
        }
    et_activate_mve(output, y, rows * channels);
    return 1;
}

#endif
