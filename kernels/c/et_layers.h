/* Layers with weights: from int8 to int32 accumulators, or at once to int8.
 *
 * Accumulators begin at `start`, which et_start makes of biases, weights and the zero point of x;
 * so the inner loops multiply int8 by int8. Make it anew after each change of w or bias. Where
 * weights never change, store it in place of the biases.
 *
 * A fast form (Arm DSP, Helium) needs scratch memory: ET_..._SCRATCH bytes, aligned to 8 bytes,
 * free between calls. Without (NULL) the plain loops run; the results are the same bits.
 *
 * Stack of a call at most: 240 bytes on a Cortex-M0, 464 on an M4, 760 on an M55 (gcc, -O2).
 */
#ifndef ET_LAYERS_H
#define ET_LAYERS_H

#include <stddef.h>

#include "et_fixed.h"

/* Which forms are compiled: the plain loops alone where ET_PLAIN is defined, and where nothing is
 * optimized (-O0), because compilers lack the registers for the others then. */
#if !defined(ET_PLAIN) && defined(__OPTIMIZE__)
#if defined(__ARM_FEATURE_MVE)
#define ET_HELIUM
#elif defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#define ET_DSP
#endif
#endif

/* Bytes of scratch memory.
 *
 * n     number of weights of an output channel
 * rows  bytes of the image's rows under the kernel, padding among them: kernel_height * n_in *
 *       ((out_width - 1) * stride_right + kernel_width); 0 for a kernel of 1 x 1 without padding
 */
#if defined(ET_HELIUM)
#define ET_DENSE_SCRATCH(n_in) 0
#define ET_CONV2D_SCRATCH(n, n_out, rows) (((n) + 15) / 16 * 64 + (rows))
#define ET_DEPTHWISE_SCRATCH(out_width, stride) (32 * (((out_width) + 3) / 4 * 4 * (stride) + 2))
#elif defined(ET_DSP)
#define ET_DENSE_SCRATCH(n_in) (2 * (n_in))
/* Channels whose weights are widened at a time. */
#define ET_PAIRS_CHANNELS(n, n_out) \
    ((n_out) < ((n) > 64 ? 16 : 32) ? (n_out) : (n) > 64 ? 16 : 32)
#define ET_CONV2D_SCRATCH(n, n_out, rows)                                    \
    ((n) > 128 ? ((n) + 3) / 4 * 40                                          \
               : ((n) + 7) / 8 * (16 * ET_PAIRS_CHANNELS(n, n_out) + 48) +   \
                     16 * ET_PAIRS_CHANNELS(n, n_out))
#define ET_DEPTHWISE_SCRATCH(out_width, stride) (32 * (((out_width) + 3) / 4 * 4 * (stride) + 2))
#else
#define ET_DENSE_SCRATCH(n_in) 0
#define ET_CONV2D_SCRATCH(n, n_out, rows) 0
#define ET_DEPTHWISE_SCRATCH(out_width, stride) 0
#endif

/* How a kernel moves over an image; a signal is an image of height 1. Rows of padding below and
 * columns right of the image follow from the size of the result. */
typedef struct {
    int32_t height, width, n_in;            /* what is read: [height][width][n_in] */
    int32_t out_height, out_width, n_out;   /* what is written; n_in and n_out for pools alike */
    int32_t kernel_height, kernel_width;
    int32_t stride_down, stride_right;
    int32_t top, left;                      /* padding above and left of the image */
    int32_t groups;                         /* divides n_in and n_out; unused by pools */
} et_window;

/* From accumulators to int8. */
typedef struct {
    const int32_t *multiplier;      /* [n_out], [2^30, 2^31), or 0 with a shift of 0 */
    const int8_t *shift;            /* [n_out], [-31, 30], negative shifts right */
    int32_t zero_point, low, high;  /* int8: of the result, and the ends of its activation */
} et_output;

#ifdef __cplusplus
extern "C" {
#endif

/* start[o] = bias[o] - x_zero_point * (sum of w[o]).
 *
 * w             int8  [n_out][n]   in; n = n_in, of a convolution kernel height * width * n_in /
 *                                  groups
 * bias          int32 [n_out]      in, units of x_scale * w_scale
 * x_zero_point  [-128, 127]
 * start         int32 [n_out]      out; may be bias itself
 *
 * Time: n_out * n additions.
 */
void et_start(const int8_t *w, const int32_t *bias, int32_t x_zero_point, int32_t n_out, int32_t n,
              int32_t *start);

/* acc = (x - x_zero_point) w^T + bias.
 *
 * x      int8  [batch][n_in]    in
 * w      int8  [n_out][n_in]    in, [-127, 127]
 * start  int32 [n_out]          in, from et_start
 * acc    int32 [batch][n_out]   out; every sum must fit in int32
 *
 * Time: batch * n_out * n_in multiply-accumulates.
 */
void et_dense_acc(const int8_t *x, const int8_t *w, const int32_t *start, int32_t *acc,
                  int32_t batch, int32_t n_in, int32_t n_out);

/* y = requantize(acc) of et_dense_acc.
 *
 * y        int8 [batch][n_out]   out; must not overlap x
 * scratch  ET_DENSE_SCRATCH(n_in) bytes, or NULL
 * others   as et_dense_acc
 */
void et_dense(const int8_t *x, const int8_t *w, const int32_t *start, const et_output *output,
              int8_t *y, int32_t batch, int32_t n_in, int32_t n_out, void *scratch);

/* Accumulators of a convolution; padding counts as real zero.
 *
 * x             int8  [batch][height][width][n_in]                             in
 * w             int8  [n_out][kernel height][kernel width][n_in / groups]      in, [-127, 127]
 * start         int32 [n_out]                                                  in, from et_start
 * x_zero_point  [-128, 127]
 * acc           int32 [batch][out_height][out_width][n_out]   out; every sum must fit in int32
 *
 * Time: batch * out_height * out_width * n_out * (weights of a channel) multiply-accumulates.
 */
void et_conv2d_acc(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                   int32_t *acc, int32_t batch, const et_window *window);

/* y = requantize(acc) of et_conv2d_acc.
 *
 * y        int8 [batch][out_height][out_width][n_out]   out; must not overlap x
 * scratch  ET_CONV2D_SCRATCH bytes, or NULL: without a fast form for several groups
 * others   as et_conv2d_acc
 */
void et_conv2d(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
               const et_output *output, int8_t *y, int32_t batch, const et_window *window,
               void *scratch);

/* The same with a group a channel: groups == n_in == n_out.
 *
 * scratch  ET_DEPTHWISE_SCRATCH bytes, or NULL
 */
void et_depthwise(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                  const et_output *output, int8_t *y, int32_t batch, const et_window *window,
                  void *scratch);

/* y = requantize(acc): for layers whose accumulators are needed in between.
 *
 * acc  int32 [rows][channels]   in
 * y    int8  [rows][channels]   out
 */
void et_requantize(const int32_t *acc, const et_output *output, int8_t *y, int32_t rows,
                   int32_t channels);

#ifdef __cplusplus
}
#endif

#endif
