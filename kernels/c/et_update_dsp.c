#include "et_dsp.h"

#if defined(ET_DSP)

/* A step with 8 fraction bits, to nearest, plus a random byte: exact while the multiplier, times
 * 256, fits in int32. SSAT takes the whole part and saturates it; it sets the flag Q. */
#define TAKE(step, from, turn)                                                       \
    __asm__ volatile("smmulr %0,%1,%2\n\tuxtab %0,%0,%3" turn "\n\tssat %0,#8,%0,asr #8" \
                     : "=&r"(step)                                                   \
                     : "r"(from), "r"(fine), "r"(word))

static uint32_t saturated_flag(void) {
    uint32_t status;
    __asm__ volatile("mrs %0,apsr" : "=r"(status));
    return status >> 27 & 1u;
}

static void clear_flag(void) {
    __asm__ volatile("msr apsr_nzcvq,%0" : : "r"(0) : "cc");
}

int32_t et_update_fast(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                       uint32_t first, int32_t n, int32_t *saturated) {
    if (first % 4 != 0 || (uintptr_t)w % 4 != 0 || multiplier >= 1 << 23 || n < 4)
        return 0;
    const int32_t fine = multiplier * 256, done = n / 4 * 4;
    const int32_t *g = grad;
    uint32_t counter = first / 4, c1 = 0x7feb352du, c2 = 0x846ca68bu, least = 0x81818181u;
    uint32_t middle = et_fold(key.k1);
    __asm__ volatile("" : "+r"(c1), "+r"(c2), "+r"(middle), "+r"(least)); /* keep in registers */
    counter += key.k0;
    clear_flag();
    for (et_word *p = (et_word *)(void *)w, *end = p + n / 4; p != end; p++, g += 4) {
        uint32_t word = counter++, a, b, c, d, packed = *p;
        word ^= word >> 16;
        word *= c1;
        word ^= word >> 15;
        word *= c2;
        word ^= middle;
        word *= c1;
        word ^= word >> 15;
        word *= c2;
        word ^= word >> 16;
        TAKE(a, g[0], "");
        TAKE(b, g[1], ",ror #8");
        TAKE(c, g[2], ",ror #16");
        TAKE(d, g[3], ",ror #24");
        __asm__ volatile("bfi %0,%1,#8,#8\n\tbfi %2,%3,#8,#8\n\tbfi %0,%2,#16,#16\n\t"
                         "qsub8 %4,%4,%0\n\tssub8 %0,%4,%5\n\tsel %4,%4,%5" /* at least -127 */
                         : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(packed)
                         : "r"(least));
        *p = packed;
    }
    if (saturated_flag())
        *saturated += et_update_row(NULL, grad, multiplier, key, first, done);
    return done;
}

#endif
