/* Weight updates in place, rounded stochastically, and momentum.
 *
 * The random fraction of weight i is byte i % 4 of the stream's word i / 4.
 *
 * Stack of a call at most: 192 bytes on a Cortex-M0, 256 on an M4, 328 on an M55 (gcc, -O2).
 */
#ifndef ET_UPDATES_H
#define ET_UPDATES_H

#include <stddef.h>

#include "et_fixed.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct et_weights et_weights;

/* One step of weights first .. first + n - 1 of a tensor, all of one channel.
 *
 * grad        int32 [n]   in
 * multiplier  not negative
 *
 * Returns how many steps were saturated.
 */
typedef int32_t et_update(const et_weights *weights, const int32_t *grad, int32_t multiplier,
                          uint32_t first, int32_t n);

/* What learns. */
struct et_weights {
    et_update *update;      /* one of those below; the others need not be linked */
    int8_t *w;
    et_key key;             /* stream of the rounding, a new one for each step */
    int16_t *master;        /* of w; NULL where w itself is stepped */
    int32_t *velocity;      /* of the size of w; of et_update_momentum */
    int32_t decay, realign; /* of et_momentum */
};

/* Steps w itself. */
int32_t et_update_w8(const et_weights *weights, const int32_t *grad, int32_t multiplier,
                     uint32_t first, int32_t n);

/* Steps masters, and then w. */
int32_t et_update_w16(const et_weights *weights, const int32_t *grad, int32_t multiplier,
                      uint32_t first, int32_t n);

/* Steps the velocity, and then masters or w. */
int32_t et_update_momentum(const et_weights *weights, const int32_t *grad, int32_t multiplier,
                           uint32_t first, int32_t n);

/* w = clip(w - sat8(floor(grad * multiplier / 2^32 + u)), -127, 127).
 *
 * w           int8  [n_out][n]   in and out, [-127, 127]
 * grad        int32 [n_out][n]   in
 * multiplier  int32 [n_out]      in, not negative: learning rate and scales, times 2^32
 * key         stream of the rounding; a new one for each step and tensor
 *
 * Returns how many steps were saturated: more than a few mean that the learning rate is too large.
 */
int32_t et_update_int8(int8_t *w, const int32_t *grad, const int32_t *multiplier, et_key key,
                       int32_t n_out, int32_t n);

/* The same for int16 masters, with steps 256 times finer, within [-32512, 32767].
 *
 * w  int16 [n_out][n]   in and out; et_visible gives the weights of the forward pass
 */
int32_t et_update_int16(int16_t *w, const int32_t *grad, const int32_t *multiplier, et_key key,
                        int32_t n_out, int32_t n);

/* The same for weights first .. first + n - 1 of a tensor, all of one channel. */
int32_t et_update_int8_part(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                            uint32_t first, int32_t n);
int32_t et_update_int16_part(int16_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                             uint32_t first, int32_t n);

/* What the forward pass sees of masters: visible = w >> 8.
 *
 * w        int16 [n]   in
 * visible  int8  [n]   out
 */
void et_visible(const int16_t *w, int8_t *visible, int32_t n);

/* One bias of et_update_bias. */
static inline int32_t et_step_bias(int32_t b, int32_t grad, int32_t multiplier, int32_t limit) {
    const int64_t product = (int64_t)grad * multiplier;
    const int64_t stepped = b - ((product + (1 << 15) + (product >> 63)) >> 16);
    return (int32_t)(stepped < -limit ? -limit : stepped > limit ? limit : stepped);
}

/* b = clip(b - grad * multiplier / 2^16, -limit, limit), to nearest, ties away from zero.
 *
 * b           int32 [n]   in and out
 * grad        int32 [n]   in, summed errors
 * multiplier  int32 [n]   in, not negative
 * limit       largest magnitude with which no accumulator can overflow
 */
void et_update_bias(int32_t *b, const int32_t *grad, const int32_t *multiplier, int32_t limit,
                    int32_t n);

/* v = v * 2^realign; v = v - v / 2^decay + grad, saturated.
 *
 * velocity  int32 [n]   in and out
 * grad      int32 [n]   in
 * decay     [0, 31]: momentum is 1 - 2^-decay
 * realign   any: bits to shift the velocity left because the exponent of the error has changed
 */
void et_momentum(int32_t *velocity, const int32_t *grad, int32_t decay, int32_t realign,
                 int32_t n);

/* Move the unit of a velocity to that of a gradient; returns the realign of et_momentum.
 *
 * unit      exponent of the velocity, -64 before the first step   in and out
 * exponent  of the gradient's error
 */
int32_t et_realign(int32_t *unit, int32_t exponent);

#ifdef __cplusplus
}
#endif

#endif
