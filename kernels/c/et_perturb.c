#include "et_perturb.h"

#include "et_losses.h"
#include "et_random.h"
#include "et_train.h"

enum { WEIGHT_MAX = 127, BIAS_INPUT = 64, SHARE_BITS = 6, WORD = 32 /* signs */ };

static et_key key_of(const et_signs *signs, int32_t later) {
    return et_stream_key(signs->seed, signs->query + (uint32_t)later, signs->tensor, ET_PERTURB);
}

/* Number of the first word of a row of signs. */
static uint32_t first_word(int32_t row, int32_t columns) {
    return (uint32_t)row * (uint32_t)((columns + WORD - 1) / WORD);
}

/* value, or -value where the lowest bit is set */
static int32_t with_sign(int32_t value, uint32_t bits) {
    const int32_t negative = -(int32_t)(bits & 1u);
    return (value ^ negative) - negative;
}

void et_shake_start(const int32_t *start, const int32_t *size, const et_signs *signs,
                    int32_t sample, int32_t direction, int32_t *shaken, int32_t n_out) {
    const et_key key = key_of(signs, 0);
    uint32_t counter = first_word(sample, n_out), word = 0;
    for (int32_t o = 0; o < n_out; o++, word >>= 1) {
        if (o % WORD == 0)
            word = et_random_word(key, counter++);
        shaken[o] = start[o] + direction * with_sign(size[o], word);
    }
}

/* Perturb weights, at most a word of them; returns their sum. */
static int32_t shake(const int8_t *w, uint32_t word, int32_t step, int8_t *shaken, int32_t n) {
    int32_t sum = 0;
    for (int32_t i = et_shake_fast(w, word, step, shaken, n, &sum); i < n; i++) {
        shaken[i] = (int8_t)et_clip(w[i] + with_sign(step, word >> i), -WEIGHT_MAX, WEIGHT_MAX);
        sum += shaken[i];
    }
    return sum;
}

void et_shake_weights(const int8_t *w, const int32_t *b, const et_signs *signs, int32_t step,
                      int32_t limit, int32_t x_zero_point, int8_t *shaken, int32_t *start,
                      int32_t n_out, int32_t n) {
    const et_key key = key_of(signs, 0);
    uint32_t counter = 0, word = 0;
    for (int32_t o = 0; o < n_out; o++) {
        int32_t sum = 0;
        int32_t i = et_shake_row_fast(w, key, &counter, step, shaken, n, &sum, &word);
        w += i;
        shaken += i;
        for (; i < n; i += WORD) {
            const int32_t some = et_min(n - i, WORD);
            word = et_random_word(key, counter++);
            sum += shake(w, word, step, shaken, some);
            w += some;
            shaken += some;
        }
        if (n % WORD == 0)
            word = et_random_word(key, counter++);
        const int32_t moved = with_sign(step, word >> n % WORD) * BIAS_INPUT;
        const int32_t bias = et_clip(et_saturate((int64_t)b[o] + moved), -limit, limit);
        start[o] = bias - x_zero_point * sum;
    }
}

/* What the queries say of one unit of one sample. */
static int32_t slope_of(const int32_t *differences, int32_t queries, const et_signs *signs,
                        int32_t sample, int32_t unit, int32_t batch, int32_t n_out) {
    int32_t sum = 0;
    for (int32_t q = 0; q < queries; q++) {
        const uint32_t number = first_word(sample, n_out) + (uint32_t)(unit / WORD);
        const uint32_t word = et_random_word(key_of(signs, q), number);
        sum += with_sign(differences[q * batch + sample], word >> unit % WORD);
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
            int32_t p = et_mark_open_fast(e, y, first, low, high, n_out, pixels, &open);
            for (; p < pixels; p++) {
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
            for (p = et_share_fast(e, first, shared, n_out, pixels); p < pixels; p++)
                e[first + p * n_out] = (int8_t)(e[first + p * n_out] * shared);
        }
    return peak;
}

/* sums[0..n - 1] += slope along a row of signs, or, of the first query, are that; the bias behind
 * them is returned. */
static inline int32_t add_row(int first, int32_t slope, et_key key, uint32_t counter, int32_t *sums,
                              int32_t n) {
    const int32_t *end = sums + n;
    uint32_t word = 0;
    for (sums += et_add_signs_fast(first, slope, key, &counter, sums, n, &word); sums != end;) {
        const int32_t *stop = sums + et_min((int32_t)(end - sums), WORD);
        for (word = et_random_word(key, counter++); sums != stop; sums++, word >>= 1)
            *sums = (first ? 0 : *sums) + with_sign(slope, word);
    }
    if (n % WORD == 0)
        word = et_random_word(key, counter);
    return with_sign(slope, word);
}

int32_t et_signs_learn(const int32_t *slopes, int32_t queries, const et_signs *signs,
                       const et_weights *weights, int32_t *b, const et_rates *rates,
                       const et_rates *bias_rates, int32_t limit, int32_t *sums, int32_t n_out,
                       int32_t n) {
    int32_t saturated = 0;
    for (int32_t o = 0; o < n_out; o++) {
        const int32_t of_bias = et_rate(bias_rates, o, 16);
        const uint32_t counter = first_word(o, n + 1);
        int32_t bias = add_row(1, slopes[0], key_of(signs, 0), counter, sums, n);
        for (int32_t q = 1; q < queries; q++)
            bias += add_row(0, slopes[q], key_of(signs, q), counter, sums, n);
        saturated += weights->update(weights, sums, et_rate(rates, o, 32), (uint32_t)(o * n), n);
        b[o] = et_step_bias(b[o], bias, of_bias, limit);
    }
    return saturated;
}

ET_COLD
int32_t et_signs_step(const et_learner *learner, const et_lesson *lesson, const int32_t *slopes,
                      int32_t queries, uint32_t first_query, int32_t exponent, int32_t *sums) {
    const et_window *v = learner->layer->window;
    const et_step step = et_step_of(learner, lesson, exponent);
    const et_signs signs = {lesson->seed, first_query, learner->tensor};
    return et_signs_learn(slopes, queries, &signs, &step.weights, learner->b, &step.rates,
                          &step.bias_rates, learner->bias_limit, sums, v->n_out,
                          v->kernel_height * v->kernel_width * (v->n_in / v->groups));
}
