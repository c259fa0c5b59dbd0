#include "et_dsp.h"

#if defined(ET_DSP)

/* Eight columns of one row: 9 instructions. */
#define ROW(acc, p)                                                                     \
    "ldrd %[w0],%[w1],[%[" p "]],#8\n\t"                                                \
    "sxtb16 %[t],%[w0]\n\tsmlad %[" acc "],%[t],r8,%[" acc "]\n\t"                      \
    "sxtb16 %[w0],%[w0],ror #8\n\tsmlad %[" acc "],%[w0],r9,%[" acc "]\n\t"             \
    "sxtb16 %[t],%[w1]\n\tsmlad %[" acc "],%[t],r10,%[" acc "]\n\t"                      \
    "sxtb16 %[w1],%[w1],ror #8\n\tsmlad %[" acc "],%[w1],r11,%[" acc "]\n\t"
#define COLUMNS8 "ldmia %[x]!,{r8-r11}\n\t" ROW("a", "p") ROW("b", "q")

/* One sample; x is widened up to a multiple of 4. */
typedef struct {
    const uint32_t *wide;
    const int8_t *x;
    int32_t n_in;
    int32_t fast; /* columns that eight at a time take: 0 where rows are not aligned */
} sample;

/* Two rows. */
ET_INLINE void two_rows(const sample *s, const int8_t *p, const int8_t *q, int32_t sums[2]) {
    int32_t a = sums[0], b = sums[1];
    const uint32_t *x = s->wide, *end = x + s->fast / 2;
    if (x != end) {
        uint32_t w0, w1, t;
        __asm__ volatile("1:\n\t" COLUMNS8 COLUMNS8 COLUMNS8 COLUMNS8 "cmp %[x],%[end]\n\tbne 1b"
                         : [a] "+r"(a), [b] "+r"(b), [x] "+r"(x), [p] "+r"(p), [q] "+r"(q),
                           [w0] "=&r"(w0), [w1] "=&r"(w1), [t] "=&r"(t)
                         : [end] "r"(end)
                         : "r8", "r9", "r10", "r11", "cc", "memory");
    }
    for (end = s->wide + s->n_in / 4 * 2; x != end; x += 2, p += 4, q += 4) {
        const uint32_t w = et_load4(p), v = et_load4(q);
        a = et_smlad(et_sxtb16_odd(w), x[1], et_smlad(et_sxtb16(w), x[0], a));
        b = et_smlad(et_sxtb16_odd(v), x[1], et_smlad(et_sxtb16(v), x[0], b));
    }
    for (int32_t i = s->n_in & ~3; i < s->n_in; i++) {
        a += s->x[i] * *p++;
        b += s->x[i] * *q++;
    }
    sums[0] = a;
    sums[1] = b;
}

/* Weights plus 128 are without sign, as USADA8 sums them up. */
ET_INLINE uint32_t add4(const int8_t *w, uint32_t sum) {
    uint32_t d;
    __asm__("usada8 %0,%1,%2,%3" : "=r"(d) : "r"(et_load4(w) ^ 0x80808080u), "r"(0), "r"(sum));
    return d;
}

void et_start_fast(const int8_t *w, const int32_t *bias, int32_t x_zero_point, int32_t n_out,
                   int32_t n, int32_t *start) {
    for (int32_t o = 0; o < n_out; o++) {
        const int8_t *end = w + n;
        uint32_t sum = 0;
        for (; end - w >= 16; w += 16)
            sum = add4(w + 12, add4(w + 8, add4(w + 4, add4(w, sum))));
        int32_t total = (int32_t)sum - (n & ~15) * 128;
        while (w != end)
            total += *w++;
        start[o] = bias[o] - x_zero_point * total;
    }
}

int et_fits_dsp(const et_output *output, int32_t channels) {
    const int8_t *shift = output->shift, *end = shift + channels;
    uint32_t signs = 0x80808080u;
    for (; end - shift >= 4; shift += 4)
        signs &= et_load4(shift);
    int32_t sign = -1;
    while (shift != end)
        sign &= *shift++;
    return signs == 0x80808080u && sign < 0;
}

void et_activate(const et_output *output, int8_t *y, int32_t n) {
    const int32_t low = output->low, high = output->high;
    if (low == INT8_MIN && high == INT8_MAX)
        return;
    for (int8_t *end = y + n; y != end; y++)
        *y = (int8_t)et_clip(*y, low, high);
}

int et_dense_fast(const int8_t *x, const int8_t *w, const int32_t *start, const et_output *output,
                  int8_t *y, int32_t batch, int32_t n_in, int32_t n_out, void *scratch) {
    uint32_t *wide = scratch;
    if (wide == NULL || !et_fits_dsp(output, n_out))
        return 0;
    const int32_t zero_point = output->zero_point;
    const int aligned = n_in % 4 == 0 && (uintptr_t)w % 4 == 0;
    for (int32_t n = 0; n < batch; n++, x += n_in, y += n_out) {
        const sample s = {wide, x, n_in, aligned ? n_in & ~31 : 0};
        et_widen(wide, x, n_in & ~3);
        const int32_t *first = start, *multiplier = output->multiplier;
        const int8_t *shift = output->shift, *p = w;
        int8_t *to = y;
        for (int32_t left = n_out; left > 0; left -= 2, p += 2 * n_in) {
            const int32_t next = left > 1; /* the last row of an odd number is taken twice */
            int32_t sums[2] = {first[0], first[next]};
            two_rows(&s, p, p + next * n_in, sums);
            to[next] = et_requantize_dsp(sums[1], multiplier[next], -shift[next], zero_point);
            to[0] = et_requantize_dsp(sums[0], multiplier[0], -shift[0], zero_point);
            first += 2, multiplier += 2, shift += 2, to += 2;
        }
        et_activate(output, y, n_out);
    }
    return 1;
}

int et_requantize_fast(const int32_t *acc, const et_output *output, int8_t *y, int32_t rows,
                       int32_t channels) {
    if (!et_fits_dsp(output, channels))
        return 0;
    int8_t *to = y;
    for (int32_t r = 0; r < rows; r++) {
        const int32_t *multiplier = output->multiplier;
        const int8_t *shift = output->shift;
        for (const int8_t *end = to + channels; to != end;)
            *to++ = et_requantize_dsp(*acc++, *multiplier++, -*shift++, output->zero_point);
    }
    et_activate(output, y, rows * channels);
    return 1;
}

#endif
