#include "et_goodness.h"

#include "et_losses.h"

enum {
    NEUTRAL_SHARE = 10,
    NORMAL_CODE = 32,
    ROOT_BITS = 4,
    GOODNESS_MAX = (1 << 20) - 1,
    CHANNEL_BITS = 4,
    CHANNEL_MAX = 255,
    LOGIT_BITS = 10,
    CODE_BITS = 4
};

void et_embed_labels(const int8_t *x, const int32_t *y, int32_t zero_point, int8_t *out,
                     int32_t batch, int32_t features, int32_t classes) {
    const int32_t neutral = zero_point + (INT8_MAX - zero_point) / NEUTRAL_SHARE;
    for (int32_t n = 0; n < batch; n++, x += features, out += features) {
        for (int32_t c = 0; c < classes; c++)
            out[c] = (int8_t)(y == NULL ? neutral : c == y[n] ? INT8_MAX : zero_point);
        for (int32_t i = classes; i < features; i++)
            out[i] = x[i];
    }
}

void et_tell_label(const int32_t *base, const int8_t *w, int32_t label, int32_t x_zero_point,
                   int32_t *acc, int32_t n_in, int32_t n_out) {
    for (int32_t o = 0; o < n_out; o++)
        acc[o] = base[o] + (INT8_MAX - x_zero_point) * w[o * n_in + label];
}

static int64_t sum_of_squares(const int8_t *x, int32_t zero_point, int32_t n) {
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += (x[i] - zero_point) * (x[i] - zero_point);
    return sum;
}

/* The largest whole number whose square is at most value, which is below 2^24. */
static int32_t integer_root(int32_t value) {
    int32_t root = 0;
    for (int32_t bit = 1 << 11; bit > 0; bit >>= 1)
        if ((root + bit) * (root + bit) <= value)
            root += bit;
    return root;
}

void et_normalize(const int8_t *x, int32_t zero_point, int8_t *y, int32_t rows, int32_t n) {
    for (int32_t r = 0; r < rows; r++, x += n, y += n) {
        const int64_t squares = sum_of_squares(x, zero_point, n) * (1 << (2 * ROOT_BITS));
        const int32_t root = et_max(integer_root((int32_t)(squares / n)), 1);
        for (int32_t i = 0; i < n; i++) {
            const int32_t above = (x[i] - zero_point) * (NORMAL_CODE << ROOT_BITS);
            y[i] = (int8_t)et_min((above + root / 2) / root + zero_point, INT8_MAX);
        }
    }
}

void et_goodness(const int8_t *x, int32_t zero_point, int32_t multiplier, int32_t shift,
                 int32_t *goodness, int32_t rows, int32_t n) {
    const int32_t left = et_max(shift, 0), right = et_max(-shift, 0);
    for (int32_t r = 0; r < rows; r++, x += n) {
        const int64_t squares = sum_of_squares(x, zero_point, n) * ((int64_t)1 << left);
        const int64_t high = (squares * multiplier + (1 << 30)) >> 31;
        goodness[r] = et_min(et_saturate(et_divide_by_power(high, right)), GOODNESS_MAX);
    }
}

/* How ln(1 + exp(-logit)) changes with its logit. */
static int32_t logistic_slope(int32_t logit) {
    const int32_t logits[2] = {logit, 0}, first = 0;
    int32_t error[2], loss;
    (void)et_cross_entropy(logits, &first, error, &loss, 1, 2);
    return error[0];
}

static void slopes_of(int32_t *right, int32_t *wrong, int32_t symmetric, int32_t threshold) {
    if (symmetric) {
        *right = logistic_slope(*right - *wrong);
        *wrong = -*right;
    } else {
        *right = logistic_slope(*right - threshold);
        *wrong = -logistic_slope(threshold - *wrong);
    }
}

void et_pair_slopes(int32_t *goodness, int32_t symmetric, int32_t threshold, int32_t batch) {
    for (int32_t n = 0; n < batch; n++)
        slopes_of(goodness + n, goodness + batch + n, symmetric, threshold);
}

