#include "et_dsp.h"

#if defined(ET_DSP)

enum { CHANNELS = 4, SHORT_SUM = 255 }; /* so many int8 fit in a sum of 16 bits */

void et_sum_fast(const int8_t *x, int32_t n, int32_t pitch, int32_t sums[CHANNELS]) {
    while (n > 0) {
        const int32_t some = et_min(n, SHORT_SUM);
        uint32_t even = 0, odd = 0;
        for (int32_t i = 0; i < some; i++, x += pitch) {
            const uint32_t word = et_load4(x);
            even = et_sxtab16(even, word);
            odd = et_sxtab16_odd(odd, word);
        }
        sums[0] += (int16_t)even;
        sums[1] += (int16_t)odd;
        sums[2] += (int32_t)even >> 16;
        sums[3] += (int32_t)odd >> 16;
        n -= some;
    }
}

int32_t et_max_fast(const int8_t *x, int8_t *y, const et_window *v, const et_view *at) {
    int32_t c = 0;
    for (; c + CHANNELS <= v->n_in; c += CHANNELS) {
        uint32_t best = 0x80808080u;
        for (int32_t i = at->first_row; i < at->end_row; i++) {
            const int8_t *from = x + c + et_pixel(v, at, i, at->first_column) * v->n_in;
            for (int32_t j = at->first_column; j < at->end_column; j++, from += v->n_in)
                best = et_max4(best, et_load4(from));
        }
        __builtin_memcpy(y + c, &best, CHANNELS);
    }
    return c;
}

/* One term of a sum, scaled: its shift is 0 or to the right. */
typedef struct {
    int32_t zero_point, twice, right; /* zero point above ET_ADD_SHIFT bits; doubled multiplier */
    int32_t half, away;               /* rounding of the shift: half, and 1 less below zero */
} scaled;

static int fits(et_term term, int32_t highest_shift) {
    return term.multiplier >= 1 << 30 && term.shift <= highest_shift;
}

static scaled prepare(et_term term) {
    const scaled s = {term.zero_point * (1 << ET_ADD_SHIFT),
                      (int32_t)((uint32_t)term.multiplier * 2), -term.shift,
                      term.shift == 0 ? 0 : 1 << (-term.shift - 1), term.shift == 0 ? 0 : -1};
    return s;
}

ET_INLINE int32_t scale(int32_t x, scaled s) {
    const int32_t above = x * (1 << ET_ADD_SHIFT) - s.zero_point;
    const int32_t high = et_smmlar(above, s.twice, above);
    return (high + s.half + ((high >> 31) & s.away)) >> s.right;
}

int et_add_fast(const int8_t *a, et_term a_term, const int8_t *b, et_term b_term, int8_t *y,
                et_term y_term, int32_t low, int32_t high, int32_t n) {
    if (!fits(a_term, 0) || !fits(b_term, 0) || !fits(y_term, -1))
        return 0;
    const scaled first = prepare(a_term), second = prepare(b_term);
    const int32_t twice = (int32_t)((uint32_t)y_term.multiplier * 2), right = -y_term.shift;
    for (const int8_t *end = y + n; y != end; y++)
        *y = et_scale_dsp(scale(*a++, first) + scale(*b++, second), twice, right,
                          y_term.zero_point);
    const et_output activation = {NULL, NULL, 0, low, high};
    et_activate(&activation, y - n, n);
    return 1;
}

#endif
