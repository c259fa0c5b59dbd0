/* Learning without a gradient in memory: each kernel needs one row of int32 sums.
 *
 * An error is int8 with an exponent, real = e * 2^exponent. The exponent follows the peaks that
 * earlier steps saw, so an error is scaled to int8 while it is computed.
 *
 * Stack of a call at most: 240 bytes on a Cortex-M0, 544 on an M4, 384 on an M55 (gcc, -O2),
 * and where weights learn that of their update in et_updates.h.
 */
#ifndef ET_LEARN_H
#define ET_LEARN_H

#include "et_layers.h"
#include "et_updates.h"

/* Bytes of scratch memory of the fast forms, as in et_layers.h. They work on some weights or
 * channels and some pixels at a time: `pixels` is a batch's number of results of a channel, and k
 * that of the errors that reach one input; the others are of a window. */
#define ET_LEARN_WEIGHTS 32
#define ET_LEARN_PIXELS 128
#define ET_ERROR_COLUMNS(k) ((k) > 1024 ? 4 : 4096 / (k) / 4 * 4) /* and at most n_in */
#define ET_STRIP_ROWS(height, pitch) \
    ((pitch) > 256 ? 1 : 256 / (pitch) < (height) ? 256 / (pitch) : (height))
#if defined(ET_HELIUM)
#define ET_CONV2D_LEARN_SCRATCH(n_out, pixels)                                         \
    ((pixels) > ET_LEARN_PIXELS                                                        \
         ? ET_LEARN_WEIGHTS * (4 * (n_out) + ET_LEARN_PIXELS) + 8 * ET_LEARN_PIXELS    \
         : ET_LEARN_WEIGHTS * (4 + (pixels)) + 8 * (pixels))
#define ET_CONV2D_ERROR_SCRATCH(k, n_in) \
    (((k) + 7) / 8 * 8 *                 \
     (2 * (ET_ERROR_COLUMNS(k) < (n_in) ? ET_ERROR_COLUMNS(k) : ((n_in) + 3) / 4 * 4) + 1))
#define ET_DEPTHWISE_LEARN_SCRATCH(height, width, down, right, out_height, out_width)  \
    ET_PARTS_(height, width, down, right, out_height, (out_width) + ((width) - 1) / (right))
#define ET_PARTS_(height, width, down, right, out_height, pitch)                       \
    ET_TURNED_(height, width, down, right,                                             \
               ET_STRIP_ROWS(out_height, (pitch) * (down) * (right)), pitch)
#define ET_TURNED_(height, width, down, right, rows, pitch)                            \
    (((height) * (width) + 3) / 4 * 144 + 8 * (rows) * (pitch) +                       \
     8 * (down) * (right) *                                                            \
         (((rows) + ((height) - 1) / (down)) * (pitch) + ((width) - 1) / (right)))
#define ET_DEPTHWISE_ERROR_SCRATCH(kernel_height, kernel_width, height, width)         \
    ET_PIECES_(height, width, (kernel_height) * ((width) + (kernel_width) - 1))
#define ET_PIECES_(height, width, pitch) \
    (ET_STRIP_ROWS(height, pitch) * (4 * (width) + 8 * (pitch)) + 28)
#elif defined(ET_DSP)
#define ET_CONV2D_LEARN_SCRATCH(n_out, pixels)                              \
    ((pixels) > ET_LEARN_PIXELS                                             \
         ? ET_LEARN_PIXELS * (2 * ET_LEARN_WEIGHTS + 12) + (n_out) * 4 * ET_LEARN_WEIGHTS \
         : ((pixels) + 15) / 16 * 16 * (2 * ET_LEARN_WEIGHTS + 12) + 16 * ET_LEARN_WEIGHTS)
#define ET_CONV2D_ERROR_SCRATCH(k, n_in) \
    (((k) + 15) / 16 * 32 * (2 + (ET_ERROR_COLUMNS(k) < (n_in) ? ET_ERROR_COLUMNS(k) : (n_in))))
