/* The forms of Arm's DSP extension and of Helium, which do what et_layers.c and et_updates.c do,
 * bit for bit. Private to the kernels. */
#ifndef ET_FAST_H
#define ET_FAST_H

#include "et_pools.h"
#include "et_view.h"

enum { ET_ADD_SHIFT = 20 }; /* bits that a sum has more than its terms */

/* The nearest int8. */
static inline int32_t et_clip_int8(int32_t value) {
#if defined(ET_DSP)
    int32_t d;
    __asm__("ssat %0,#8,%1" : "=r"(d) : "r"(value) : "cc");
    return d;
#else
    return et_clip(value, INT8_MIN, INT8_MAX);
#endif
}

/* Weights first .. first + n - 1 of a tensor, all of one channel; the plain loop. Where w is NULL
 * it only counts the steps that saturate: for a fast form that has seen that some do. */
int32_t et_update_row(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                      uint32_t first, int32_t n);

/* Sum of n products. */
#if defined(ET_HELIUM)
int32_t et_dot(const int8_t *a, const int8_t *b, int32_t n);
#else
static inline int32_t et_dot(const int8_t *a, const int8_t *b, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}
#endif

#if defined(ET_DSP) || defined(ET_HELIUM)

/* Marks plain loops, which only run where no fast form fits. */
#define ET_SPARE ET_COLD
enum { ET_IS_PLAIN = 0 };
#define et_rescale_spare et_rescale_call

/* All of et_start. */
void et_start_fast(const int8_t *w, const int32_t *bias, int32_t x_zero_point, int32_t n_out,
                   int32_t n, int32_t *start);

/* Each returns 0, with nothing written, where it does not fit. */
int et_dense_fast(const int8_t *x, const int8_t *w, const int32_t *start, const et_output *output,
                  int8_t *y, int32_t batch, int32_t n_in, int32_t n_out, void *scratch);
int et_conv2d_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                   const et_output *output, int8_t *y, const et_window *window, void *scratch);
int et_depthwise_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                      const et_output *output, int8_t *y, const et_window *window, void *scratch);

int et_requantize_fast(const int32_t *acc, const et_output *output, int8_t *y, int32_t rows,
                       int32_t channels);

int et_add_fast(const int8_t *a, et_term a_term, const int8_t *b, et_term b_term, int8_t *y,
                et_term y_term, int32_t low, int32_t high, int32_t n);

/* sums[c] += x[c] + x[pitch + c] + ..., n of them, for four channels. */
void et_sum_fast(const int8_t *x, int32_t n, int32_t pitch, int32_t sums[4]);

/* The largest under a window, of the first channels; returns of how many. */
int32_t et_max_fast(const int8_t *x, int8_t *y, const et_window *v, const et_view *at);

/* Updates the first weights of a row and returns how many. */
int32_t et_update_fast(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                       uint32_t first, int32_t n, int32_t *saturated);

#else

#define ET_SPARE
enum { ET_IS_PLAIN = 1 };
#define et_rescale_spare et_rescale

static inline void et_sum_fast(const int8_t *x, int32_t n, int32_t pitch, int32_t sums[4]) {
    for (; n > 0; n--, x += pitch)
        for (int32_t c = 0; c < 4; c++)
            sums[c] += x[c];
}

#define et_dense_fast(x, w, start, output, y, batch, n_in, n_out, scratch) ((void)(scratch), 0)
#define et_conv2d_fast(x, w, start, x_zero_point, output, y, window, scratch) ((void)(scratch), 0)
#define et_depthwise_fast(x, w, start, x_zero_point, output, y, window, scratch) \
    ((void)(scratch), 0)
#define et_requantize_fast(acc, output, y, rows, channels) 0
#define et_add_fast(a, a_term, b, b_term, y, y_term, low, high, n) 0
#define et_max_fast(x, y, v, at) 0
#define et_update_fast(w, grad, multiplier, key, first, n, saturated) 0

#endif

#if defined(ET_HELIUM)

/* Updates masters of a row; returns n. */
int32_t et_update_masters_fast(int16_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                               uint32_t first, int32_t n, int32_t *saturated);

/* et_visible; returns n. */
int32_t et_visible_fast(const int16_t *w, int8_t *visible, int32_t n);

/* et_momentum where the unit has not changed; returns n, or 0 where it does not fit. */
int32_t et_momentum_fast(int32_t *velocity, const int32_t *grad, int32_t decay, int32_t n);

#else

#define et_update_masters_fast(w, grad, multiplier, key, first, n, saturated) 0
#define et_visible_fast(w, visible, n) 0
#define et_momentum_fast(velocity, grad, decay, n) 0

#endif
#endif
