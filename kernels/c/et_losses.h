/* Losses in integers: logits, targets and losses are Q10, probabilities Q15.
 *
 * Stack of a call at most: 80 bytes on a Cortex-M0, 64 on an M4, 136 on an M55 (gcc, -O2).
 */
#ifndef ET_LOSSES_H
#define ET_LOSSES_H

#include "et_fixed.h"

#ifdef __cplusplus
extern "C" {
#endif

/* logits = acc * multiplier * 2^(shift - 31), saturated at +-(2^20 - 1).
 *
 * acc         int32 [batch][classes]   in
 * multiplier  int32 [classes]          in, of x_scale * w_scale * 2^10
 * shift       int8  [classes]          in, [-31, 30]
 * logits      int32 [batch][classes]   out; may be acc itself
 */
void et_logits_q10(const int32_t *acc, const int32_t *multiplier, const int8_t *shift,
                   int32_t *logits, int32_t batch, int32_t classes);

/* error = softmax(logits) - one-hot(y), loss = -ln(probability of y).
 *
 * logits  int32 [batch][classes]   in, Q10 within +-2^29; at most 2^15 classes
 * y       int32 [batch]            in, a class for each sample
 * error   int32 [batch][classes]   out, Q15; may be logits itself
 * loss    int32 [batch]            out, Q10
 *
 * Returns ET_BAD_ARGUMENT before writing anything if a y is not in [0, classes), else ET_OK.
 */
et_status et_cross_entropy(const int32_t *logits, const int32_t *y, int32_t *error, int32_t *loss,
                           int32_t batch, int32_t classes);

/* error = output - target, saturated at +-(2^20 - 1); loss = half the sum of squares, saturated.
 *
 * output  int32 [batch][n_out]   in, Q10
 * target  int32 [batch][n_out]   in, Q10
 * error   int32 [batch][n_out]   out, Q10; may be output itself
 * loss    int32 [batch]          out, Q10
 */
void et_squared_error(const int32_t *output, const int32_t *target, int32_t *error, int32_t *loss,
                      int32_t batch, int32_t n_out);

/* e = clip(acc * multiplier * 2^(shift - 31), -127, 127).
 *
 * acc         int32 [n]   in
 * multiplier  0 or [2^30, 2^31)
 * shift       [-31, 30]; at most 0 where acc is large
 * e           int8  [n]   out
 *
 * Returns the largest magnitude before saturation, 0 if n is 0.
 */
int32_t et_scale_error(const int32_t *acc, int32_t multiplier, int32_t shift, int8_t *e, int32_t n);

#ifdef __cplusplus
}
#endif

#endif