void et_class_slopes(int32_t *goodness, const int32_t *y, const int32_t *wrong, int32_t symmetric,
                     int32_t threshold, int32_t batch, int32_t classes) {
    for (int32_t n = 0; n < batch; n++, goodness += classes) {
        int32_t up = goodness[y[n]], down = goodness[wrong[n]];
        slopes_of(&up, &down, symmetric, threshold);
        for (int32_t c = 0; c < classes; c++)
            goodness[c] = c == y[n] ? up : c == wrong[n] ? down : 0;
    }
}

/* The share of a class in the draw of a wrong one. */
static uint32_t share_of(const int32_t *weights, int32_t c, int32_t right) {
    return c == right ? 0 : weights == NULL ? 1 : (uint32_t)weights[c] + 1;
}

void et_wrong_labels(const int32_t *weights, const int32_t *y, et_key key, int32_t *wrong,
                     int32_t batch, int32_t classes) {
    for (int32_t n = 0; n < batch; n++) {
        uint32_t total = 0;
        for (int32_t c = 0; c < classes; c++)
            total += share_of(weights, c, y[n]);
        const uint32_t word = et_random_word(key, (uint32_t)n);
        const uint32_t drawn = (uint32_t)(((uint64_t)word * total) >> 32);
        int32_t label = 0;
        for (uint32_t sum = share_of(weights, 0, y[n]); sum <= drawn;)
            sum += share_of(weights, ++label, y[n]);
        wrong[n] = label;
        if (weights != NULL)
            weights += classes;
    }
}

void et_class_channels(const int8_t *x, const int8_t *w, const int32_t *start, int32_t multiplier,
                       int32_t shift, int32_t *sums, int8_t *channels, int32_t rows, int32_t n_in,
                       int32_t classes) {
    for (int32_t r = 0; r < rows; r++, x += n_in) {
        et_dense_acc(x, w, start, sums, 1, n_in, classes);
        for (int32_t c = 0; c < classes; c++) {
            const int32_t value =
                et_rescale(sums[c], multiplier, shift) >> (LOGIT_BITS - CHANNEL_BITS);
            *channels++ = (int8_t)(et_clip(value, 0, CHANNEL_MAX) + INT8_MIN);
        }
    }
}

void et_class_goodness(const int8_t *channels, int32_t *goodness, int32_t batch, int32_t pixels,
                       int32_t classes) {
    for (int32_t n = 0; n < batch; n++, channels += pixels * classes)
        for (int32_t c = 0; c < classes; c++) {
            uint32_t sum = 0;
            for (int32_t p = 0; p < pixels; p++) {
                const int32_t value = channels[p * classes + c] - INT8_MIN;
                sum += (uint32_t)(value * value);
            }
            sum /= (uint32_t)pixels;
            *goodness++ = (int32_t)sum << (LOGIT_BITS - 2 * CHANNEL_BITS);
        }
}

int32_t et_goodness_error(const int8_t *x, int32_t zero_point, const int32_t *slopes,
                          const et_scaling *scaling, int8_t *e, int32_t batch, int32_t pixels,
                          int32_t classes) {
    int32_t peak = 0;
    for (int32_t n = 0; n < batch; n++, slopes += classes)
        for (int32_t p = 0; p < pixels; p++)
            for (int32_t c = 0; c < classes; c++) {
                const int32_t acc = slopes[c] * (*x++ - zero_point);
                peak = et_max(peak, et_scale_error(&acc, scaling->multiplier, scaling->shift,
                                                   e++, 1));
            }
    return peak;
}

void et_goodness_codes(const int32_t *goodness, int8_t *y, int32_t classes) {
    const int32_t unit = LOGIT_BITS - CODE_BITS;
    int32_t best = goodness[0];
    for (int32_t c = 1; c < classes; c++)
        best = et_max(best, goodness[c]);
    for (int32_t c = 0; c < classes; c++) {
        const int32_t behind = (best - goodness[c] + (1 << unit) - 1) >> unit;
        y[c] = (int8_t)(INT8_MAX - et_min(behind, INT8_MAX - INT8_MIN));
    }
}
