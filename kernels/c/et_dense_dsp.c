#include "et_dsp.h"

#if defined(ET_DSP)

/* Eight columns of one row: 9 instructions. */
#define ROW(acc, p)                                                                     \
    "ldrd %[w0],%[w1],[%[" p "]],#8\n\t"                                                \
    "sxtb16 %[t],%[w0]\n\tsmlad %[" acc "],%[t],%[x0],%[" acc "]\n\t"                   \
    "sxtb16 %[w0],%[w0],ror #8\n\tsmlad %[" acc "],%[w0],%[x1],%[" acc "]\n\t"          \
    "sxtb16 %[t],%[w1]\n\tsmlad %[" acc "],%[t],%[x2],%[" acc "]\n\t"                   \
    "sxtb16 %[w1],%[w1],ror #8\n\tsmlad %[" acc "],%[w1],%[x3],%[" acc "]\n\t"
#define COLUMNS8 \
    "ldrd %[x0],%[x1],[%[x]],#8\n\tldrd %[x2],%[x3],[%[x]],#8\n\t" ROW("a", "p") ROW("b", "q")

/* Two rows; x is widened. */
ET_INLINE void two_rows(const uint32_t *x, const int8_t *p, const int8_t *q, uint32_t n_in,
                        int32_t sums[2]) {
    int32_t a = sums[0], b = sums[1];
    const uint32_t *end = x + n_in / 32 * 16;
    if (x != end) {
        uint32_t x0, x1, x2, x3, w0, w1, t;
        __asm__ volatile("1:\n\t" COLUMNS8 COLUMNS8 COLUMNS8 COLUMNS8 "cmp %[x],%[end]\n\tbne 1b"
                         : [a] "+r"(a), [b] "+r"(b), [x] "+r"(x), [p] "+r"(p), [q] "+r"(q),
                           [x0] "=&r"(x0), [x1] "=&r"(x1), [x2] "=&r"(x2), [x3] "=&r"(x3),
                           [w0] "=&r"(w0), [w1] "=&r"(w1), [t] "=&r"(t)
                         : [end] "r"(end)
                         : "cc", "memory");
    }
    for (end += n_in % 32 / 2; x != end; x += 2, p += 4, q += 4) {
        const uint32_t w = et_load4(p), v = et_load4(q);
        a = et_smlad(et_sxtb16_odd(w), x[1], et_smlad(et_sxtb16(w), x[0], a));
        b = et_smlad(et_sxtb16_odd(v), x[1], et_smlad(et_sxtb16(v), x[0], b));
    }
    sums[0] = a;
    sums[1] = b;
}

int et_dense_fast(const int8_t *x, const int8_t *w, const int32_t *start, const et_output *output,
                  int8_t *y, int32_t batch, int32_t n_in, int32_t n_out, void *scratch) {
    uint32_t *wide = scratch;
    if (wide == NULL || n_in % 4 != 0 || (uintptr_t)w % 4 != 0 || !et_fits_dsp(output, n_out))
        return 0;
    for (int32_t n = 0; n < batch; n++, x += n_in, y += n_out) {
        for (int32_t i = 0; i < n_in / 2; i += 2) {
            const uint32_t word = et_load4(x + 2 * i);
            wide[i] = et_sxtb16(word);
            wide[i + 1] = et_sxtb16_odd(word);
        }
        const int8_t *p = w;
        for (int32_t o = 0; o < n_out; o += 2, p += 2 * n_in) {
            const int32_t next = o + 1 < n_out ? o + 1 : o; /* the last one of an odd number twice */
            int32_t sums[2] = {start[o], start[next]};
            two_rows(wide, p, p + (next - o) * n_in, (uint32_t)n_in, sums);
            y[o] = et_requantize_dsp(sums[0], output->multiplier[o], -output->shift[o],
                                     output->zero_point);
            y[next] = et_requantize_dsp(sums[1], output->multiplier[next], -output->shift[next],
                                        output->zero_point);
        }
        et_activate(output, y, n_out);
    }
    return 1;
}

#endif
