#include "et_learn.h"

#include "et_losses.h"
#include "et_train.h"
#include "et_view.h"

enum { WATCH_STEPS = 32, ERROR_BITS = 7, MERGE_BITS = 15, RATE_BITS = 8, MASTER_BITS = 8 };

static int32_t bit_length(int32_t value) {
    int32_t bits = 0;
    for (; value > 0; value >>= 1)
        bits++;
    return bits;
}

ET_COLD
et_scaling et_choose_scale(const et_scale *scale, int32_t multiplier, int32_t shift,
                           int32_t exponent, int32_t limit) {
    const int32_t finest = exponent + shift;
    const int32_t used = et_clip(et_min(scale->exponent, limit), finest, finest + 31);
    const et_scaling found = {multiplier, finest - used, used};
    return found;
}

ET_COLD
void et_watch_peak(et_scale *scale, int32_t used, int32_t peak, uint32_t step) {
    const int32_t excess = bit_length(peak) - ERROR_BITS;
    const int32_t watched = et_max(peak, scale->peak);
    scale->exponent = used;
    if (excess > 0) {
        scale->exponent = used + excess;
        scale->peak = 0;
    } else if (step % WATCH_STEPS < WATCH_STEPS - 1 || watched == 0) {
        scale->peak = watched;
    } else {
        scale->exponent = used - et_max(ERROR_BITS - 1 - bit_length(watched), 0);
        scale->peak = 0;
    }
}

int32_t et_rate(const et_rates *rates, int32_t o, int32_t fraction) {
    const int64_t value = (int64_t)rates->multiplier[o] * rates->rate;
    const int32_t bits = rates->shift[o] - 31 + fraction + rates->exponent - RATE_BITS;
    int64_t scaled; /* not negative, like value: to nearest, ties up */
    if (bits > 23)
        scaled = value > 0 ? (int64_t)INT32_MAX * rates->batch : 0;
    else if (bits >= 0)
        scaled = value << bits;
    else
        scaled = ((value >> et_min(-bits - 1, 61)) + 1) >> 1;
    if (rates->batch > 1)
        scaled /= rates->batch;
    return (int32_t)(scaled < INT32_MAX ? scaled : INT32_MAX);
}

int32_t et_dense_error(const int8_t *e, const int8_t *w, const int16_t *ratio,
                       const et_scaling *scaling, int32_t *sums, int8_t *out, int32_t batch,
                       int32_t n_in, int32_t n_out) {
    int32_t peak = 0;
    for (int32_t n = 0; n < batch; n++, out += n_in) {
        const int8_t *row = w;
        et_clear(sums, n_in);
        for (int32_t o = 0; o < n_out; o++, e++, row += n_in)
            et_accumulate(sums, *e * ratio[o], row, 0, n_in);
        peak = et_max(peak, et_scale_error(sums, scaling->multiplier, scaling->shift, out, n_in));
    }
    return peak;
}

/* The output row that reads an input row by a tap, or -1. */
static int32_t reader(int32_t position, int32_t tap, int32_t stride, int32_t count) {
    const int32_t moved = position - tap;
    return moved >= 0 && moved % stride == 0 && moved / stride < count ? moved / stride : -1;
}

/* sums[channel] += what all outputs that read one pixel by one tap send back. */
ET_SPARE_STEP
static void gather(const int8_t *e, const int8_t *w, const int16_t *ratio, int32_t *sums,
                   int32_t tap, const et_window *v) {
    const int32_t part = v->n_in / v->groups, of_group = v->n_out / v->groups;
    const int32_t taps = v->kernel_height * v->kernel_width;
    for (int32_t o = 0; o < v->n_out; o++)
        et_accumulate(sums + o / of_group * part, e[o] * ratio[o], w + (o * taps + tap) * part, 0,
                      part);
}

/* et_conv2d_error of one image. */
ET_SPARE_STEP
static int32_t image_error(const int8_t *e, const int8_t *w, const int16_t *ratio,
                           const et_scaling *scaling, int32_t *sums, int8_t *out,
                           const et_window *v) {
    int32_t peak = 0;
    for (int32_t at = 0; at < v->height * v->width; at++, out += v->n_in) {
        const int32_t row = at / v->width + v->top, column = at % v->width + v->left;
        et_clear(sums, v->n_in);
        for (int32_t i = 0; i < v->kernel_height; i++) {
            const int32_t p = reader(row, i, v->stride_down, v->out_height);
            for (int32_t j = 0; p >= 0 && j < v->kernel_width; j++) {
                const int32_t q = reader(column, j, v->stride_right, v->out_width);
                if (q >= 0)
                    gather(e + (p * v->out_width + q) * v->n_out, w, ratio, sums,
                           i * v->kernel_width + j, v);
            }
        }
        peak = et_max(peak,
                      et_scale_error(sums, scaling->multiplier, scaling->shift, out, v->n_in));
    }
    return peak;
}

ET_SPARE_STEP
int32_t et_conv2d_error(const int8_t *e, const int8_t *w, const int16_t *ratio,
                        const et_scaling *scaling, int32_t *sums, int8_t *out, int32_t batch,
                        const et_window *window, void *scratch) {
    const int32_t written = window->height * window->width * window->n_in;
    const int32_t read = window->out_height * window->out_width * window->n_out;
    int32_t peak = 0;
    for (int32_t n = 0; n < batch; n++, e += read, out += written) {
        int32_t found = et_conv2d_error_fast(e, w, ratio, scaling, out, window, scratch);
        if (found < 0)
            found = image_error(e, w, ratio, scaling, sums, out, window);
        peak = et_max(peak, found);
    }
    return peak;
}

