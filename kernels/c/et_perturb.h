/* Forward gradients: perturbations, and what is learned from two losses.
 *
 * The signs of a tensor are those of et_random_signs under the key of (seed, query, tensor); they
 * are drawn again wherever they are needed and never stored. `query` counts all queries of a run.
 *
 * Stack of a call at most: 336 bytes on a Cortex-M0, 304 on an M4, 408 on an M55 (gcc, -O2),
 * and where weights learn that of their update in et_updates.h.
 */
#ifndef ET_PERTURB_H
#define ET_PERTURB_H

#include "et_steps.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Whose signs: the arguments of et_stream_key. */
typedef struct {
    uint32_t seed, query, tensor;
} et_signs;

/* shaken = start + direction * size * sign: accumulators of one sample that begin perturbed.
 *
 * start, size, shaken  int32 [n_out]
 * sample               row of the signs
 * direction            1 or -1
 */
void et_shake_start(const int32_t *start, const int32_t *size, const et_signs *signs,
                    int32_t sample, int32_t direction, int32_t *shaken, int32_t n_out);

/* Perturbed weights of a layer, and what its accumulators begin with: et_start of both.
 *
 * w, shaken     int8  [n_out][n]   in, out; within [-127, 127]; may not overlap
 * b             int32 [n_out]      in; perturbed by 64 * step, within +-limit
 * step          direction * size, in int8 steps
 * x_zero_point  [-128, 127], of what the layer reads
 * start         int32 [n_out]      out
 *
 * Time: n_out * n additions, and a hash for 32 of them.
 */
void et_shake_weights(const int8_t *w, const int32_t *b, const et_signs *signs, int32_t step,
                      int32_t limit, int32_t x_zero_point, int8_t *shaken, int32_t *start,
                      int32_t n_out, int32_t n);

/* Estimated error of a layer's accumulators, shared by the pixels whose activation is open.
 *
 * differences  int32 [queries][batch]             in, losses with + minus losses with -
 * signs        of the first query
 * y            int8 [batch][pixels][n_out]        in, the layer's result; NULL: all are open
 * low, high    open means low < y < high
 * e            int8 [batch][pixels][n_out]        out
 *
 * Returns the largest magnitude before saturation.
 */
int32_t et_estimate(const int32_t *differences, int32_t queries, const et_signs *signs,
                    const int8_t *y, int32_t low, int32_t high, const et_scaling *scaling,
                    int8_t *e, int32_t batch, int32_t pixels, int32_t n_out);

/* One step of a layer's weights and biases along their signs.
 *
 * slopes       int32 [queries]   in
 * signs        of the first query
 * sums         int32 [n]         scratch
 * rates, bias_rates, limit       as et_conv2d_learn and et_bias_learn
 *
 * Returns the saturated updates.
 */
int32_t et_signs_learn(const int32_t *slopes, int32_t queries, const et_signs *signs,
                       const et_weights *weights, int32_t *b, const et_rates *rates,
                       const et_rates *bias_rates, int32_t limit, int32_t *sums, int32_t n_out,
                       int32_t n);

/* The same of a layer, from an exponent of the slopes; first_query is the number of the first. */
int32_t et_signs_step(const et_learner *learner, const et_lesson *lesson, const int32_t *slopes,
                      int32_t queries, uint32_t first_query, int32_t exponent, int32_t *sums);

#ifdef __cplusplus
}
#endif

#endif
