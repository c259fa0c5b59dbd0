#include "et_perturb.h"

#include "et_losses.h"
#include "et_random.h"

enum { WEIGHT_MAX = 127, BIAS_INPUT = 64, SHARE_BITS = 6 };

/* Hands out the signs of one row. */
typedef struct {
    et_key key;
    uint32_t counter, word;
    int32_t column;
} row_signs;

static row_signs row_of(const et_signs *signs, uint32_t later, int32_t row, int32_t columns) {
    const et_key key = et_stream_key(signs->seed, signs->query + later, signs->tensor, ET_PERTURB);
    const row_signs found = {key, (uint32_t)row * (uint32_t)((columns + 31) / 32), 0, 0};
    return found;
}

static int32_t next_sign(row_signs *row) {
    if (row->column++ % 32 == 0)
        row->word = et_random_word(row->key, row->counter++);
    const int32_t sign = 1 - 2 * (int32_t)(row->word & 1u);
    row->word >>= 1;
    return sign;
}

void et_shake_start(const int32_t *start, const int32_t *size, const et_signs *signs,
                    int32_t sample, int32_t direction, int32_t *shaken, int32_t n_out) {
    row_signs row = row_of(signs, 0, sample, n_out);
    for (int32_t o = 0; o < n_out; o++)
        shaken[o] = start[o] + direction * next_sign(&row) * size[o];
}

void et_shake_weights(const int8_t *w, const int32_t *b, const et_signs *signs, int32_t step,
                      int32_t limit, int8_t *shaken, int32_t *biases, int32_t n_out, int32_t n) {
    for (int32_t o = 0; o < n_out; o++) {
        row_signs row = row_of(signs, 0, o, n + 1);
        for (int32_t i = 0; i < n; i++)
            *shaken++ = (int8_t)et_clip(*w++ + step * next_sign(&row), -WEIGHT_MAX, WEIGHT_MAX);
        const int64_t moved = (int64_t)b[o] + (int64_t)step * BIAS_INPUT * next_sign(&row);
        biases[o] = et_clip(et_saturate(moved), -limit, limit);
    }
}

/* What the queries say of one unit of one sample. */
static int32_t slope_of(const int32_t *differences, int32_t queries, const et_signs *signs,
                        int32_t sample, int32_t unit, int32_t batch, int32_t n_out) {
    int32_t sum = 0;
    for (int32_t q = 0; q < queries; q++) {
        const row_signs row = row_of(signs, (uint32_t)q, sample, n_out);
        const uint32_t word = et_random_word(row.key, row.counter + (uint32_t)unit / 32);
        const int32_t sign = 1 - 2 * (int32_t)((word >> (unit % 32)) & 1u);
        sum += differences[q * batch + sample] * sign;
    }
    return sum;
}

int32_t et_estimate(const int32_t *differences, int32_t queries, const et_signs *signs,
                    const int8_t *y, int32_t low, int32_t high, const et_scaling *scaling,
                    int8_t *e, int32_t batch, int32_t pixels, int32_t n_out) {
    int32_t peak = 0;
    for (int32_t s = 0; s < batch; s++)
        for (int32_t o = 0; o < n_out; o++) {
            const int32_t first = s * pixels * n_out + o;
            int32_t open = 0;
            for (int32_t p = 0; p < pixels; p++) {
                const int32_t at = first + p * n_out;
                e[at] = (int8_t)(y == NULL || (y[at] > low && y[at] < high));
                open += e[at];
            }
            int32_t acc = slope_of(differences, queries, signs, s, o, batch, n_out);
            acc *= 1 << SHARE_BITS;
            if (pixels > 1 || open == 0)
                open = et_max(open, 1);
            acc = acc >= 0 ? acc / open : -((open - 1 - acc) / open);
            int8_t shared;
            peak = et_max(peak,
                          et_scale_error(&acc, scaling->multiplier, scaling->shift, &shared, 1));
            for (int32_t p = 0; p < pixels; p++)
                e[first + p * n_out] = (int8_t)(e[first + p * n_out] * shared);
        }
    return peak;
}

int32_t et_signs_learn(const int32_t *slopes, int32_t queries, const et_signs *signs,
                       const et_weights *weights, int32_t *b, const et_rates *rates,
                       const et_rates *bias_rates, int32_t limit, int32_t *sums, int32_t n_out,
                       int32_t n) {
    int32_t saturated = 0;
    for (int32_t o = 0; o < n_out; o++) {
        const uint32_t first = (uint32_t)o * (uint32_t)n;
        const int32_t multiplier = et_rate(rates, o, 32), of_bias = et_rate(bias_rates, o, 16);
        int32_t bias = 0;
        __builtin_memset(sums, 0, (size_t)n * sizeof *sums);
        for (int32_t q = 0; q < queries; q++) {
            row_signs row = row_of(signs, (uint32_t)q, o, n + 1);
            for (int32_t i = 0; i < n; i++)
                sums[i] += slopes[q] * next_sign(&row);
            bias += slopes[q] * next_sign(&row);
        }
        saturated += et_update_part(weights, sums, multiplier, first, n);
        et_update_bias(b + o, &bias, &of_bias, limit, 1);
    }
    return saturated;
}
