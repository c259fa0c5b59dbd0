#include "et_pools.h"

#include "et_fast.h"
#include "et_view.h"

/* sum / count to nearest, ties away from zero. */
static int8_t divided(int32_t sum, int32_t count) {
    const int32_t half = count / 2;
    return (int8_t)(sum > 0 ? (sum + half) / count : -((half - sum) / count));
}

/* sums[c] += pixels of `rows` rows of n, for up to four channels. */
static void add_rows(const int8_t *x, int32_t rows, int32_t row, int32_t n, int32_t pitch,
                     int32_t channels, int32_t sums[4]) {
    for (; rows > 0; rows--, x += row) {
        if (channels >= 4) {
            et_sum_fast(x, n, pitch, sums);
            continue;
        }
        for (int32_t i = 0; i < n; i++)
            for (int32_t c = 0; c < channels; c++)
                sums[c] += x[i * pitch + c];
    }
}

void et_average_pool(const int8_t *x, int8_t *y, int32_t batch, const et_window *window) {
    const et_window *v = window;
    for (int32_t n = 0; n < batch; n++, x += v->height * v->width * v->n_in)
        for (int32_t p = 0; p < v->out_height; p++)
            for (int32_t q = 0; q < v->out_width; q++) {
                const et_view at = et_look(v, p, q);
                const int8_t *from = x + et_pixel(v, &at, at.first_row, at.first_column) * v->n_in;
                for (int32_t c = 0; c < v->n_in; c += 4) {
                    int32_t sums[4] = {0, 0, 0, 0};
                    add_rows(from + c, at.end_row - at.first_row, v->width * v->n_in,
                             at.end_column - at.first_column, v->n_in, v->n_in - c, sums);
                    for (int32_t i = 0; i < et_min(4, v->n_in - c); i++)
                        *y++ = divided(sums[i], et_count(&at));
                }
            }
}

/* Number of the tap that wins. */
static int32_t largest(const int8_t *x, const et_window *v, const et_view *at, int8_t *value) {
    int32_t winner = 0, best = INT8_MIN - 1;
    for (int32_t i = at->first_row; i < at->end_row; i++)
        for (int32_t j = at->first_column; j < at->end_column; j++) {
            const int32_t here = x[et_pixel(v, at, i, j) * v->n_in];
            if (here > best) {
                best = here;
                winner = i * v->kernel_width + j;
            }
        }
    *value = (int8_t)best;
    return winner;
}

void et_max_pool(const int8_t *x, int8_t *y, uint8_t *index, int32_t batch,
                 const et_window *window) {
    const et_window *v = window;
    for (int32_t n = 0; n < batch; n++, x += v->height * v->width * v->n_in)
        for (int32_t p = 0; p < v->out_height; p++)
            for (int32_t q = 0; q < v->out_width; q++) {
                const et_view at = et_look(v, p, q);
                int32_t c = index == NULL ? et_max_fast(x, y, v, &at) : 0;
                for (; c < v->n_in; c++) {
                    const int32_t winner = largest(x + c, v, &at, y + c);
                    if (index != NULL)
                        *index++ = (uint8_t)winner;
                }
                y += v->n_in;
            }
}

ET_SPARE
void et_global_average_pool(const int8_t *x, int32_t x_zero_point, int32_t multiplier,
                            int32_t shift, int32_t y_zero_point, int8_t *y, int32_t batch,
                            int32_t pixels, int32_t channels) {
    for (int32_t n = 0; n < batch; n++, x += pixels * channels)
        for (int32_t c = 0; c < channels; c += 4) {
            int32_t sums[4] = {0, 0, 0, 0};
            add_rows(x + c, 1, 0, pixels, channels, channels - c, sums);
            for (int32_t i = 0; i < et_min(4, channels - c); i++)
                *y++ = et_place(
                    et_rescale_spare(sums[i] - pixels * x_zero_point, multiplier, shift),
                    y_zero_point, INT8_MIN, INT8_MAX);
        }
}

static int32_t widened(int8_t x, et_term term) {
    const int32_t above = (x - term.zero_point) * (1 << ET_ADD_SHIFT);
    return et_rescale_spare(above, term.multiplier, term.shift);
}

ET_SPARE
void et_add(const int8_t *a, et_term a_term, const int8_t *b, et_term b_term, int8_t *y,
            et_term y_term, int32_t low, int32_t high, int32_t n) {
    if (et_add_fast(a, a_term, b, b_term, y, y_term, low, high, n))
        return;
    for (int32_t i = 0; i < n; i++)
        y[i] = et_place(et_rescale_spare(widened(a[i], a_term) + widened(b[i], b_term),
                                         y_term.multiplier, y_term.shift),
                        y_term.zero_point, low, high);
}

void et_look_up(const int8_t *x, const int8_t table[256], int8_t *y, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        y[i] = table[x[i] + 128];
}
