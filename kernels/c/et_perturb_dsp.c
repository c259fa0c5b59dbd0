#include "et_dsp.h"
#include "et_train.h"

#if defined(ET_DSP)

/* Four bits of a word of signs go to the flags GE, by which SEL chooses -step or step for four
 * weights; QADD8 saturates, and -128 becomes -127. */
#define SHAKE4(turn)                                                                   \
    __asm__ volatile(turn "msr apsr_g,%1\n\tsel %1,%4,%3\n\tqadd8 %0,%0,%1\n\t"        \
                     "ssub8 %1,%0,%5\n\tsel %0,%0,%5\n\teor %1,%0,%6\n\tusada8 %2,%1,%7,%2" \
                     : "+&r"(packed), "=&r"(chosen), "+r"(total)                       \
                     : "r"(plus), "r"(minus), "r"(least), "r"(middle), "r"(0), "r"(word))

int32_t et_shake_fast(const int8_t *w, uint32_t word, int32_t step, int8_t *shaken, int32_t n,
                      int32_t *sum) {
    if (n < 4 || step > INT8_MAX || step < -INT8_MAX)
        return 0;
    const uint32_t plus = (uint32_t)(step & 0xff) * 0x1010101u;
    const uint32_t minus = (uint32_t)(-step & 0xff) * 0x1010101u;
    const uint32_t least = 0x81818181u, middle = 0x80808080u;
    const int32_t done = n / 4 * 4;
    uint32_t total = 0, chosen;
    word = word << 16 | word >> 16;
    for (const int8_t *end = w + done; w != end; w += 4, shaken += 4) {
        uint32_t packed = et_load4(w);
        SHAKE4("mov %1,%8\n\t");
        __builtin_memcpy(shaken, &packed, 4);
        word = word >> 4 | word << 28;
    }
    *sum += (int32_t)total - 128 * done;
    return done;
}

#endif
