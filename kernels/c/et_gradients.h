/* The backward pass: gradients of weights and errors of inputs, as int32.
 *
 * An error e is int8 with a power-of-two scale. Channels have weight scales of their own, so an
 * error is multiplied by its channel's ratio (0..128) before it flows back through the weights.
 * Zeros in e cost nothing: behind a ReLU they are the rule.
 *
 * Stack of a call at most: 128 bytes on a Cortex-M0, 112 on an M4, 112 on an M55 (gcc, -O2).
 */
#ifndef ET_GRADIENTS_H
#define ET_GRADIENTS_H

#include "et_layers.h"

#ifdef __cplusplus
extern "C" {
#endif

/* grad += e^T (x - x_zero_point), summed over the batch.
 *
 * x     int8  [batch][n_in]    in
 * e     int8  [batch][n_out]   in
 * grad  int32 [n_out][n_in]    in and out: clear it before the first sample of a step
 *
 * Time: batch * (non-zeros of e) * n_in multiply-accumulates.
 */
void et_dense_grad_w(const int8_t *x, const int8_t *e, int32_t x_zero_point, int32_t *grad,
                     int32_t batch, int32_t n_in, int32_t n_out);

/* grad = (e * ratio) w.
 *
 * e      int8  [batch][n_out]   in
 * w      int8  [n_out][n_in]    in
 * ratio  int16 [n_out]          in, [0, 128]
 * grad   int32 [batch][n_in]    out; fits while n_out <= 1040
 *
 * Time: batch * (non-zeros of e) * n_in multiply-accumulates.
 */
void et_dense_grad_x(const int8_t *e, const int8_t *w, const int16_t *ratio, int32_t *grad,
                     int32_t batch, int32_t n_in, int32_t n_out);

/* grad += gradient of a convolution's weights, summed over batch and pixels.
 *
 * x     int8  [batch][height][width][n_in]                          in
 * e     int8  [batch][out_height][out_width][n_out]                 in
 * grad  int32 [n_out][kernel height][kernel width][n_in / groups]   in and out
 */
void et_conv2d_grad_w(const int8_t *x, const int8_t *e, int32_t x_zero_point, int32_t *grad,
                      int32_t batch, const et_window *window);

/* grad = error of a convolution's input.
 *
 * e      int8  [batch][out_height][out_width][n_out]                 in
 * w      int8  [n_out][kernel height][kernel width][n_in / groups]   in
 * ratio  int16 [n_out]                                               in, [0, 128]
 * grad   int32 [batch][height][width][n_in]                          out; fits while
 *              kernel height * kernel width * n_out / groups <= 1040
 */
void et_conv2d_grad_x(const int8_t *e, const int8_t *w, const int16_t *ratio, int32_t *grad,
                      int32_t batch, const et_window *window);

/* grad = 256 * error of an average pool's input: each window hands out e / count.
 *
 * e     int8  [batch][out_height][out_width][n_in]   in
 * grad  int32 [batch][height][width][n_in]           out
 */
void et_average_pool_grad(const int8_t *e, int32_t *grad, int32_t batch, const et_window *window);

/* grad = error of a max pool's input: each window's error goes to its winner.
 *
 * e      int8  [batch][out_height][out_width][n_in]   in
 * index  uint8, the shape of e                        in, from et_max_pool
 * grad   int32 [batch][height][width][n_in]           out
 */
void et_max_pool_grad(const int8_t *e, const uint8_t *index, int32_t *grad, int32_t batch,
                      const et_window *window);

#ifdef __cplusplus
}
#endif

#endif
