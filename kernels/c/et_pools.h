/* Layers without weights. Windows are those of et_layers.h, with n_out == n_in and padding
 * smaller than the kernel; a pixel outside the image neither counts nor wins.
 *
 * Stack of a call at most: 176 bytes on a Cortex-M0, 224 on an M4, 208 on an M55 (gcc, -O2).
 */
#ifndef ET_POOLS_H
#define ET_POOLS_H

#include "et_layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Average under the window, to nearest, ties away from zero.
 *
 * x  int8 [batch][height][width][n_in]           in
 * y  int8 [batch][out_height][out_width][n_in]   out; must not overlap x
 */
void et_average_pool(const int8_t *x, int8_t *y, int32_t batch, const et_window *window);

/* Largest value under the window, and which tap it came from.
 *
 * x      int8  [batch][height][width][n_in]           in
 * y      int8  [batch][out_height][out_width][n_in]   out; must not overlap x
 * index  uint8, the shape of y                        out: number of the first tap that won, for
 *                                                     et_max_pool_grad; or NULL. At most 256 taps
 */
void et_max_pool(const int8_t *x, int8_t *y, uint8_t *index, int32_t batch,
                 const et_window *window);

/* Average of each channel over the image.
 *
 * x           int8 [batch][pixels][channels]   in, at most 2^23 pixels
 * y           int8 [batch][channels]           out; must not overlap x
 * multiplier  with shift: x_scale / y_scale / pixels, from
 *             edgetrain.arithmetic.layers.global_pool_multiplier
 */
void et_global_average_pool(const int8_t *x, int32_t x_zero_point, int32_t multiplier,
                            int32_t shift, int32_t y_zero_point, int8_t *y, int32_t batch,
                            int32_t pixels, int32_t channels);

/* The scale of one tensor of a sum. */
typedef struct {
    int32_t zero_point, multiplier, shift;
} et_term;

/* y = a + b, tensors of three scales; edgetrain.arithmetic.layers.add has the three factors.
 *
 * a, b  int8 [n]   in
 * y     int8 [n]   out; may be a or b itself
 * low, high        ends of the activation, int8
 */
void et_add(const int8_t *a, et_term a_term, const int8_t *b, et_term b_term, int8_t *y,
            et_term y_term, int32_t low, int32_t high, int32_t n);

/* y = table[x + 128].
 *
 * x  int8 [n]   in
 * y  int8 [n]   out; may be x itself
 */
void et_look_up(const int8_t *x, const int8_t table[256], int8_t *y, int32_t n);

#ifdef __cplusplus
}
#endif

#endif
