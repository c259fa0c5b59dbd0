/* Errors of layers without weights; et_learn.h declares them. */
#include "et_learn.h"
#include "et_losses.h"
#include "et_train.h"
#include "et_view.h"

enum { MERGE_BITS = 15, GUARD_BITS = 8 };

/* value / count, rounded down; count > 0 */
static int32_t floor_divide(int32_t value, int32_t count) {
    return value >= 0 ? value / count : -((count - 1 - value) / count);
}

/* Whether output (p, q) reads pixel (row, column), and by which tap. */
static int32_t tap_of(const et_window *v, int32_t p, int32_t q, int32_t row, int32_t column) {
    const int32_t i = row - p * v->stride_down + v->top;
    const int32_t j = column - q * v->stride_right + v->left;
    const int32_t inside = i >= 0 && i < v->kernel_height && j >= 0 && j < v->kernel_width;
    return inside ? i * v->kernel_width + j : -1;
}

/* The first output row or column that may read a position. */
static int32_t first_reader(int32_t position, int32_t kernel, int32_t stride) {
    return et_max(0, (position - kernel + stride) / stride);
}

/* sums = what all outputs send back to one pixel, times 256. */
static void collect(const int8_t *e, const uint8_t *index, int32_t *sums, int32_t row,
                    int32_t column, const et_window *v) {
    __builtin_memset(sums, 0, (size_t)v->n_in * sizeof *sums);
    const int32_t end_p = et_min(v->out_height, (row + v->top) / v->stride_down + 1);
    const int32_t end_q = et_min(v->out_width, (column + v->left) / v->stride_right + 1);
    for (int32_t p = first_reader(row + v->top, v->kernel_height, v->stride_down); p < end_p; p++)
        for (int32_t q = first_reader(column + v->left, v->kernel_width, v->stride_right);
             q < end_q; q++) {
            const int32_t tap = tap_of(v, p, q, row, column);
            const int32_t at = (p * v->out_width + q) * v->n_in;
            const et_view view = et_look(v, p, q);
            const int32_t count = et_count(&view);
            int32_t c = et_collect_fast(e + at, index == NULL ? NULL : index + at, tap, count, sums,
                                        v->n_in);
            for (; tap >= 0 && c < v->n_in; c++) {
                const int32_t scaled = e[at + c] * (1 << GUARD_BITS);
                if (index == NULL)
                    sums[c] += floor_divide(scaled + count / 2, count);
                else if (index[at + c] == tap)
                    sums[c] += scaled;
            }
        }
}

static int32_t pool_error(const int8_t *e, const uint8_t *index, const et_scaling *scaling,
                          int32_t *sums, int8_t *out, int32_t batch, const et_window *v) {
    const int32_t size = v->out_height * v->out_width * v->n_in;
    int32_t peak = 0;
    for (int32_t n = 0; n < batch; n++, e += size) {
        for (int32_t at = 0; at < v->height * v->width; at++, out += v->n_in) {
            collect(e, index, sums, at / v->width, at % v->width, v);
            peak = et_max(peak, et_scale_error(sums, scaling->multiplier, scaling->shift, out,
                                               v->n_in));
        }
        if (index != NULL)
            index += size;
    }
    return peak;
}

int32_t et_average_pool_error(const int8_t *e, const et_scaling *scaling, int32_t *sums,
                              int8_t *out, int32_t batch, const et_window *window) {
    return pool_error(e, NULL, scaling, sums, out, batch, window);
}

int32_t et_max_pool_error(const int8_t *e, const uint8_t *index, const et_scaling *scaling,
                          int32_t *sums, int8_t *out, int32_t batch, const et_window *window) {
    return pool_error(e, index, scaling, sums, out, batch, window);
}

ET_COLD
int32_t et_widened(const int8_t *e, const et_scaling *scaling, int8_t *out, int32_t n) {
    int32_t peak = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t fine = e[i] * (1 << GUARD_BITS);
        peak = et_max(peak, et_scale_error(&fine, scaling->multiplier, scaling->shift, out + i, 1));
    }
    return peak;
}

int32_t et_slope_error(const int8_t *e, const int8_t *x, const int8_t *slopes,
                       const et_scaling *scaling, int8_t *out, int32_t n) {
    int32_t peak = 0;
    for (int32_t i = et_slope_fast(e, x, slopes, scaling, out, n, &peak); i < n; i++) {
        const int32_t steep = e[i] * slopes[x[i] + 128];
        peak = et_max(peak, et_scale_error(&steep, scaling->multiplier, scaling->shift, out + i, 1));
    }
    return peak;
}

int32_t et_merge(const int8_t *const *parts, const int32_t *exponents, int32_t count,
                 int32_t base, const et_scaling *scaling, int8_t *out, int32_t n) {
    int32_t peak = 0;
    int32_t i = et_merge_fast(parts, exponents, count, base, scaling, out, n, &peak);
    for (; i < n; i++) {
        int32_t sum = 0;
        for (int32_t k = 0; k < count; k++)
            sum += (parts[k][i] * (1 << MERGE_BITS)) >>
                   et_min(MERGE_BITS + base - exponents[k], 31);
        peak = et_max(peak, et_scale_error(&sum, scaling->multiplier, scaling->shift, out + i, 1));
    }
    return peak;
}

static int32_t is_open(int32_t y, int32_t low, int32_t high) {
    return y > low && y < high;
}

ET_SPARE_STEP
void et_close(int8_t *e, const int8_t *y, int32_t low, int32_t high, int32_t n) {
    for (int32_t i = et_close_fast(e, y, low, high, n); i < n; i++)
        e[i] = (int8_t)(is_open(y[i], low, high) ? e[i] : 0);
}

ET_SPARE_STEP
void et_keep_open(const int8_t *y, int32_t low, int32_t high, uint8_t *bits, int32_t n) {
    int32_t i = et_keep_open_fast(y, low, high, bits, n);
    __builtin_memset(bits + i / 8, 0, (size_t)(n - i + 7) / 8);
    for (; i < n; i++)
        bits[i / 8] = (uint8_t)(bits[i / 8] | is_open(y[i], low, high) << (i % 8));
}

ET_SPARE_STEP
void et_close_by_bits(int8_t *e, const uint8_t *bits, int32_t n) {
    for (int32_t i = et_close_by_bits_fast(e, bits, n); i < n; i++)
        e[i] = (int8_t)((bits[i / 8] >> (i % 8) & 1) != 0 ? e[i] : 0);
}

ET_COLD
void et_spread(const int8_t *e, int8_t *out, int32_t rows, int32_t pixels, int32_t channels) {
    for (int32_t r = 0; r < rows; r++, e += channels)
        for (int32_t p = 0; p < pixels; p++, out += channels)
            __builtin_memcpy(out, e, (size_t)channels);
}