ET_SPARE_STEP
int32_t et_depthwise_error(const int8_t *e, const int8_t *w, const int16_t *ratio,
                           const et_scaling *scaling, int32_t *sums, int8_t *out, int32_t batch,
                           const et_window *window, void *scratch) {
    const int32_t size = window->height * window->width * window->n_in;
    const int32_t read = window->out_height * window->out_width * window->n_out;
    int32_t peak = 0;
    for (int32_t n = 0; n < batch; n++, e += read, out += size) {
        int32_t found = et_depthwise_error_fast(e, w, ratio, scaling, out, window, scratch);
        if (found < 0)
            found = image_error(e, w, ratio, scaling, sums, out, window);
        peak = et_max(peak, found);
    }
    return peak;
}

int32_t et_dense_learn(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                       const et_weights *weights, const et_rates *rates, int32_t *sums,
                       int32_t batch, int32_t n_in, int32_t n_out) {
    int32_t saturated = 0;
    for (int32_t o = 0; o < n_out; o++) {
        const int8_t *row = x;
        int32_t n = et_begin(sums, e[o], x, x_zero_point, n_in);
        for (row += n * n_in; n < batch; n++, row += n_in)
            et_accumulate(sums, e[n * n_out + o], row, x_zero_point, n_in);
        const int32_t rate = et_rate(rates, o, 32);
        saturated += weights->update(weights, sums, rate, (uint32_t)(o * n_in), n_in);
    }
    return saturated;
}

/* sums = gradient of one channel's weights. */
ET_SPARE_STEP
static void one_gradient(const int8_t *x, const int8_t *e, int32_t x_zero_point, int32_t *sums,
                         int32_t batch, int32_t o, const et_window *v) {
    const int32_t part = v->n_in / v->groups, first = o / (v->n_out / v->groups) * part;
    et_clear(sums, v->kernel_height * v->kernel_width * part);
    for (int32_t n = 0; n < batch; n++, x += v->height * v->width * v->n_in)
        for (int32_t p = 0; p < v->out_height; p++)
            for (int32_t q = 0; q < v->out_width; q++, e += v->n_out) {
                const int32_t factor = e[o];
                const et_view at = et_look(v, p, q);
                for (int32_t i = at.first_row; factor != 0 && i < at.end_row; i++)
                    for (int32_t j = at.first_column; j < at.end_column; j++) {
                        const int8_t *source = x + et_pixel(v, &at, i, j) * v->n_in + first;
                        int32_t *target = sums + (i * v->kernel_width + j) * part;
                        et_accumulate(target, factor, source, x_zero_point, part);
                    }
            }
}

/* What et_conv2d_learn does without scratch memory. */
ET_SPARE_STEP
static int32_t learn_by_channel(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                                const et_weights *weights, const et_rates *rates, int32_t *sums,
                                int32_t batch, const et_window *v) {
    const int32_t size = v->kernel_height * v->kernel_width * (v->n_in / v->groups);
    int32_t saturated = 0;
    for (int32_t o = 0; o < v->n_out; o++) {
        const int32_t rate = et_rate(rates, o, 32);
        one_gradient(x, e, x_zero_point, sums, batch, o, v);
        saturated += weights->update(weights, sums, rate, (uint32_t)(o * size), size);
    }
    return saturated;
}

ET_SPARE_STEP
int32_t et_conv2d_learn(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                        const et_weights *weights, const et_rates *rates, int32_t *sums,
                        int32_t batch, const et_window *window, void *scratch) {
    const int32_t saturated =
        et_conv2d_learn_fast(x, e, x_zero_point, weights, rates, batch, window, scratch);
    return saturated >= 0
               ? saturated
               : learn_by_channel(x, e, x_zero_point, weights, rates, sums, batch, window);
}

ET_SPARE_STEP
int32_t et_depthwise_learn(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                           const et_weights *weights, const et_rates *rates, int32_t *sums,
                           int32_t batch, const et_window *window, void *scratch) {
    const int32_t saturated =
        et_depthwise_learn_fast(x, e, x_zero_point, weights, rates, batch, window, scratch);
    return saturated >= 0
               ? saturated
               : learn_by_channel(x, e, x_zero_point, weights, rates, sums, batch, window);
}

ET_SPARE_STEP
void et_bias_learn(const int8_t *e, int32_t *b, const et_rates *rates, int32_t limit, int32_t rows,
                   int32_t n_out) {
    for (int32_t o = 0; o < n_out;) {
        int32_t sums[ET_COLUMNS] = {0};
        const int32_t found = et_sum_columns_fast(e + o, n_out, rows, n_out - o, sums);
        for (int32_t r = 0; found == 0 && r < rows; r++)
            sums[0] += e[r * n_out + o];
        for (int32_t i = 0; i < et_max(found, 1); i++, o++) {
            b[o] = et_step_bias(b[o], sums[i], et_rate(rates, o, 16), limit);
        }
    }
}
