#include "et_gradients.h"

#include "et_view.h"

static void clear(int32_t *a, int32_t n) {
    __builtin_memset(a, 0, (size_t)n * sizeof *a);
}

/* sum += factor * (x - zero_point) */
static void accumulate(int32_t *sum, int32_t factor, const int8_t *x, int32_t zero_point,
                       int32_t n) {
    for (int32_t i = 0; i < n; i++)
        sum[i] += factor * (x[i] - zero_point);
}

void et_dense_grad_w(const int8_t *x, const int8_t *e, int32_t x_zero_point, int32_t *grad,
                     int32_t batch, int32_t n_in, int32_t n_out) {
    for (int32_t n = 0; n < batch; n++, x += n_in) {
        int32_t *row = grad;
        for (int32_t o = 0; o < n_out; o++, e++, row += n_in)
            if (*e != 0)
                accumulate(row, *e, x, x_zero_point, n_in);
    }
}

void et_dense_grad_x(const int8_t *e, const int8_t *w, const int16_t *ratio, int32_t *grad,
                     int32_t batch, int32_t n_in, int32_t n_out) {
    for (int32_t n = 0; n < batch; n++, grad += n_in) {
        const int8_t *row = w;
        clear(grad, n_in);
        for (int32_t o = 0; o < n_out; o++, e++, row += n_in)
            if (*e != 0)
                accumulate(grad, *e * ratio[o], row, 0, n_in);
    }
}

/* What one output channel of a convolution reads and how its weights lie. */
typedef struct {
    const et_window *window;
    int32_t part;    /* input channels of a group */
    int32_t channel; /* first input channel */
    int32_t filter;  /* first weight */
} lane;

static lane lane_of(const et_window *v, int32_t o) {
    const int32_t part = v->n_in / v->groups;
    const lane found = {v, part, o / (v->n_out / v->groups) * part,
                        o * v->kernel_height * v->kernel_width * part};
    return found;
}

/* First input value and first weight of a tap. */
static int32_t value_at(const lane *l, const et_view *at, int32_t i, int32_t j) {
    return et_pixel(l->window, at, i, j) * l->window->n_in + l->channel;
}

static int32_t weight_at(const lane *l, int32_t i, int32_t j) {
    return l->filter + (i * l->window->kernel_width + j) * l->part;
}

void et_conv2d_grad_w(const int8_t *x, const int8_t *e, int32_t x_zero_point, int32_t *grad,
                      int32_t batch, const et_window *window) {
    const et_window *v = window;
    for (int32_t n = 0; n < batch; n++, x += v->height * v->width * v->n_in)
        for (int32_t p = 0; p < v->out_height; p++)
            for (int32_t q = 0; q < v->out_width; q++) {
                const et_view at = et_look(v, p, q);
                for (int32_t o = 0; o < v->n_out; o++, e++) {
                    if (*e == 0)
                        continue;
                    const lane l = lane_of(v, o);
                    for (int32_t i = at.first_row; i < at.end_row; i++)
                        for (int32_t j = at.first_column; j < at.end_column; j++)
                            accumulate(grad + weight_at(&l, i, j), *e,
                                       x + value_at(&l, &at, i, j), x_zero_point, l.part);
                }
            }
}

void et_conv2d_grad_x(const int8_t *e, const int8_t *w, const int16_t *ratio, int32_t *grad,
                      int32_t batch, const et_window *window) {
    const et_window *v = window;
    const int32_t size = v->height * v->width * v->n_in;
    for (int32_t n = 0; n < batch; n++, grad += size) {
        clear(grad, size);
        for (int32_t p = 0; p < v->out_height; p++)
            for (int32_t q = 0; q < v->out_width; q++) {
                const et_view at = et_look(v, p, q);
                for (int32_t o = 0; o < v->n_out; o++, e++) {
                    if (*e == 0)
                        continue;
                    const lane l = lane_of(v, o);
                    for (int32_t i = at.first_row; i < at.end_row; i++)
                        for (int32_t j = at.first_column; j < at.end_column; j++)
                            accumulate(grad + value_at(&l, &at, i, j), *e * ratio[o],
                                       w + weight_at(&l, i, j), 0, l.part);
                }
            }
    }
}

/* value / count, rounded down; count > 0 */
static int32_t floor_divide(int32_t value, int32_t count) {
    return value >= 0 ? value / count : -((count - 1 - value) / count);
}

void et_average_pool_grad(const int8_t *e, int32_t *grad, int32_t batch, const et_window *window) {
    const et_window *v = window;
    const int32_t size = v->height * v->width * v->n_in;
    for (int32_t n = 0; n < batch; n++, grad += size) {
        clear(grad, size);
        for (int32_t p = 0; p < v->out_height; p++)
            for (int32_t q = 0; q < v->out_width; q++) {
                const et_view at = et_look(v, p, q);
                const int32_t count = et_count(&at);
                for (int32_t c = 0; c < v->n_in; c++, e++) {
                    const int32_t share = floor_divide(*e * 256 + count / 2, count);
                    for (int32_t i = at.first_row; i < at.end_row; i++)
                        for (int32_t j = at.first_column; j < at.end_column; j++)
                            grad[et_pixel(v, &at, i, j) * v->n_in + c] += share;
                }
            }
    }
}

void et_max_pool_grad(const int8_t *e, const uint8_t *index, int32_t *grad, int32_t batch,
                      const et_window *window) {
    const et_window *v = window;
    const int32_t size = v->height * v->width * v->n_in;
    for (int32_t n = 0; n < batch; n++, grad += size) {
        clear(grad, size);
        for (int32_t p = 0; p < v->out_height; p++)
            for (int32_t q = 0; q < v->out_width; q++) {
                const et_view at = et_look(v, p, q);
                for (int32_t c = 0; c < v->n_in; c++, e++, index++) {
                    const int32_t i = *index / v->kernel_width, j = *index % v->kernel_width;
                    grad[et_pixel(v, &at, i, j) * v->n_in + c] += *e;
                }
            }
    }
}
