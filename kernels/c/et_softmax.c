#include "et_softmax.h"

enum {
    INTEGER_BITS = 5,  /* differences of logits are Q26: -32 to 0 */
    SUM_BITS = 12,     /* sums of exponentials are Q19 */
    PROBABILITY_BITS = 8,
    QUARTER = 1 << 24, /* 1/4 in Q26 */
    EXP_OF_MINUS_EIGHTH = 1895147668,
    ONE_THIRD = 715827883,
    POWERS = 7
};

/* exp(-1/4), exp(-1/2), exp(-1), ... exp(-16) in Q31 */
static const int32_t exp_of_minus_powers[POWERS] = {
    1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242,
};

/* Q31 times any Q, to nearest, ties up. */
static int32_t multiply(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

static int32_t halve(int32_t value, int32_t exponent) {
    return (int32_t)et_divide_by_power(value, exponent);
}

/* exp of a Q26 number in [-32, 0], Q31: a polynomial in (-1/4, 0], times powers of e. */
static int32_t exp_q31(int32_t x) {
    if (x == 0)
        return INT32_MAX;
    const int32_t fraction = (x & (QUARTER - 1)) - QUARTER;
    const int32_t y = fraction * (1 << INTEGER_BITS) + (1 << 28);
    const int32_t squared = multiply(y, y);
    const int32_t cubed = multiply(squared, y), fourth = multiply(squared, squared);
    const int32_t tail = multiply(halve(fourth, 2) + cubed, ONE_THIRD) + squared;
    int32_t result =
        EXP_OF_MINUS_EIGHTH + multiply(EXP_OF_MINUS_EIGHTH, y + halve(tail, 1));
    for (int32_t i = 0; i < POWERS; i++)
        if ((fraction - x) & (QUARTER << i))
            result = multiply(result, exp_of_minus_powers[i]);
    return result;
}

/* 1 / (1 + x) in Q31 for x in [0, 1) in Q31, by three steps of Newton's method. */
static int32_t reciprocal_q31(int32_t x) {
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) >> 1);
    int32_t y = 1515870810 + multiply(half, -1010580540); /* 48/17 - 32/17 * half, Q29 */
    for (int32_t i = 0; i < 3; i++)
        y += multiply(y, (1 << 29) - multiply(half, y)) * 4;
    return et_saturate((int64_t)y * 2);
}

static int32_t leading_zeros(uint32_t x) {
    int32_t count = 0;
    for (; x < 0x80000000u; x <<= 1)
        count++;
    return count;
}

static int32_t largest(const int8_t *x, int32_t n) {
    int32_t found = INT8_MIN;
    for (int32_t i = 0; i < n; i++)
        found = et_max(found, x[i]);
    return found;
}

void et_softmax(const int8_t *x, int32_t multiplier, int32_t shift, int32_t lowest, int8_t *y,
                int32_t batch, int32_t classes) {
    for (int32_t n = 0; n < batch; n++, x += classes, y += classes) {
        const int32_t top = largest(x, classes);
        int32_t total = 0;
        for (int32_t i = 0; i < classes; i++)
            if (x[i] - top >= lowest)
                total += halve(exp_q31(et_rescale(x[i] - top, multiplier, shift)), SUM_BITS);
        const int32_t leading = leading_zeros((uint32_t)total);
        const uint32_t above = ((uint32_t)total << leading) - 0x80000000u;
        const int32_t reciprocal = reciprocal_q31((int32_t)above);
        const int32_t right = SUM_BITS - leading + 31 - PROBABILITY_BITS;
        for (int32_t i = 0; i < classes; i++) {
            int32_t share = 0;
            if (x[i] - top >= lowest) {
                const int32_t e = exp_q31(et_rescale(x[i] - top, multiplier, shift));
                share = halve(multiply(reciprocal, e), right);
            }
            y[i] = (int8_t)et_min(share + INT8_MIN, INT8_MAX);
        }
    }
}
