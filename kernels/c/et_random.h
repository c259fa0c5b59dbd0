/* Random signs; et_fixed.h has the words.
 *
 * Stack of a call at most: 64 bytes on a Cortex-M0, 48 on an M4, 48 on an M55 (gcc, -O2).
 */
#ifndef ET_RANDOM_H
#define ET_RANDOM_H

#include "et_fixed.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a stream is for: the last argument of et_stream_key. */
enum { ET_PERTURB, ET_ROUND, ET_SHUFFLE, ET_CONTRAST };

/* The key of a stream, by hashing: no two streams share words.
 *
 * seed    of the run
 * step    number of the training step
 * tensor  number of the tensor: of its name, FNV-1a
 */
et_key et_stream_key(uint32_t seed, uint32_t step, uint32_t tensor, uint32_t purpose);

/* Rademacher signs: bit k % 32 of word row * ceil(columns / 32) + k / 32; 0 is +1, 1 is -1.
 *
 * signs  int8 [rows][columns]   out
 */
void et_random_signs(et_key key, int8_t *signs, int32_t rows, int32_t columns);

#ifdef __cplusplus
}
#endif

#endif
