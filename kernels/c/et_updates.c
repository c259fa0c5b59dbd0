#include "et_updates.h"

#include "et_fast.h"

enum {
    WEIGHT_MAX = 127,
    MASTER_MIN = -127 * 256,
    MASTER_MAX = 127 * 256 + 255,
    UPDATE_SHIFT = 32,
    MASTER_BITS = 8,
    NO_STEP_YET = -64
};

/* Hands out the fractions of one weight after the other. */
typedef struct {
    et_key key;
    uint32_t index, word; /* word: of the weight, whose byte is the lowest */
} fractions;

/* An odd multiple of 1/512, in Q32. */
static inline uint32_t next_fraction(fractions *f) {
    const uint32_t fraction = (f->word << 24) + (1u << 23);
    f->word >>= 8;
    if (++f->index % 4 == 0)
        f->word = et_random_word(f->key, f->index / 4);
    return fraction;
}

static fractions fractions_from(et_key key, uint32_t index) {
    const fractions f = {key, index, et_random_word(key, index / 4) >> index % 4 * 8};
    return f;
}

ET_SPARE
int32_t et_update_row(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                      uint32_t first, int32_t n) {
    fractions f = fractions_from(key, first);
    int32_t saturated = 0;
    for (int32_t i = 0; i < n; i++) {
        const int64_t product = (int64_t)grad[i] * multiplier + next_fraction(&f);
        const int32_t step = (int32_t)(product >> UPDATE_SHIFT);
        const int32_t clipped = et_clip_int8(step);
        saturated += step != clipped;
        if (w != NULL)
            w[i] = (int8_t)et_max(et_clip_int8(w[i] - clipped), -WEIGHT_MAX);
    }
    return saturated;
}

ET_SPARE
int32_t et_update_int8_part(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                            uint32_t first, int32_t n) {
    int32_t saturated = 0;
    const int32_t done = et_update_fast(w, grad, multiplier, key, first, n, &saturated);
    if (done == n)
        return saturated;
    return saturated + et_update_row(w + done, grad + done, multiplier, key,
                                     first + (uint32_t)done, n - done);
}

int32_t et_update_int16_part(int16_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                             uint32_t first, int32_t n) {
    int32_t saturated = 0;
    if (et_update_masters_fast(w, grad, multiplier, key, first, n, &saturated))
        return saturated;
    fractions f = fractions_from(key, first);
    for (int32_t i = 0; i < n; i++) {
        const uint32_t fraction = next_fraction(&f) >> MASTER_BITS;
        const int64_t product = (int64_t)grad[i] * multiplier + fraction;
        const int32_t step = et_saturate(product >> (UPDATE_SHIFT - MASTER_BITS));
        const int32_t clipped = et_clip(step, INT16_MIN, INT16_MAX);
        saturated += step != clipped;
        w[i] = (int16_t)et_clip(w[i] - clipped, MASTER_MIN, MASTER_MAX);
    }
    return saturated;
}

int32_t et_update_int8(int8_t *w, const int32_t *grad, const int32_t *multiplier, et_key key,
                       int32_t n_out, int32_t n) {
    int32_t saturated = 0;
    for (int32_t o = 0; o < n_out; o++, w += n, grad += n)
        saturated += et_update_int8_part(w, grad, multiplier[o], key, (uint32_t)(o * n), n);
    return saturated;
}

int32_t et_update_int16(int16_t *w, const int32_t *grad, const int32_t *multiplier, et_key key,
                        int32_t n_out, int32_t n) {
    int32_t saturated = 0;
    for (int32_t o = 0; o < n_out; o++, w += n, grad += n)
        saturated += et_update_int16_part(w, grad, multiplier[o], key, (uint32_t)(o * n), n);
    return saturated;
}

int32_t et_update_w8(const et_weights *weights, const int32_t *grad, int32_t multiplier,
                     uint32_t first, int32_t n) {
    return et_update_int8_part(weights->w + first, grad, multiplier, weights->key, first, n);
}

int32_t et_update_w16(const et_weights *weights, const int32_t *grad, int32_t multiplier,
                      uint32_t first, int32_t n) {
    int16_t *master = weights->master + first;
    const int32_t saturated =
        et_update_int16_part(master, grad, multiplier, weights->key, first, n);
    et_visible(master, weights->w + first, n);
    return saturated;
}

int32_t et_update_momentum(const et_weights *weights, const int32_t *grad, int32_t multiplier,
                           uint32_t first, int32_t n) {
    int32_t *velocity = weights->velocity + first;
    et_momentum(velocity, grad, weights->decay, weights->realign, n);
    return (weights->master == NULL ? et_update_w8 : et_update_w16)(weights, velocity, multiplier,
                                                                    first, n);
}

void et_visible(const int16_t *w, int8_t *visible, int32_t n) {
    for (int32_t i = et_visible_fast(w, visible, n); i < n; i++)
        visible[i] = (int8_t)(w[i] >> MASTER_BITS);
}

ET_COLD
void et_update_bias(int32_t *b, const int32_t *grad, const int32_t *multiplier, int32_t limit,
                    int32_t n) {
    for (int32_t i = 0; i < n; i++)
        b[i] = et_step_bias(b[i], grad[i], multiplier[i], limit);
}

/* et_momentum where the unit has not changed, which is the rule: nothing leaves 32 bits but the
 * last sum. */
static void momentum_of_one_unit(int32_t *velocity, const int32_t *grad, int32_t decay, int32_t n) {
    const int32_t mask = (int32_t)(((uint32_t)1 << decay) - 1), half = mask >> 1;
    for (int32_t i = 0; i < n; i++) {
        const int32_t old = velocity[i];
        const int32_t lost = (old >> decay) + ((old & mask) > half + (old < 0));
        velocity[i] = et_saturate((int64_t)(old - lost) + grad[i]);
    }
}

void et_momentum(int32_t *velocity, const int32_t *grad, int32_t decay, int32_t realign,
                 int32_t n) {
    if (realign == 0) {
        if (et_momentum_fast(velocity, grad, decay, n))
            return;
        momentum_of_one_unit(velocity, grad, decay, n);
        return;
    }
    const int32_t left = et_clip(realign, 0, 31), right = et_clip(-realign, 0, 62);
    for (int32_t i = 0; i < n; i++) {
        const int64_t old = et_divide_by_power(velocity[i] * ((int64_t)1 << left), right);
        velocity[i] = et_saturate(old - et_divide_by_power(old, decay) + grad[i]);
    }
}

ET_COLD
int32_t et_realign(int32_t *unit, int32_t exponent) {
    const int32_t bits = *unit == NO_STEP_YET ? 0 : *unit - exponent;
    *unit = exponent;
    return bits;
}
