#include "et_mve.h"

#if defined(ET_HELIUM)

enum { CHANNELS = 4 };

void et_sum_fast(const int8_t *x, int32_t n, int32_t pitch, int32_t sums[CHANNELS]) {
    int32x4_t sum = vld1q_s32(sums);
    for (; n > 0; n--, x += pitch)
        sum = vaddq_s32(sum, vldrbq_s32(x));
    vst1q_s32(sums, sum);
}

int32_t et_max_fast(const int8_t *x, int8_t *y, const et_window *v, const et_view *at) {
    for (int32_t c = 0; c < v->n_in; c += 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)(v->n_in - c));
        int8x16_t best = vdupq_n_s8(INT8_MIN);
        for (int32_t i = at->first_row; i < at->end_row; i++) {
            const int8_t *from = x + c + et_pixel(v, at, i, at->first_column) * v->n_in;
            for (int32_t j = at->first_column; j < at->end_column; j++, from += v->n_in)
                best = vmaxq_s8(best, vld1q_z_s8(from, lanes));
        }
        vst1q_p_s8(y + c, best, lanes);
    }
    return v->n_in;
}

static int fits(et_term term, int32_t highest_shift) {
    return term.multiplier >= 1 << 30 && term.shift <= highest_shift;
}

/* Four values of a term, scaled; `away` is -1 where the shift rounds, 0 where it is 0. */
ET_INLINE int32x4_t scale(const int8_t *x, et_term term, int32x4_t away, mve_pred16_t lanes) {
    const int32x4_t above =
        vshlq_n_s32(vsubq_n_s32(vldrbq_z_s32(x, lanes), term.zero_point), ET_ADD_SHIFT);
    const int32x4_t high = vqrdmulhq_n_s32(above, term.multiplier);
    return vrshlq_n_s32(vaddq_s32(high, vandq_s32(vshrq_n_s32(high, 31), away)), term.shift);
}

int et_add_fast(const int8_t *a, et_term a_term, const int8_t *b, et_term b_term, int8_t *y,
                et_term y_term, int32_t low, int32_t high, int32_t n) {
    if (!fits(a_term, 0) || !fits(b_term, 0) || !fits(y_term, -1))
        return 0;
    const int32x4_t a_away = vdupq_n_s32(a_term.shift == 0 ? 0 : -1);
    const int32x4_t b_away = vdupq_n_s32(b_term.shift == 0 ? 0 : -1);
    for (int32_t i = 0; i < n; i += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(n - i));
        const int32x4_t sum = vaddq_s32(scale(a + i, a_term, a_away, lanes),
                                        scale(b + i, b_term, b_away, lanes));
        const int32x4_t scaled =
            et_requantize4_n(sum, y_term.multiplier, y_term.shift, y_term.zero_point);
        vstrbq_p_s32(y + i, scaled, lanes);
    }
    const et_output activation = {NULL, NULL, 0, low, high};
    et_activate_mve(&activation, y, n);
    return 1;
}

#endif
