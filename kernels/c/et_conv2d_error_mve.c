#include "et_tile_mve.h"

#if defined(ET_HELIUM)

/* All errors that reach a pixel, by all taps and output channels, are a column of bytes: it meets
 * the weights of four input channels. Some channels at a time, their weights are turned into rows
 * and multiplied by their ratio, which fits in int16. */

/* filters[channel][tap, the last first][output], from channel first on */
static void turn_weights(const et_window *v, const int8_t *w, const int16_t *ratio,
                         int16_t *filters, int32_t first, int32_t columns) {
    const int32_t taps = v->kernel_height * v->kernel_width, k = taps * v->n_out;
    const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)k);
    for (int32_t o = 0; o < v->n_out; o++)
        for (int32_t tap = 0; tap < taps; tap++, w += v->n_in) {
            int16_t *to = filters + (taps - 1 - tap) * v->n_out + o;
            for (int32_t c = 0; c < columns; c += 4, to += 4 * k) {
                const mve_pred16_t lanes = vctp32q((uint32_t)(columns - c));
                const int32x4_t wide = vmulq_n_s32(vldrbq_z_s32(w + first + c, lanes), ratio[o]);
                vstrhq_scatter_shifted_offset_p_s32(to, apart, wide, lanes);
            }
        }
}

/* Products of a column with four rows: ten instructions for 32 products. */
ET_INLINE int32x4_t four_filters(const int8_t *x, const int16_t *const p[4], int32_t n) {
    register int32_t a __asm__("r4") = 0;
    register int32_t b __asm__("r6") = 0;
    register int32_t c __asm__("r8") = 0;
    register int32_t d __asm__("r10") = 0;
    register int32_t turns __asm__("lr") = n;
    const int16_t *p0 = p[0], *p1 = p[1], *p2 = p[2], *p3 = p[3];
    __asm__ volatile(
        "dlstp.16 lr,lr\n1:\n\t"
        "vldrb.s16 q0,[%[x]],#8\n\tvldrh.16 q1,[%[p0]],#16\n\tvldrh.16 q2,[%[p1]],#16\n\t"
        "vldrh.16 q3,[%[p2]],#16\n\tvmladava.s16 %[a],q0,q1\n\tvldrh.16 q1,[%[p3]],#16\n\t"
        "vmladava.s16 %[b],q0,q2\n\tvmladava.s16 %[c],q0,q3\n\tvmladava.s16 %[d],q0,q1\n\t"
        "letp lr,1b"
        : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [x] "+l"(x), [p0] "+r"(p0),
          [p1] "+r"(p1), [p2] "+r"(p2), [p3] "+r"(p3), "+r"(turns)
        :
        : "q0", "q1", "q2", "q3", "cc", "memory");
    return et_pack4(a, b, c, d);
}

/* Some channels of a pixel, from its column of k errors. */
static void multiply(const int8_t *column, const int16_t *filters, int32_t k, int32_t columns,
                     et_reducer *reducer, int8_t *y) {
    for (int32_t c = 0; c < columns; c += 4, filters += 4 * k) {
        const int16_t *p[4];
        for (int32_t i = 0; i < 4; i++)
            p[i] = filters + et_min(i, columns - 1 - c) * k;
        const int32x4_t e = et_reduce4(reducer, four_filters(column, p, k));
        vstrbq_p_s32(y + c, e, vctp32q((uint32_t)(columns - c)));
    }
}

int32_t et_conv2d_error_fast(const int8_t *e, const int8_t *w, const int16_t *ratio,
                             const et_scaling *scaling, int8_t *out, const et_window *window,
                             void *scratch) {
    const et_window *v = window;
    const et_window back = {v->out_height, v->out_width, v->n_out, v->height, v->width, v->n_in,
                            v->kernel_height, v->kernel_width, 1, 1,
                            v->kernel_height - 1 - v->top, v->kernel_width - 1 - v->left, 1};
    const int32_t taps = v->kernel_height * v->kernel_width, k = taps * v->n_out;
    const int point = et_is_point(v);
    const int32_t most = ET_ERROR_COLUMNS(k);
    int16_t *filters = scratch;
    int8_t *column = (int8_t *)(filters + et_min(most, v->n_in) * k);
    et_reducer reducer = {scaling->multiplier, scaling->shift, 0};
    if (scratch == NULL || v->groups != 1 || v->stride_down != 1 || v->stride_right != 1 ||
        scaling->shift >= 0)
        return -1;
    for (int32_t first = 0; first < v->n_in; first += most) {
        const int32_t columns = et_min(most, v->n_in - first);
        int8_t *to = out + first;
        turn_weights(v, w, ratio, filters, first, columns);
        for (int32_t p = 0; p < v->height; p++)
            for (int32_t q = 0; q < v->width; q++, to += v->n_in) {
                const et_view at = et_look(&back, p, q);
                const int8_t *from = e + (p * v->width + q) * v->n_out;
                if (!point) {
                    et_gather(column, e, 0, &back, &at);
                    from = column;
                }
                multiply(from, filters, k, columns, &reducer, to);
            }
    }
    return (int32_t)reducer.peak;
}

#endif