#define ET_DEPTHWISE_LEARN_SCRATCH(height, width, down, right, out_height, out_width) \
    ET_PLANES_(ET_STRIP_((out_height), (out_width) + 2), height, (out_width) + 2, 8)
#define ET_DEPTHWISE_ERROR_SCRATCH(kernel_height, kernel_width, height, width) \
    ET_PLANES_(ET_STRIP_((height), (width) + 2), kernel_height, (width) + 2, 4)
#define ET_STRIP_(height, pitch) \
    ((height) * (pitch) < 256 ? (height) * (pitch) : (pitch) > 256 ? (pitch) : 256)
#define ET_PLANES_(strip, kernel_height, pitch, size)             \
    (8 * (((strip) + ((kernel_height) - 1) * (pitch) + 5) / 4 * 4) + \
     (size) * (((strip) + 7) / 8 * 8) + 32)
#else
#define ET_CONV2D_LEARN_SCRATCH(n_out, pixels) 0
#define ET_CONV2D_ERROR_SCRATCH(k, n_in) 0
#define ET_DEPTHWISE_LEARN_SCRATCH(height, width, down, right, out_height, out_width) 0
#define ET_DEPTHWISE_ERROR_SCRATCH(kernel_height, kernel_width, height, width) 0
#endif

/* What is remembered of one error between steps. */
typedef struct {
    int32_t exponent; /* of the next step */
    int32_t peak;     /* largest magnitude since the exponent was last lowered, 0 to 127 */
} et_scale;

/* How an accumulated error becomes int8: e = acc * multiplier * 2^(shift - 31). */
typedef struct {
    int32_t multiplier, shift;
    int32_t exponent; /* of the result */
} et_scaling;

