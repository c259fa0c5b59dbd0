#include "et_mve.h"
#include "et_view.h"

#if defined(ET_HELIUM)

/* Lanes are four channels; four pixels next to each other share the loads of the weights. */
enum { PIXELS = 4 };

/* Where some channels of some pixels come from. */
typedef struct {
    const et_window *window;
    const int8_t *x; /* the image, from the first of these channels on */
    const int8_t *w; /* weights of the first of these channels */
    int32_t zero_point;
    uint32x4_t apart; /* from the weights of one channel to those of the next */
    mve_pred16_t lanes;
} source;

#define TIMES(at, weights) vmulq_s32(vldrbq_s32(at), weights)

/* Four pixels from (p, q) on, all four channels and all columns inside. */
ET_INLINE void four_pixels(const source *s, int32_t p, int32_t q, int32x4_t acc[PIXELS]) {
    const et_window *v = s->window;
    const int32_t row = p * v->stride_down - v->top, column = q * v->stride_right - v->left;
    const int32_t step = v->stride_right * v->n_in, n_in = v->n_in, width = v->kernel_width;
    const uint32x4_t apart = s->apart;
    const int8_t *w = s->w;
    int32x4_t a = acc[0], b = a, c = a, d = a;
    for (int32_t i = row; i < row + v->kernel_height; i++) {
        if (i < 0 || i >= v->height) {
            int32x4_t outside = vdupq_n_s32(0);
            for (const int8_t *end = w + width; w != end; w++)
                outside = vaddq_s32(outside, vldrbq_gather_offset_s32(w, apart));
            outside = vmulq_n_s32(outside, s->zero_point);
            a = vaddq_s32(a, outside);
            b = vaddq_s32(b, outside);
            c = vaddq_s32(c, outside);
            d = vaddq_s32(d, outside);
            continue;
        }
        const int8_t *x = s->x + (i * v->width + column) * n_in;
        for (const int8_t *end = w + width; w != end; w++, x += n_in) {
            const int32x4_t weights = vldrbq_gather_offset_s32(w, apart);
            a = vaddq_s32(a, TIMES(x, weights));
            b = vaddq_s32(b, TIMES(x + step, weights));
            c = vaddq_s32(c, TIMES(x + 2 * step, weights));
            d = vaddq_s32(d, TIMES(x + 3 * step, weights));
        }
    }
    acc[0] = a;
    acc[1] = b;
    acc[2] = c;
    acc[3] = d;
}

/* One pixel; taps outside the image see the zero point. */
ET_INLINE int32x4_t one_pixel(const source *s, int32_t p, int32_t q, int32x4_t acc) {
    const et_window *v = s->window;
    const et_view at = et_look(v, p, q);
    const int8_t *w = s->w;
    for (int32_t i = 0; i < v->kernel_height; i++)
        for (int32_t j = 0; j < v->kernel_width; j++, w++) {
            const int32x4_t weights = vldrbq_gather_offset_z_s32(w, s->apart, s->lanes);
            if (i >= at.first_row && i < at.end_row && j >= at.first_column && j < at.end_column) {
                const int8_t *x = s->x + et_pixel(v, &at, i, j) * v->n_in;
                acc = vaddq_s32(acc, vmulq_s32(vldrbq_z_s32(x, s->lanes), weights));
            } else {
                acc = vmlaq_n_s32(acc, weights, s->zero_point);
            }
        }
    return acc;
}

/* One row of results of up to four channels. */
static void one_row(const source *s, int32_t p, const int32_t *start, const et_output *output,
                    int8_t *y, int32_t channel, int whole) {
    const et_window *v = s->window;
    const int32x4_t bias = vld1q_z_s32(start + channel, s->lanes);
    const int32x4_t multiplier = vld1q_z_s32(output->multiplier + channel, s->lanes);
    const int32x4_t shift = vldrbq_z_s32(output->shift + channel, s->lanes);
    const int32_t zero_point = output->zero_point, pitch = v->n_out;
    for (int32_t q = 0; q < v->out_width;) {
        const int32_t first = q * v->stride_right - v->left;
        const int32_t end = first + (PIXELS - 1) * v->stride_right + v->kernel_width;
        int32x4_t acc[PIXELS] = {bias};
        if (whole && q + PIXELS <= v->out_width && first >= 0 && end <= v->width) {
            four_pixels(s, p, q, acc);
            vstrbq_s32(y, et_requantize4(acc[0], multiplier, shift, zero_point));
            vstrbq_s32(y + pitch, et_requantize4(acc[1], multiplier, shift, zero_point));
            vstrbq_s32(y + 2 * pitch, et_requantize4(acc[2], multiplier, shift, zero_point));
            vstrbq_s32(y + 3 * pitch, et_requantize4(acc[3], multiplier, shift, zero_point));
            y += PIXELS * pitch;
            q += PIXELS;
            continue;
        }
        acc[0] = one_pixel(s, p, q++, bias);
        vstrbq_p_s32(y, et_requantize4(acc[0], multiplier, shift, zero_point), s->lanes);
        y += pitch;
    }
}

void et_channels_mve(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                     const et_output *output, int8_t *y, const et_window *window) {
    const et_window *v = window;
    const int32_t n = v->kernel_height * v->kernel_width;
    const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)n);
    for (int32_t c = 0; c < v->n_in; c += 4) {
        const source s = {v,     x + c,
                          w + c * n, x_zero_point,
                          apart, vctp32q((uint32_t)(v->n_in - c))};
        for (int32_t p = 0; p < v->out_height; p++)
            one_row(&s, p, start, output, y + p * v->out_width * v->n_out + c, c, c + 4 <= v->n_in);
    }
}

#endif
