#include "et_dsp.h"

#if defined(ET_DSP)

/* Four weights of two channels meet four taps of two pixels: 11 instructions for 16 products. */
#define PIXEL(acc, next)                                                              \
    "ldrd %[u],%[v],[%[x]],#8\n\t"                                                    \
    "smlad %[" acc "],r3,%[u],%[" acc "]\n\tsmlad %[" acc "],r4,%[v],%[" acc "]\n\t"   \
    "smlad %[" next "],r5,%[u],%[" next "]\n\tsmlad %[" next "],r6,%[v],%[" next "]\n\t"
#define TAPS4 "ldmia %[w]!,{r3-r6}\n\t" PIXEL("a", "b") PIXEL("c", "d")

/* Four weights of one row, widened, or 0 behind its end. */
ET_INLINE void pack(uint32_t *to, const int8_t *w, int32_t n) {
    uint32_t word = 0;
    if (n >= 4)
        word = et_load4(w);
    else
        for (int32_t i = 0; i < n; i++)
            word |= ((uint32_t)w[i] & 255u) << (8 * i);
    to[0] = et_sxtb16(word);
    to[1] = et_sxtb16_odd(word);
}

void et_pack_pairs(uint32_t *pairs, const int8_t *w, const int32_t *start,
                   const et_output *output, int32_t first, int32_t channels, int32_t n) {
    for (int32_t o = first; o < first + channels; o += 2) {
        *pairs++ = (uint32_t)start[o];
        *pairs++ = (uint32_t)start[o + 1];
        for (int32_t i = 0; i < (n + 7) / 8 * 8; i += 4, pairs += 4) {
            pack(pairs, w + o * n + i, n - i);
            pack(pairs + 2, w + (o + 1) * n + i, n - i);
        }
        for (int32_t i = o; i < o + 2; i++) {
            *pairs++ = (uint32_t)output->multiplier[i] * 2;
            *pairs++ = (uint32_t)-output->shift[i];
        }
    }
}

void et_run_pairs(const uint32_t *pairs, const uint32_t *pixels, int32_t zero_point, int8_t *y,
                  int32_t channels, int32_t n, int32_t pitch) {
    const uint32_t *w = pairs, *end = pixels + (n + 7) / 8 * 8;
    int8_t *to = y + pitch;
    for (const int8_t *last = y + channels; y != last; y += 2, to += 2) {
        int32_t a = (int32_t)w[0], b = (int32_t)w[1], c = a, d = b;
        const uint32_t *x = pixels;
        uint32_t u, v;
        w += 2;
        __asm__ volatile("1:\n\t" TAPS4 TAPS4 "cmp %[x],%[end]\n\tbne 1b"
                         : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [x] "+r"(x),
                           [w] "+r"(w), [u] "=&r"(u), [v] "=&r"(v)
                         : [end] "r"(end)
                         : "r3", "r4", "r5", "r6", "cc", "memory");
        int32_t twice = (int32_t)w[0], right = (int32_t)w[1];
        y[0] = et_scale_dsp(a, twice, right, zero_point);
        to[0] = et_scale_dsp(c, twice, right, zero_point);
        twice = (int32_t)w[2], right = (int32_t)w[3];
        y[1] = et_scale_dsp(b, twice, right, zero_point);
        to[1] = et_scale_dsp(d, twice, right, zero_point);
        w += 4;
    }
}

#endif
