#include "et_tile_mve.h"

#if defined(ET_HELIUM)

/* Some rows of eight channels at a time become planes, a channel after the other. Rows follow each
 * other, so that a tap's gradient is one product of an error's plane and a moved plane of x. With
 * strides each plane of x is several: columns, and rows, of which each meets its own taps. */

/* How rows lie in planes. */
typedef struct {
    int32_t pitch; /* bytes of a row; between two rows of errors are zeros */
    int32_t part;  /* bytes of one of the parts of a plane of x */
    int32_t size;  /* and of all of them */
} sheet;

static sheet sheet_of(const et_window *v, int32_t rows) {
    const int32_t all = v->out_width + (v->kernel_width - 1) / v->stride_right;
    const int32_t alone = et_max(v->out_width, v->left + v->width);
    const int32_t shared = et_max(alone, v->out_width + v->kernel_width - 1 - v->left);
    /* Padding right of a row may be that left of the next. */
    const int32_t pitch = v->stride_right == 1 ? et_min(all, shared) : all;
    const int32_t part = (rows + (v->kernel_height - 1) / v->stride_down) * pitch +
                         (v->kernel_width - 1) / v->stride_right;
    const sheet found = {pitch, part, part * v->stride_down * v->stride_right};
    return found;
}

/* Fill planes of x with the rows from `first` on, which may lie outside. */
static void spread_values(const et_window *v, const sheet *s, const et_spray *spray,
                          const int8_t *x, int32_t first, int32_t rows, int8_t *to) {
    const int32_t down = v->stride_down, right = v->stride_right, step = right * v->n_in;
    const int32_t top = et_max(-first, 0), end = et_min(rows, v->height - first);
    for (int32_t j = 0; j < right; j++) {
        /* The first column of these parts: the j-th, or the first inside the image. */
        const int32_t skipped = j < v->left ? (v->left - j + right - 1) / right : 0;
        const int32_t column = skipped * right + j - v->left;
        const int32_t n =
            et_clip((v->width - column + right - 1) / right, 0, s->pitch - skipped);
        const int8_t *from = x + ((first + top) * v->width + column) * v->n_in;
        for (int32_t i = top; i < end; i++, from += v->width * v->n_in)
            et_turn(to + (i % down * right + j) * s->part + i / down * s->pitch + skipped, 1,
                    spray, from, step, n);
    }
}

/* Where in a plane of x each tap begins, the last up to a multiple of four times. */
static void set_offsets(const et_window *v, const sheet *s, int32_t *offset) {
    const int32_t taps = v->kernel_height * v->kernel_width;
    for (int32_t tap = 0; tap < (taps + 3) / 4 * 4; tap++) {
        const int32_t i = et_min(tap, taps - 1) / v->kernel_width;
        const int32_t j = et_min(tap, taps - 1) % v->kernel_width;
        offset[tap] = (i % v->stride_down * v->stride_right + j % v->stride_right) * s->part +
                      i / v->stride_down * s->pitch + j / v->stride_right;
    }
}

/* sums[room] += what some rows of one channel say; n is the length of the products. */
ET_INLINE void multiply(const int8_t *errors, const int8_t *values, const int32_t *offset,
                        int32_t zero_point, int32_t n, int32_t room, int32_t *sums) {
    const int32x4_t moved = vdupq_n_s32(-zero_point * et_total(errors, n));
    for (int32_t tap = 0; tap < room; tap += 4, offset += 4, sums += 4) {
        const int8_t *const p[4] = {values + offset[0], values + offset[1], values + offset[2],
                                    values + offset[3]};
        vst1q_s32(sums,
                  vaddq_s32(vld1q_s32(sums), vaddq_s32(moved, et_four_rows(errors, p, n))));
    }
}

int32_t et_depthwise_learn_fast(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                                const et_weights *weights, const et_rates *rates, int32_t batch,
                                const et_window *window, void *scratch) {
    const et_window *v = window;
    const int32_t taps = v->kernel_height * v->kernel_width, room = (taps + 3) / 4 * 4;
    const int32_t pixels = v->out_height * v->out_width, image = v->height * v->width;
    const int32_t all = v->out_width + (v->kernel_width - 1) / v->stride_right;
    const int32_t most = ET_STRIP_ROWS(v->out_height, all * v->stride_down * v->stride_right);
    const sheet s = sheet_of(v, most);
    int32_t *offset = scratch, *sums = offset + room, saturated = 0;
    int8_t *errors = (int8_t *)(sums + ET_LANES * room);
    int8_t *values = errors + ET_LANES * s.pitch * most;
    if (scratch == NULL || v->groups != v->n_in || v->n_in != v->n_out ||
        v->left >= v->kernel_width || s.size > ET_PLANE_MAX)
        return -1;
    set_offsets(v, &s, offset);
    for (int32_t o = 0; o < v->n_out; o += ET_LANES) {
        const int32_t channels = et_min(ET_LANES, v->n_out - o);
        const et_spray of_errors = et_spray_to(s.pitch * most, channels);
        const et_spray of_values = et_spray_to(s.size, channels);
        __builtin_memset(sums, 0, (size_t)(ET_LANES * room) * sizeof *sums);
        for (int32_t n = 0; n < batch; n++)
            for (int32_t first = 0; first < v->out_height; first += most) {
                const int32_t rows = et_min(most, v->out_height - first);
                const int8_t *from = e + (n * pixels + first * v->out_width) * v->n_out + o;
                et_repeat(errors, 0, channels * s.pitch * most);
                et_repeat(values, x_zero_point, channels * s.size);
                for (int32_t i = 0; i < rows; i++, from += v->out_width * v->n_out)
                    et_turn(errors + i * s.pitch, 1, &of_errors, from, v->n_out, v->out_width);
                spread_values(v, &s, &of_values, x + n * image * v->n_in + o,
                              first * v->stride_down - v->top,
                              (rows - 1) * v->stride_down + v->kernel_height, values);
                for (int32_t c = 0; c < channels; c++)
                    multiply(errors + c * s.pitch * most, values + c * s.size, offset,
                             x_zero_point, rows * s.pitch, room, sums + c * room);
            }
        for (int32_t c = 0; c < channels; c++)
            saturated += weights->update(weights, sums + c * room, et_rate(rates, o + c, 32),
                                         (uint32_t)((o + c) * taps), taps);
    }
    return saturated;
}

#endif
