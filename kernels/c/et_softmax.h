/* The softmax of inference, int8 to int8, as TensorFlow Lite Micro's reference kernel.
 *
 * Stack of a call at most: 320 bytes on a Cortex-M0, 144 on an M4, 176 on an M55 (gcc, -O2).
 */
#ifndef ET_SOFTMAX_H
#define ET_SOFTMAX_H

#include "et_fixed.h"

#ifdef __cplusplus
extern "C" {
#endif

/* y = probabilities of every row, in units of 1/256 above -128.
 *
 * x                          int8 [batch][classes]   in, logits; at most 4095 classes
 * multiplier, shift, lowest  from edgetrain.arithmetic.probabilities.softmax_multiplier
 * y                          int8 [batch][classes]   out; may be x itself
 *
 * Time: about 30 multiplications of 32 by 32 bits a class.
 */
void et_softmax(const int8_t *x, int32_t multiplier, int32_t shift, int32_t lowest, int8_t *y,
                int32_t batch, int32_t classes);

#ifdef __cplusplus
}
#endif

#endif
