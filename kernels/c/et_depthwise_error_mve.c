#include "et_tile_mve.h"

#if defined(ET_HELIUM)

/* Some rows of eight channels at a time. For each row of results a channel has a plane, in which
 * the errors that a kernel's column meets are neighbours, and the next column follows: so what
 * reaches a pixel are at most 16 bytes in one piece, and a product with the channel's weights. With
 * strides there are zeros between the errors. */
enum { TAPS = 16 };

typedef struct {
    const et_window *window;
    int32_t top, left;  /* padding of the errors around which the kernel moves */
    int32_t pitch, most; /* bytes of a row of a plane; rows of it */
} sheet;

/* Fill planes with the errors that reach rows first .. first + rows - 1. */
static void spread(const sheet *s, const et_spray *spray, const int8_t *e, int32_t first,
                   int32_t rows, int8_t *to) {
    const et_window *v = s->window;
    const int32_t height = v->kernel_height, right = v->stride_right, next = right * height;
    const int32_t columns = et_min(v->out_width, (v->width + v->left + right - 1) / right);
    int32_t p = et_max(first - s->top + v->stride_down - 1, 0) / v->stride_down;
    for (; p < v->out_height; p++) {
        const int32_t row = p * v->stride_down + s->top - first; /* the last that it reaches */
        const int32_t i = et_max(row - rows + 1, 0), end = et_min(height, row + 1);
        if (i >= end)
            break;
        int8_t *at = to + (row - i) * s->pitch + s->left * height + i;
        for (int32_t left = end - i; left > 0; left--, at += 1 - s->pitch)
            et_turn(at, next, spray, e + p * v->out_width * v->n_out, v->n_out, columns);
    }
}

/* The order of a channel's weights: the last first, column by column. */
static uint8x16_t order_of(const et_window *v) {
    const int32_t height = v->kernel_height, width = v->kernel_width;
    uint8_t order[TAPS] = {0};
    for (int32_t j = 0; j < width; j++)
        for (int32_t i = 0; i < height; i++)
            order[j * height + i] = (uint8_t)((height - 1 - i) * width + width - 1 - j);
    return vld1q_u8(order);
}

/* Results of one channel, at their offsets in its plane: one load and one product each. */
ET_INLINE int32x4_t four(const int8_t *plane, const int32_t *offset, int8x16_t weights) {
    return et_pack4(vmladavq_s8(vld1q_s8(plane + offset[0]), weights),
                    vmladavq_s8(vld1q_s8(plane + offset[1]), weights),
                    vmladavq_s8(vld1q_s8(plane + offset[2]), weights),
                    vmladavq_s8(vld1q_s8(plane + offset[3]), weights));
}

static void one_channel(const int8_t *plane, const int32_t *offset, int8x16_t weights,
                        int32_t ratio, int32_t n, int32_t n_in, et_reducer *reducer, int8_t *to) {
    const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)n_in);
    et_reducer local = *reducer;
    for (; n >= 4; n -= 4, offset += 4, to += 4 * n_in) {
        const int32x4_t sum = vmulq_n_s32(four(plane, offset, weights), ratio);
        vstrbq_scatter_offset_s32(to, apart, et_reduce4(&local, sum));
    }
    if (n > 0) {
        const mve_pred16_t lanes = vctp32q((uint32_t)n);
        const int32x4_t sum = vmulq_n_s32(four(plane, offset, weights), ratio);
        vstrbq_scatter_offset_p_s32(to, apart, et_reduce4(&local, sum), lanes);
    }
    reducer->peak = local.peak;
}

/* Where what reaches each result of a strip begins; four results may take the last several times,
 * and the zeros of rows that are not there. */
static void set_offsets(const sheet *s, int32_t *offset) {
    int32_t at = 0;
    for (int32_t p = 0; p < s->most; p++) {
        at = p * s->pitch;
        for (int32_t q = 0; q < s->window->width; q++, at += s->window->kernel_height)
            *offset++ = at;
    }
    for (int32_t i = 0; i < 3; i++)
        *offset++ = at - s->window->kernel_height;
}

int32_t et_depthwise_error_fast(const int8_t *e, const int8_t *w, const int16_t *ratio,
                                const et_scaling *scaling, int8_t *out, const et_window *window,
                                void *scratch) {
    const et_window *v = window;
    const int32_t height = v->kernel_height, width = v->kernel_width;
    const int32_t pitch = (v->width + width - 1) * height;
    const sheet s = {v, height - 1 - v->top, width - 1 - v->left, pitch,
                     ET_STRIP_ROWS(v->height, pitch)};
    const int32_t size = s.most * pitch;
    int32_t *offset = scratch;
    int8_t *planes = (int8_t *)(offset + s.most * v->width + 3);
    et_reducer reducer = et_reducer_of(scaling->multiplier, scaling->shift);
    if (scratch == NULL || v->groups != v->n_in || v->n_in != v->n_out ||
        height * width > TAPS || s.left < 0 || size > ET_PLANE_MAX)
        return -1;
    const uint8x16_t order = order_of(v);
    const mve_pred16_t taps = vctp8q((uint32_t)(height * width));
    set_offsets(&s, offset);
    for (int32_t o = 0; o < v->n_out; o += ET_LANES) {
        const int32_t channels = et_min(ET_LANES, v->n_out - o);
        const et_spray spray = et_spray_to(size, channels);
        for (int32_t first = 0; first < v->height; first += s.most) {
            const int32_t rows = et_min(s.most, v->height - first);
            et_repeat(planes, 0, ET_LANES * size + TAPS);
            spread(&s, &spray, e + o, first, rows, planes);
            for (int32_t c = 0; c < channels; c++) {
                const int8x16_t weights =
                    vldrbq_gather_offset_z_s8(w + (o + c) * height * width, order, taps);
                one_channel(planes + c * size, offset, weights, ratio[o + c], rows * v->width,
                            v->n_in, &reducer, out + first * v->width * v->n_in + o + c);
            }
        }
    }
    return (int32_t)reducer.peak;
}

#endif
