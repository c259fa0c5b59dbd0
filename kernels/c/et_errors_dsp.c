#include "et_dsp.h"
#include "et_train.h"

#if defined(ET_DSP)

/* SSUB8 leaves in the flags GE which differences are not negative, and SEL reads them: the bytes of
 * yes where every byte of y is at least, or at most, a limit, else 0. */
ET_INLINE uint32_t where_above(uint32_t y, uint32_t least, uint32_t yes) {
    uint32_t d;
    __asm__ volatile("ssub8 %0,%1,%2\n\tsel %0,%3,%4"
                     : "=&r"(d)
                     : "r"(y), "r"(least), "r"(yes), "r"(0));
    return d;
}

ET_INLINE uint32_t choose(uint32_t y, uint32_t least, uint32_t most, uint32_t yes) {
    return where_above(most, y, where_above(y, least, yes));
}

/* What is open, in all bytes of a word; 0 where nothing is. */
static int range(int32_t low, int32_t high, uint32_t *least, uint32_t *most) {
    *least = (uint32_t)(et_max(low + 1, INT8_MIN) & 0xff) * 0x1010101u;
    *most = (uint32_t)(et_min(high - 1, INT8_MAX) & 0xff) * 0x1010101u;
    return low < INT8_MAX && high > INT8_MIN;
}

int32_t et_close_fast(int8_t *e, const int8_t *y, int32_t low, int32_t high, int32_t n) {
    uint32_t least, most;
    if (!range(low, high, &least, &most) || (uintptr_t)e % 4 != 0)
        return 0;
    et_word *p = (et_word *)(void *)e, *end = p + n / 8 * 2;
    for (; high > INT8_MAX && p != end; p += 2, y += 8) {
        p[0] = where_above(et_load4(y), least, p[0]);
        p[1] = where_above(et_load4(y + 4), least, p[1]);
    }
    for (; p != end; p += 2, y += 8) {
        p[0] = choose(et_load4(y), least, most, p[0]);
        p[1] = choose(et_load4(y + 4), least, most, p[1]);
    }
    return n / 8 * 8;
}

int32_t et_keep_open_fast(const int8_t *y, int32_t low, int32_t high, uint8_t *bits, int32_t n) {
    uint32_t least, most;
    if (!range(low, high, &least, &most))
        return 0;
    for (uint8_t *end = bits + n / 8; bits != end; y += 8) {
        const uint32_t first = choose(et_load4(y), least, most, 0x08040201u);
        uint32_t all = first | choose(et_load4(y + 4), least, most, 0x80402010u);
        __asm__ volatile("usad8 %0,%0,%1" : "+r"(all) : "r"(0));
        *bits++ = (uint8_t)all;
    }
    return n / 8 * 8;
}

/* Four bits become four bytes of ones or zeros. */
ET_INLINE uint32_t widen(uint32_t bits) {
    const uint32_t ones = (bits & 15u) * 0x204081u & 0x1010101u;
    return (ones << 8) - ones;
}

int32_t et_close_by_bits_fast(int8_t *e, const uint8_t *bits, int32_t n) {
    if ((uintptr_t)e % 4 != 0)
        return 0;
    et_word *p = (et_word *)(void *)e;
    for (et_word *end = p + n / 8 * 2; p != end; p += 2, bits++) {
        p[0] &= widen(*bits);
        p[1] &= widen((uint32_t)*bits >> 4);
    }
    return n / 8 * 8;
}

ET_INLINE uint32_t add_even(uint32_t sums, uint32_t word) {
    __asm__ volatile("sxtab16 %0,%0,%1" : "+r"(sums) : "r"(word));
    return sums;
}

ET_INLINE uint32_t add_odd(uint32_t sums, uint32_t word) {
    __asm__ volatile("sxtab16 %0,%0,%1,ror #8" : "+r"(sums) : "r"(word));
    return sums;
}

/* Sums of 16 bits hold 256 rows of errors. */
int32_t et_sum_columns_fast(const int8_t *e, int32_t pitch, int32_t rows, int32_t columns,
                            int32_t *sums) {
    enum { MOST = 256 };
    if (columns < ET_COLUMNS)
        return 0;
    __builtin_memset(sums, 0, ET_COLUMNS * sizeof *sums);
    for (int32_t row = 0; row < rows; row += MOST) {
        uint32_t parts[4] = {0, 0, 0, 0};
        for (int32_t i = et_min(MOST, rows - row); i > 0; i--, e += pitch) {
            const uint32_t a = et_load4(e), b = et_load4(e + 4);
            parts[0] = add_even(parts[0], a);
            parts[1] = add_odd(parts[1], a);
            parts[2] = add_even(parts[2], b);
            parts[3] = add_odd(parts[3], b);
        }
        for (int32_t i = 0; i < 4; i++) {
            int32_t *to = sums + i / 2 * 4 + i % 2;
            to[0] += (int16_t)parts[i];
            to[2] += (int16_t)(parts[i] >> 16);
        }
    }
    return ET_COLUMNS;
}

#endif
