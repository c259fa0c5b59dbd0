#include "et_tile_mve.h"

#if defined(ET_HELIUM)

/* A weight gradient is a product over pixels: the errors of an output channel meet what four
 * weights multiplied, each in a row of bytes. Some weights of a channel and some pixels at a time.
 * Rows hold x itself; its zero point comes off with the sum of the errors. */
enum { WEIGHTS = ET_LEARN_WEIGHTS, PIXELS = ET_LEARN_PIXELS };

/* The first output that reads column 0 or more by a tap of column `column`, and so on. */
static int32_t first_reader(int32_t column, int32_t stride) {
    return column >= 0 ? 0 : (stride - 1 - column) / stride;
}

/* What a tap reads at some pixels of a batch of results, some channels. */
static void pack_tap(const et_window *v, const int8_t *x, const int8_t *outside, int32_t tap,
                     int32_t first, int32_t count, const et_spray *spray, int8_t *to) {
    const int32_t i = tap / v->kernel_width - v->top, j = tap % v->kernel_width - v->left;
    const int32_t step = v->stride_right * v->n_in;
    const int32_t from = first_reader(j, v->stride_right);
    const int32_t until = first_reader(j - v->width, v->stride_right);
    int32_t line = first / v->out_width, q = first % v->out_width;
    for (const int8_t *end = to + count; to != end; line++, q = 0) {
        const int32_t n = et_min(v->out_width - q, (int32_t)(end - to));
        const int32_t row = line % v->out_height * v->stride_down + i;
        const int32_t whole = row >= 0 && row < v->height ? n : 0;
        const int32_t a = et_clip(from - q, 0, whole), b = et_clip(until - q, a, whole);
        const int32_t place = (line / v->out_height * v->height + row) * v->width +
                              (q + a) * v->stride_right + j;
        to = et_turn(to, 1, spray, outside, 0, a);
        to = et_turn(to, 1, spray, x + place * v->n_in, step, b - a);
        to = et_turn(to, 1, spray, outside, 0, n - b);
    }
}

/* What some weights of a channel, from one on, multiplied at some pixels. */
static void pack_values(const et_window *v, const int8_t *x, int32_t zero_point, int32_t weight,
                        int32_t weights, int32_t first, int32_t count, int8_t *to) {
    const uint32_t word = (uint32_t)(zero_point & 255) * 0x01010101u;
    const uint32_t outside[ET_LANES / 4] = {word, word};
    for (int32_t i = 0, some; i < weights; i += some) {
        const int32_t tap = (weight + i) / v->n_in, channel = (weight + i) % v->n_in;
        some = et_min(et_min(ET_LANES, v->n_in - channel), weights - i);
        const et_spray spray = et_spray_to(count, some);
        pack_tap(v, x + channel, (const int8_t *)outside, tap, first, count, &spray,
                 to + i * count);
    }
}

/* sums[weights], or 0, plus one channel's errors times what some weights multiplied; what comes
 * behind them, up to a multiple of four, does not matter. */
static void multiply(const int8_t *errors, const int8_t *values, int32_t zero_point, int32_t count,
                     int32_t weights, int is_first, int32_t *sums) {
    const int32x4_t moved = vdupq_n_s32(-zero_point * et_total(errors, count));
    for (int32_t i = 0; i < weights; i += 4, sums += 4, values += 4 * count) {
        const int8_t *const p[4] = {values, values + count, values + 2 * count,
                                    values + 3 * count};
        const int32x4_t old = is_first ? moved : vaddq_s32(moved, vld1q_s32(sums));
        vst1q_s32(sums, vaddq_s32(old, et_four_rows(errors, p, count)));
    }
}

int32_t et_conv2d_learn_fast(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                             const et_weights *weights, const et_rates *rates, int32_t batch,
                             const et_window *window, void *scratch) {
    const int32_t pixels = batch * window->out_height * window->out_width;
    const int32_t once = pixels <= PIXELS;
    const et_window flat = {1, pixels, window->n_in, 1, pixels, window->n_out, 1, 1, 1, 1, 0, 0, 1};
    const et_window *v = et_is_point(window) ? &flat : window;
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    int32_t *sums = scratch, saturated = 0;
    int8_t *errors = (int8_t *)(sums + WEIGHTS * (once ? 1 : v->n_out));
    int8_t *values = errors + ET_LANES * et_min(pixels, PIXELS);
    if (scratch == NULL || window->groups != 1)
        return -1;
    for (int32_t weight = 0; weight < n; weight += WEIGHTS) {
        const int32_t some = et_min(WEIGHTS, n - weight);
        for (int32_t first = 0; first < pixels; first += PIXELS) {
            const int32_t count = et_min(PIXELS, pixels - first), last = first + count == pixels;
            pack_values(v, x, x_zero_point, weight, some, first, count, values);
            for (int32_t o = 0; o < v->n_out; o++) {
                int32_t *row = sums + (once ? 0 : o * WEIGHTS);
                if (o % ET_LANES == 0) {
                    const et_spray spray = et_spray_to(count, et_min(ET_LANES, v->n_out - o));
                    et_turn(errors, 1, &spray, e + first * v->n_out + o, v->n_out, count);
                }
                multiply(errors + o % ET_LANES * count, values, x_zero_point, count, some,
                         first == 0, row);
                if (last)
                    saturated += weights->update(weights, row, et_rate(rates, o, 32),
                                                 (uint32_t)(o * n + weight), some);
            }
        }
    }
    return saturated;
}

#endif
