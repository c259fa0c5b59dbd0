#include "et_pools.h"

#include "et_view.h"

enum { ADD_LEFT_SHIFT = 20 };

static int8_t average(const int8_t *x, const et_window *v, const et_view *at) {
    const int32_t count = et_count(at), half = count / 2;
    int32_t sum = 0;
    for (int32_t i = at->first_row; i < at->end_row; i++)
        for (int32_t j = at->first_column; j < at->end_column; j++)
            sum += x[et_pixel(v, at, i, j) * v->n_in];
    return (int8_t)(sum > 0 ? (sum + half) / count : -((half - sum) / count));
}

void et_average_pool(const int8_t *x, int8_t *y, int32_t batch, const et_window *window) {
    const et_window *v = window;
    for (int32_t n = 0; n < batch; n++, x += v->height * v->width * v->n_in)
        for (int32_t p = 0; p < v->out_height; p++)
            for (int32_t q = 0; q < v->out_width; q++) {
                const et_view at = et_look(v, p, q);
                for (int32_t c = 0; c < v->n_in; c++)
                    *y++ = average(x + c, v, &at);
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
                for (int32_t c = 0; c < v->n_in; c++) {
                    const int32_t winner = largest(x + c, v, &at, y++);
                    if (index != NULL)
                        *index++ = (uint8_t)winner;
                }
            }
}

void et_global_average_pool(const int8_t *x, int32_t x_zero_point, int32_t multiplier,
                            int32_t shift, int32_t y_zero_point, int8_t *y, int32_t batch,
                            int32_t pixels, int32_t channels) {
    for (int32_t n = 0; n < batch; n++, x += pixels * channels)
        for (int32_t c = 0; c < channels; c++) {
            int32_t sum = -pixels * x_zero_point;
            for (int32_t i = 0; i < pixels; i++)
                sum += x[i * channels + c];
            *y++ = et_requantize_one(sum, multiplier, shift, y_zero_point, INT8_MIN, INT8_MAX);
        }
}

static int32_t widened(int8_t x, et_term term) {
    const int32_t above = (x - term.zero_point) * (1 << ADD_LEFT_SHIFT);
    return et_rescale(above, term.multiplier, term.shift);
}

void et_add(const int8_t *a, et_term a_term, const int8_t *b, et_term b_term, int8_t *y,
            et_term y_term, int32_t low, int32_t high, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        y[i] = et_requantize_one(widened(a[i], a_term) + widened(b[i], b_term), y_term.multiplier,
                                 y_term.shift, y_term.zero_point, low, high);
}

void et_look_up(const int8_t *x, const int8_t table[256], int8_t *y, int32_t n) {
    for (int32_t i = 0; i < n; i++)
        y[i] = table[x[i] + 128];
}
