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
        for (int32_t i = 0; i < 4; i++)
            *pairs++ = (uint32_t)start[o + i % 2];
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

/* One result, as et_scale_dsp. */
#define SCALE(acc, twice, right)                                                             \
    "smmlar %[" acc "],%[" acc "]," twice ",%[" acc "]\n\t"                                  \
    "add %[" acc "],%[" acc "],%[" acc "],asr #31\n\tasrs %[" acc "],%[" acc "]," right "\n\t" \
    "adc %[" acc "],%[" acc "],%[zero]\n\tssat %[" acc "],#8,%[" acc "]\n\t"

void et_run_pairs(const uint32_t *pairs, const uint32_t *pixels, int32_t zero_point, int8_t *y,
                  int32_t channels, int32_t n, int32_t pitch) {
    const uint32_t eights = (uint32_t)(n + 7) / 8, odd = eights % 2;
    const uint32_t *w = pairs, *end = pixels + eights * 8;
    for (const int8_t *last = y + channels; y != last;) {
        int32_t a, b, c, d;
        const uint32_t *x = pixels;
        uint32_t u = odd, v;
        /* sixteen taps a turn; an odd number of eight begins in the middle */
        __asm__ volatile("ldrd %[a],%[b],[%[w]],#8\n\tldrd %[c],%[d],[%[w]],#8\n\t"
                         "cmp %[u],#0\n\tbne 2f\n"
                         "1:\n\t" TAPS4 TAPS4 "2:\n\t" TAPS4 TAPS4 "cmp %[x],%[end]\n\tbne 1b"
                         : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [x] "+r"(x),
                           [w] "+r"(w), [u] "+r"(u), [v] "=&r"(v)
                         : [end] "r"(end)
                         : "r3", "r4", "r5", "r6", "cc", "memory");
        __asm__ volatile("ldmia %[w]!,{r3-r6}\n\t" SCALE("a", "r3", "r4") SCALE("c", "r3", "r4")
                             SCALE("b", "r5", "r6") SCALE("d", "r5", "r6")
                         "strb %[c],[%[y],%[pitch]]\n\tstrb %[a],[%[y]],#1\n\t"
                         "strb %[d],[%[y],%[pitch]]\n\tstrb %[b],[%[y]],#1"
                         : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [w] "+r"(w),
                           [y] "+r"(y)
                         : [zero] "r"(zero_point), [pitch] "r"(pitch)
                         : "r3", "r4", "r5", "r6", "cc", "memory");
    }
}

#endif
