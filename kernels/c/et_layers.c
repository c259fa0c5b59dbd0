#include "et_layers.h"

#include "et_fast.h"
#include "et_view.h"

static int32_t total(const int8_t *a, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += a[i];
    return sum;
}

static int8_t finish(const et_output *output, int32_t acc, int32_t channel) {
    const int32_t scaled =
        et_rescale_spare(acc, output->multiplier[channel], output->shift[channel]);
    return et_place(scaled, output->zero_point, output->low, output->high);
}

void et_start(const int8_t *w, const int32_t *bias, int32_t x_zero_point, int32_t n_out, int32_t n,
              int32_t *start) {
#if defined(ET_DSP) || defined(ET_HELIUM)
    et_start_fast(w, bias, x_zero_point, n_out, n, start);
#else
    for (int32_t o = 0; o < n_out; o++, w += n)
        start[o] = bias[o] - x_zero_point * total(w, n);
#endif
}

ET_SPARE
void et_requantize(const int32_t *acc, const et_output *output, int8_t *y, int32_t rows,
                   int32_t channels) {
    if (et_requantize_fast(acc, output, y, rows, channels))
        return;
    for (int32_t r = 0; r < rows; r++)
        for (int32_t o = 0; o < channels; o++)
            *y++ = finish(output, *acc++, o);
}

ET_SPARE
void et_dense_acc(const int8_t *x, const int8_t *w, const int32_t *start, int32_t *acc,
                  int32_t batch, int32_t n_in, int32_t n_out) {
    for (int32_t n = 0; n < batch; n++, x += n_in) {
        const int8_t *row = w;
        for (int32_t o = 0; o < n_out; o++, row += n_in)
            *acc++ = start[o] + et_dot(x, row, n_in);
    }
}

ET_SPARE
void et_dense(const int8_t *x, const int8_t *w, const int32_t *start, const et_output *output,
              int8_t *y, int32_t batch, int32_t n_in, int32_t n_out, void *scratch) {
    if (et_dense_fast(x, w, start, output, y, batch, n_in, n_out, scratch))
        return;
    for (int32_t n = 0; n < batch; n++, x += n_in) {
        const int8_t *row = w;
        for (int32_t o = 0; o < n_out; o++, row += n_in)
            *y++ = finish(output, start[o] + et_dot(x, row, n_in), o);
    }
}

/* One result: taps outside the image see the zero point. */
ET_SPARE
static int32_t convolve(const int8_t *x, const int8_t *w, int32_t x_zero_point, const et_window *v,
                        const et_view *at, int32_t part) {
    int32_t sum = 0;
    for (int32_t i = 0; i < v->kernel_height; i++) {
        const int inside = i >= at->first_row && i < at->end_row;
        for (int32_t j = 0; j < v->kernel_width; j++, w += part)
            sum += inside && j >= at->first_column && j < at->end_column
                       ? et_dot(x + et_pixel(v, at, i, j) * v->n_in, w, part)
                       : x_zero_point * total(w, part);
    }
    return sum;
}

/* One result of a group of one channel, with every tap inside the image. */
ET_SPARE
static int32_t channel_inside(const int8_t *x, const int8_t *w, const et_window *v) {
    const int32_t next_row = (v->width - v->kernel_width) * v->n_in;
    int32_t sum = 0;
    for (int32_t i = 0; i < v->kernel_height; i++, x += next_row)
        for (int32_t j = 0; j < v->kernel_width; j++, x += v->n_in)
            sum += *x * *w++;
    return sum;
}

/* One sample; output is NULL for accumulators. */
ET_SPARE
static void convolve_image(const int8_t *x, const int8_t *w, const int32_t *start,
                           int32_t x_zero_point, const et_output *output, int32_t *acc, int8_t *y,
                           const et_window *v) {
    const int32_t part = v->n_in / v->groups, together = v->n_out / v->groups;
    const int32_t taps = v->kernel_height * v->kernel_width;
    for (int32_t p = 0; p < v->out_height; p++)
        for (int32_t q = 0; q < v->out_width; q++) {
            const et_view at = et_look(v, p, q);
            const int alone = ET_IS_PLAIN && part == 1 && et_whole(v, &at);
            const int8_t *corner = alone ? x + et_pixel(v, &at, 0, 0) * v->n_in : x, *filter = w;
            for (int32_t o = 0; o < v->n_out; o++, filter += taps * part) {
                const int32_t group = v->groups == 1 ? 0 : o / together * part;
                const int32_t sum =
                    start[o] + (alone ? channel_inside(corner + group, filter, v)
                                      : convolve(x + group, filter, x_zero_point, v, &at, part));
                if (output != NULL)
                    *y++ = finish(output, sum, o);
                else
                    *acc++ = sum;
            }
        }
}

ET_SPARE
void et_conv2d_acc(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                   int32_t *acc, int32_t batch, const et_window *window) {
    const int32_t read = window->height * window->width * window->n_in;
    const int32_t written = window->out_height * window->out_width * window->n_out;
    for (int32_t n = 0; n < batch; n++, x += read, acc += written)
        convolve_image(x, w, start, x_zero_point, NULL, acc, NULL, window);
}

ET_SPARE
void et_conv2d(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
               const et_output *output, int8_t *y, int32_t batch, const et_window *window,
               void *scratch) {
    const int32_t read = window->height * window->width * window->n_in;
    const int32_t written = window->out_height * window->out_width * window->n_out;
    for (int32_t n = 0; n < batch; n++, x += read, y += written)
        if (!et_conv2d_fast(x, w, start, x_zero_point, output, y, window, scratch))
            convolve_image(x, w, start, x_zero_point, output, NULL, y, window);
}

ET_SPARE
void et_depthwise(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                  const et_output *output, int8_t *y, int32_t batch, const et_window *window,
                  void *scratch) {
    const int32_t read = window->height * window->width * window->n_in;
    const int32_t written = window->out_height * window->out_width * window->n_out;
    for (int32_t n = 0; n < batch; n++, x += read, y += written)
        if (!et_depthwise_fast(x, w, start, x_zero_point, output, y, window, scratch))
            convolve_image(x, w, start, x_zero_point, output, NULL, y, window);
}
