/* What the training kernels share, and their forms for Arm's DSP extension and Helium, which give
 * the same bits. Private to the kernels. */
#ifndef ET_TRAIN_H
#define ET_TRAIN_H

#include "et_learn.h"

enum { ET_COLUMNS = 8 };

static inline void et_clear(int32_t *sums, int32_t n) {
    __builtin_memset(sums, 0, (size_t)n * sizeof *sums);
}

#if defined(ET_DSP) || defined(ET_HELIUM)

/* Marks plain loops, which only run where no fast form fits. */
#define ET_SPARE_STEP ET_COLD

/* Each returns a negative number, with nothing written, where it does not fit. */
int32_t et_conv2d_learn_fast(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                             const et_weights *weights, const et_rates *rates, int32_t batch,
                             const et_window *window, void *scratch);
int32_t et_conv2d_error_fast(const int8_t *e, const int8_t *w, const int16_t *ratio,
                             const et_scaling *scaling, int8_t *out, const et_window *window,
                             void *scratch);
int32_t et_depthwise_learn_fast(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                                const et_weights *weights, const et_rates *rates, int32_t batch,
                                const et_window *window, void *scratch);
int32_t et_depthwise_error_fast(const int8_t *e, const int8_t *w, const int16_t *ratio,
                                const et_scaling *scaling, int8_t *out, const et_window *window,
                                void *scratch);

/* sums[i] = sum of e[row * pitch + i] over all rows, i < ET_COLUMNS; returns ET_COLUMNS, or 0 where
 * there are fewer columns. */
int32_t et_sum_columns_fast(const int8_t *e, int32_t pitch, int32_t rows, int32_t columns,
                            int32_t *sums);

/* et_close and et_keep_open of the first values, all or a multiple of 8; each returns how many. */
int32_t et_close_fast(int8_t *e, const int8_t *y, int32_t low, int32_t high, int32_t n);
int32_t et_keep_open_fast(const int8_t *y, int32_t low, int32_t high, uint8_t *bits, int32_t n);
int32_t et_close_by_bits_fast(int8_t *e, const uint8_t *bits, int32_t n);

#else

#define ET_SPARE_STEP

#define et_conv2d_learn_fast(x, e, zero_point, weights, rates, batch, window, scratch) \
    ((void)(scratch), -1)
#define et_conv2d_error_fast(e, w, ratio, scaling, out, window, scratch) ((void)(scratch), -1)
#define et_depthwise_learn_fast(x, e, zero_point, weights, rates, batch, window, scratch) \
    ((void)(scratch), -1)
#define et_depthwise_error_fast(e, w, ratio, scaling, out, window, scratch) ((void)(scratch), -1)
#define et_sum_columns_fast(e, pitch, rows, columns, sums) 0
#define et_close_fast(e, y, low, high, n) 0
#define et_keep_open_fast(y, low, high, bits, n) 0
#define et_close_by_bits_fast(e, bits, n) 0

#endif

/* Perturbs the first of n <= 32 weights by +-step and adds them to the sum; returns how many. */
#if defined(ET_DSP)
int32_t et_shake_fast(const int8_t *w, uint32_t word, int32_t step, int8_t *shaken, int32_t n,
                      int32_t *sum);
#else
#define et_shake_fast(w, word, step, shaken, n, sum) 0
#endif

#if defined(ET_HELIUM)

/* et_scale_error; returns n, or 0 where it does not fit. */
int32_t et_scale_error_fast(const int32_t *acc, int32_t multiplier, int32_t shift, int8_t *e,
                            int32_t n, int32_t *peak);

/* sums += factor * (x - zero_point) */
void et_accumulate(int32_t *sums, int32_t factor, const int8_t *x, int32_t zero_point, int32_t n);

/* sums = factor * (x - zero_point), the first of several; returns 1. Without this form it clears
 * them and returns 0. */
int32_t et_begin(int32_t *sums, int32_t factor, const int8_t *x, int32_t zero_point, int32_t n);

/* What the outputs that read one pixel by a tap, or none (-1), send back by a pool over `count`
 * pixels, or, with an index, by a max pool; times 256. Returns n. */
int32_t et_collect_fast(const int8_t *e, const uint8_t *index, int32_t tap, int32_t count,
                        int32_t *sums, int32_t n);

/* et_slope_error; returns n. */
int32_t et_slope_fast(const int8_t *e, const int8_t *x, const int8_t *slopes,
                      const et_scaling *scaling, int8_t *out, int32_t n, int32_t *peak);

/* et_merge; returns n. */
int32_t et_merge_fast(const int8_t *const *parts, const int32_t *exponents, int32_t count,
                      int32_t base, const et_scaling *scaling, int8_t *out, int32_t n,
                      int32_t *peak);

/* Perturbs a row of weights by +-step, under as many words of signs as it needs from a counter
 * on; their sum, the next counter and the last word. Returns n, or 0 where it does not fit. */
int32_t et_shake_row_fast(const int8_t *w, et_key key, uint32_t *counter, int32_t step,
                          int8_t *shaken, int32_t n, int32_t *sum, uint32_t *word);

/* sums[i] = slope with the sign of bit i of such a row, or, but for the first, that and the sum;
 * the next counter and what is left of the last word. Returns n. */
int32_t et_add_signs_fast(int first, int32_t slope, et_key key, uint32_t *counter, int32_t *sums,
                          int32_t n, uint32_t *word);

/* e[first + p * pitch] = whether low < y < high there, or y is NULL, of n pixels, and how many are
 * so. Returns n, or 0 where it does not fit. */
int32_t et_mark_open_fast(int8_t *e, const int8_t *y, int32_t first, int32_t low, int32_t high,
                          int32_t pitch, int32_t n, int32_t *open);

/* e[first + p * pitch] *= shared, of n pixels. Returns n, or 0 where it does not fit. */
int32_t et_share_fast(int8_t *e, int32_t first, int8_t shared, int32_t pitch, int32_t n);

#else

#define et_scale_error_fast(acc, multiplier, shift, e, n, peak) 0
#define et_collect_fast(e, index, tap, count, sums, n) 0
#define et_slope_fast(e, x, slopes, scaling, out, n, peak) 0
#define et_merge_fast(parts, exponents, count, base, scaling, out, n, peak) 0
#define et_shake_row_fast(w, key, counter, step, shaken, n, sum, word) 0
#define et_add_signs_fast(first, slope, key, counter, sums, n, word) 0
#define et_mark_open_fast(e, y, first, low, high, pitch, n, open) 0
#define et_share_fast(e, first, shared, pitch, n) 0

#define et_begin(sums, factor, x, zero_point, n) (et_clear(sums, n), 0)

static inline void et_accumulate(int32_t *sums, int32_t factor, const int8_t *x,
                                 int32_t zero_point, int32_t n) {
    for (int32_t i = 0; factor != 0 && i < n; i++)
        sums[i] += factor * (x[i] - zero_point);
}

#endif
#endif
