#include "et_losses.h"

#include "et_tables.h"
#include "et_train.h"

enum { LOGIT_MAX = (1 << 20) - 1, PROBABILITY_BITS = 15, BELOW_MAX = (1 << 14) - 1 };

ET_COLD
void et_logits_q10(const int32_t *acc, const int32_t *multiplier, const int8_t *shift,
                   int32_t *logits, int32_t batch, int32_t classes) {
    for (int32_t n = 0; n < batch; n++)
        for (int32_t c = 0; c < classes; c++) {
            const int32_t scaled = et_rescale_call(*acc++, multiplier[c], shift[c]);
            *logits++ = et_clip(scaled, -LOGIT_MAX, LOGIT_MAX);
        }
}

static int32_t largest(const int32_t *a, int32_t n) {
    int32_t found = a[0];
    for (int32_t i = 1; i < n; i++)
        found = et_max(found, a[i]);
    return found;
}

/* exp(-below / 1024) in Q15; 16 and more count as 16. */
static int32_t exponential(int32_t below) {
    const int32_t at = et_min(below, BELOW_MAX);
    const uint32_t product = (uint32_t)et_exp_coarse[at >> 7] * et_exp_fine[at & 127];
    return (int32_t)((product + (1u << 14)) >> 15);
}

/* ln of a Q15 number in [2^15, 2^31), Q10. */
static int32_t log_q10(int32_t value) {
    int32_t excess = 0;
    for (; value >> 16 != 0; value >>= 1)
        excess++;
    const int32_t index = (value >> 7) & 255, rest = value & 127;
    const int32_t slope = et_log[index + 1] - et_log[index];
    const int32_t log = excess * ET_LOG_2 + et_log[index] + ((slope * rest + 64) >> 7);
    return (log + 32) >> 6;
}

ET_COLD
et_status et_cross_entropy(const int32_t *logits, const int32_t *y, int32_t *error, int32_t *loss,
                           int32_t batch, int32_t classes) {
    for (int32_t n = 0; n < batch; n++)
        if (y[n] < 0 || y[n] >= classes)
            return ET_BAD_ARGUMENT;
    for (int32_t n = 0; n < batch; n++, logits += classes, error += classes) {
        const int32_t top = largest(logits, classes), chosen = logits[y[n]];
        int32_t total = 0;
        for (int32_t c = 0; c < classes; c++)
            total += exponential(top - logits[c]);
        for (int32_t c = 0; c < classes; c++)
            error[c] = ((exponential(top - logits[c]) << PROBABILITY_BITS) + total / 2) / total;
        error[y[n]] -= 1 << PROBABILITY_BITS;
        loss[n] = top - chosen + log_q10(total);
    }
    return ET_OK;
}

ET_COLD
void et_squared_error(const int32_t *output, const int32_t *target, int32_t *error, int32_t *loss,
                      int32_t batch, int32_t n_out) {
    for (int32_t n = 0; n < batch; n++) {
        int64_t total = 0;
        for (int32_t o = 0; o < n_out; o++) {
            const int32_t difference = et_saturate((int64_t)*output++ - *target++);
            *error = et_clip(difference, -LOGIT_MAX, LOGIT_MAX);
            total += (int64_t)*error * *error;
            error++;
        }
        loss[n] = et_saturate(total >> 11);
    }
}

int32_t et_scale_error(const int32_t *acc, int32_t multiplier, int32_t shift, int8_t *e,
                       int32_t n) {
    int32_t peak = 0;
    for (int32_t i = et_scale_error_fast(acc, multiplier, shift, e, n, &peak); i < n; i++) {
        const int32_t scaled = et_rescale(acc[i], multiplier, shift);
        peak = et_max(peak, scaled < 0 ? -scaled : scaled);
        e[i] = (int8_t)et_clip(scaled, -127, 127);
    }
    return peak;
}
