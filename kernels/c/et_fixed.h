/* The arithmetic that every kernel shares; edgetrain/arithmetic/ is its specification.
 *
 * C99, integers only, no allocation, nothing of libc. `>>` of a negative number must be an
 * arithmetic shift, as it is with every compiler for a microcontroller.
 *
 * The generator of a program proves shapes and ranges once; the kernels do not check them again.
 * Only what comes from outside while a device runs is checked: such functions return et_status.
 *
 * Stack of a call at most: 16 bytes on a Cortex-M0, 16 on an M4, 32 on an M55 (gcc, -O2).
 */
#ifndef ET_FIXED_H
#define ET_FIXED_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    ET_OK = 0,
    ET_BAD_ARGUMENT = -1, /* a value from outside is out of range; nothing was written */
} et_status;

/* Marks functions of which the size matters and not the time. */
#define ET_COLD __attribute__((cold))

/* A stream of random words: the two halves of its key. */
typedef struct {
    uint32_t k0, k1;
} et_key;

static inline int32_t et_min(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t et_max(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static inline int32_t et_clip(int32_t value, int32_t low, int32_t high) {
    return et_min(et_max(value, low), high);
}

/* value in [-2^63, 2^63) to the nearest int32. */
static inline int32_t et_saturate(int64_t value) {
    return (int32_t)(value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : value);
}

/* value / 2^exponent to nearest, ties away from zero; exponent in [0, 62]. */
static inline int64_t et_divide_by_power(int64_t value, int32_t exponent) {
    const int64_t mask = ((int64_t)1 << exponent) - 1;
    return (value >> exponent) + ((value & mask) > (mask >> 1) + (value < 0));
}

/* acc * multiplier * 2^(shift - 31), rounded twice: ties up, then ties away from zero.
 *
 * acc         any int32; where shift > 0, acc * 2^shift saturates at int32 (the specification
 *             asks the caller that it fits)
 * multiplier  0 or [2^30, 2^31); [2^29, 2^31) for global pools
 * shift       [-31, 30]; negative shifts right
 */
static inline int32_t et_rescale(int32_t acc, int32_t multiplier, int32_t shift) {
    const int32_t right = shift > 0 ? 0 : -shift;
    if (shift > 0)
        acc = et_saturate((int64_t)acc * ((int64_t)1 << shift));
    const int32_t high = (int32_t)(((int64_t)acc * multiplier + (1 << 30)) >> 31);
    const int32_t mask = (int32_t)(((uint32_t)1 << right) - 1);
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0));
}

/* The same as a call: where size matters and not time. */
int32_t et_rescale_call(int32_t acc, int32_t multiplier, int32_t shift);

/* zero_point + what was rescaled, within [low, high]; zero_point, low and high are int8. */
static inline int8_t et_place(int32_t scaled, int32_t zero_point, int32_t low, int32_t high) {
    return (int8_t)(et_clip(scaled, low - zero_point, high - zero_point) + zero_point);
}

/* The fold at both ends of a hash. Folding twice changes nothing, and fold(a ^ b) is
 * fold(a) ^ fold(b): between two hashes, fold(fold(a) ^ b) is a ^ fold(b). */
static inline uint32_t et_fold(uint32_t x) {
    return x ^ (x >> 16);
}

/* A hash of 32 bits to 32 bits (lowbias32) without the folds at its ends. */
static inline uint32_t et_core(uint32_t x) {
    x *= 0x7feb352du;
    x ^= x >> 15;
    return x * 0x846ca68bu;
}

/* The word of a stream at a counter. */
static inline uint32_t et_random_word(et_key key, uint32_t counter) {
    return et_fold(et_core(et_core(et_fold(counter + key.k0)) ^ et_fold(key.k1)));
}

#ifdef __cplusplus
}
#endif

#endif
