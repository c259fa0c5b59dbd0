#include "et_dsp.h"
#include "et_view.h"

#if defined(ET_DSP)

/* One plane a channel holds the rows under the kernel as int16, each in the slot
 * row % kernel_height, so that every row is widened once. Kernels of width 3, stride 1 along rows. */
enum { WIDTH = 3, COLUMNS = 4 };

typedef struct {
    int16_t *planes;
    int32_t pitch; /* int16 a row: a multiple of 4 and 2 more */
} strip;

static int32_t slot(const et_window *v, int32_t row) {
    return (row + v->kernel_height) % v->kernel_height;
}

/* Spread a row of the image, or of zero points, over the planes. */
static void spread(const strip *s, const et_window *v, const int8_t *x, int32_t zero_point,
                   int32_t row) {
    const int32_t plane = v->kernel_height * s->pitch;
    int16_t *first = s->planes + slot(v, row) * s->pitch;
    const int inside = row >= 0 && row < v->height;
    const int32_t from = inside ? v->left : s->pitch, to = from + v->width;
    for (int32_t c = 0; c < v->n_in; c++) {
        int16_t *line = first + c * plane;
        for (int32_t j = 0; j < et_min(from, s->pitch); j++)
            line[j] = (int16_t)zero_point;
        for (int32_t j = to; j < s->pitch; j++)
            line[j] = (int16_t)zero_point;
    }
    if (!inside)
        return;
    x += row * v->width * v->n_in;
    for (int32_t j = from; j < et_min(to, s->pitch); j++) {
        int16_t *line = first + j;
        int32_t c = 0;
        for (; c + 4 <= v->n_in; c += 4, line += 4 * plane, x += 4) {
            const uint32_t word = et_load4(x);
            const uint32_t even = et_sxtb16(word), odd = et_sxtb16_odd(word);
            line[0] = (int16_t)even;
            line[plane] = (int16_t)odd;
            line[2 * plane] = (int16_t)(even >> 16);
            line[3 * plane] = (int16_t)(odd >> 16);
        }
        for (; c < v->n_in; c++, line += plane)
            *line = *x++;
    }
}

/* Weights of a channel: of each row the first two as a pair, and the third. */
typedef struct {
    uint32_t pair, last;
} taps;

/* Four results next to each other: a, b, c, d += a row of the kernel. */
#define ADD_ROW(line, w)                                                          \
    do {                                                                          \
        const et_word *at = (const et_word *)(const void *)(line);                \
        const uint32_t x01 = at[0], x23 = at[1], x45 = at[2];                     \
        const uint32_t x12 = et_load4((const int8_t *)(line) + 2);                \
        const uint32_t x34 = et_load4((const int8_t *)(line) + 6);                \
        a = et_smlabb(x23, (w).last, et_smlad(x01, (w).pair, a));                 \
        b = et_smlatb(x23, (w).last, et_smlad(x12, (w).pair, b));                 \
        c = et_smlabb(x45, (w).last, et_smlad(x23, (w).pair, c));                 \
        d = et_smlatb(x45, (w).last, et_smlad(x34, (w).pair, d));                 \
    } while (0)

/* One row of results of one channel. */
ET_INLINE void one_row(const et_window *v, const int16_t *const *lines, const taps *w,
                       int32_t height, int32_t start, int32_t multiplier, int32_t right,
                       int32_t zero_point, int8_t *y) {
    for (int32_t q = 0; q < v->out_width; q += COLUMNS) {
        int32_t a = start, b = start, c = start, d = start;
        for (int32_t i = 0; i < height; i++)
            ADD_ROW(lines[i] + q, w[i]);
        const int32_t left = v->out_width - q;
        *y = et_requantize_dsp(a, multiplier, right, zero_point);
        y += v->n_out;
        if (left > 1) {
            *y = et_requantize_dsp(b, multiplier, right, zero_point);
            y += v->n_out;
        }
        if (left > 2) {
            *y = et_requantize_dsp(c, multiplier, right, zero_point);
            y += v->n_out;
        }
        if (left > 3) {
            *y = et_requantize_dsp(d, multiplier, right, zero_point);
            y += v->n_out;
        }
    }
}

enum { ROWS_MAX = 5 };

int et_depthwise_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                      const et_output *output, int8_t *y, const et_window *window, void *scratch) {
    const et_window *v = window;
    if (v->groups != v->n_in || v->n_in != v->n_out || v->kernel_width != WIDTH ||
        v->kernel_height > ROWS_MAX || v->stride_right != 1)
        return 0;
    const strip s = {scratch, (v->out_width + COLUMNS - 1) / COLUMNS * COLUMNS + 2};
    const int32_t plane = v->kernel_height * s.pitch;
    int32_t filled = -v->top;
    for (int32_t p = 0; p < v->out_height; p++) {
        const int32_t row = p * v->stride_down - v->top;
        for (filled = et_max(filled, row); filled < row + v->kernel_height; filled++)
            spread(&s, v, x, x_zero_point, filled);
        for (int32_t o = 0; o < v->n_out; o++) {
            const int16_t *lines[ROWS_MAX];
            taps weights[ROWS_MAX];
            const int8_t *from = w + o * v->kernel_height * WIDTH;
            for (int32_t i = 0; i < v->kernel_height; i++, from += WIDTH) {
                lines[i] = s.planes + o * plane + slot(v, row + i) * s.pitch;
                weights[i].pair = ((uint32_t)from[0] & 0xffffu) | (uint32_t)from[1] << 16;
                weights[i].last = (uint32_t)from[2];
            }
            int8_t *to = y + p * v->out_width * v->n_out + o;
            if (v->kernel_height == 3)
                one_row(v, lines, weights, 3, start[o], output->multiplier[o], -output->shift[o],
                        output->zero_point, to);
            else
                one_row(v, lines, weights, v->kernel_height, start[o], output->multiplier[o],
                        -output->shift[o], output->zero_point, to);
        }
    }
    et_activate(output, y, v->out_height * v->out_width * v->n_out);
    return 1;
}

#endif