#ifdef __cplusplus
extern "C" {
#endif

/* Choose the exponent of an error.
 *
 * scale       of the error                                     in
 * multiplier  with shift: the factor of the sums, 0 or [2^30, 2^31)
 * exponent    of the sums
 * limit       largest exponent; INT32_MAX for none
 */
et_scaling et_choose_scale(const et_scale *scale, int32_t multiplier, int32_t shift,
                           int32_t exponent, int32_t limit);

/* Remember the peak of an error that was scaled.
 *
 * scale  of the error              in and out
 * used   its exponent
 * peak   largest magnitude before saturation
 * step   number of the training step
 */
void et_watch_peak(et_scale *scale, int32_t used, int32_t peak, uint32_t step);

/* How far a layer goes in one step. */
typedef struct {
    const int32_t *multiplier; /* [n_out], of the learning rate and the scales of x and w */
    const int8_t *shift;       /* [n_out] */
    int32_t exponent;          /* of the error */
    int32_t rate;              /* factor in Q8 */
    int32_t batch;             /* samples that are summed */
} et_rates;

/* Learning rate of channel o as a multiplier; fraction is 32 for weights, 16 for biases. */
int32_t et_rate(const et_rates *rates, int32_t o, int32_t fraction);

/* Error of a dense layer's input.
 *
 * e      int8  [batch][n_out]   in
 * w      int8  [n_out][n_in]    in
 * ratio  int16 [n_out]          in, [0, 128]
 * sums   int32 [n_in]           scratch
 * out    int8  [batch][n_in]    out; must not overlap e
 *
 * Returns the largest magnitude before saturation.
 */
int32_t et_dense_error(const int8_t *e, const int8_t *w, const int16_t *ratio,
                       const et_scaling *scaling, int32_t *sums, int8_t *out, int32_t batch,
                       int32_t n_in, int32_t n_out);

/* Error of a convolution's input; sums int32 [n_in].
 *
 * scratch  ET_CONV2D_ERROR_SCRATCH(taps * n_out, n_in) bytes, aligned to 8; or NULL
 */
int32_t et_conv2d_error(const int8_t *e, const int8_t *w, const int16_t *ratio,
                        const et_scaling *scaling, int32_t *sums, int8_t *out, int32_t batch,
                        const et_window *window, void *scratch);

/* The same with groups == n_in == n_out; scratch ET_DEPTHWISE_ERROR_SCRATCH. */
int32_t et_depthwise_error(const int8_t *e, const int8_t *w, const int16_t *ratio,
                           const et_scaling *scaling, int32_t *sums, int8_t *out, int32_t batch,
                           const et_window *window, void *scratch);

/* Error of an average pool's input; scaling from the factor 1/256; sums int32 [n_in]. */
int32_t et_average_pool_error(const int8_t *e, const et_scaling *scaling, int32_t *sums,
                              int8_t *out, int32_t batch, const et_window *window);

/* Error of a max pool's input; scaling from the factor 1/256; sums int32 [n_in].
 *
 * index  uint8, the shape of e   in, from et_max_pool
 */
int32_t et_max_pool_error(const int8_t *e, const uint8_t *index, const et_scaling *scaling,
                          int32_t *sums, int8_t *out, int32_t batch, const et_window *window);

/* One step of a dense layer's weights; sums int32 [n_in]. Returns the saturated updates. */
int32_t et_dense_learn(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                       const et_weights *weights, const et_rates *rates, int32_t *sums,
                       int32_t batch, int32_t n_in, int32_t n_out);

/* One step of a convolution's weights; sums int32 [weights of a channel].
 *
 * scratch  ET_CONV2D_LEARN_SCRATCH bytes, aligned to 8; or NULL
 */
int32_t et_conv2d_learn(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                        const et_weights *weights, const et_rates *rates, int32_t *sums,
                        int32_t batch, const et_window *window, void *scratch);

/* The same with groups == n_in == n_out; scratch ET_DEPTHWISE_LEARN_SCRATCH. */
int32_t et_depthwise_learn(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                           const et_weights *weights, const et_rates *rates, int32_t *sums,
                           int32_t batch, const et_window *window, void *scratch);

/* One step of the biases: rows is the batch times the pixels.
 *
 * e      int8  [rows][n_out]   in
 * b      int32 [n_out]         in and out
 * limit  largest magnitude
 */
void et_bias_learn(const int8_t *e, int32_t *b, const et_rates *rates, int32_t limit, int32_t rows,
                   int32_t n_out);

/* The error before a global average pool, one for each channel; scaling from the factor 1/pixels
 * and 8 bits less than the exponent of e. */
int32_t et_widened(const int8_t *e, const et_scaling *scaling, int8_t *out, int32_t n);

/* Error before a smooth activation, whose slope in Q6 belongs to the code of its input; scaling
 * from the factor 1/64.
 *
 * x       int8 [n]     in, what the activation read
 * slopes  int8 [256]   in, of code -128 first
 */
int32_t et_slope_error(const int8_t *e, const int8_t *x, const int8_t *slopes,
                       const et_scaling *scaling, int8_t *out, int32_t n);

/* Sum of errors that reach one value on several ways, in units of 2^base.
 *
 * parts, exponents  [count]
 * out               int8 [n]; may be one of the parts
 */
int32_t et_merge(const int8_t *const *parts, const int32_t *exponents, int32_t count,
                 int32_t base, const et_scaling *scaling, int8_t *out, int32_t n);

/* e = 0 where the activation that made y was closed: y <= low or y >= high (128: never). */
void et_close(int8_t *e, const int8_t *y, int32_t low, int32_t high, int32_t n);

/* The same from bits, which et_keep_open makes: bit i % 8 of byte i / 8. */
void et_keep_open(const int8_t *y, int32_t low, int32_t high, uint8_t *bits, int32_t n);
void et_close_by_bits(int8_t *e, const uint8_t *bits, int32_t n);

/* out[row][pixel] = e[row]: the error of every pixel that a global average pool read. */
void et_spread(const int8_t *e, int8_t *out, int32_t rows, int32_t pixels, int32_t channels);

#ifdef __cplusplus
}
#endif

#endif
