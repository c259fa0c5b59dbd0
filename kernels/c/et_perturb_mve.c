#include "et_tile_mve.h"

#if defined(ET_HELIUM)

enum { WORD = 32, WORDS = 4 }; /* signs of a word; words that are drawn at a time */

/* Perturb weights, at most a word of them: 16 signs are a predicate, which chooses -step or step.
 * Returns their sum and another. */
ET_INLINE int32_t shake(const int8_t *w, uint32_t word, int32_t step, int8_t *shaken, int32_t n,
                        int32_t sum) {
    register int32_t total __asm__("r4") = sum;
    uint32_t saved;
    __asm__ volatile("vmrs %[saved],p0\n\twlstp.8 lr,%[n],2f\n1:\n\tvldrb.8 q0,[%[w]],#16\n\t"
                     "vmsr p0,%[word]\n\tvpsel q1,%q[minus],%q[plus]\n\tvqadd.s8 q0,q0,q1\n\t"
                     "vmax.s8 q0,q0,%q[least]\n\tvstrb.8 q0,[%[shaken]],#16\n\t"
                     "vaddva.s8 %[total],q0\n\tlsr %[word],%[word],#16\n\tletp lr,1b\n2:\n\t"
                     "vmsr p0,%[saved]"
                     : [w] "+r"(w), [word] "+r"(word), [shaken] "+r"(shaken), [total] "+r"(total),
                       [saved] "=&r"(saved)
                     : [n] "r"(n), [minus] "w"(vdupq_n_s8((int8_t)-step)),
                       [plus] "w"(vdupq_n_s8((int8_t)step)), [least] "w"(vdupq_n_s8(-INT8_MAX))
                     : "q0", "q1", "lr", "cc", "memory");
    return total;
}

/* Word number `at` of a row, which is drawn with the next ones. */
ET_INLINE uint32_t word_at(et_key key, uint32_t counter, int32_t at, uint32_t words[WORDS]) {
    if (at % WORDS == 0)
        vst1q_u32(words, et_random4(key, vidupq_n_u32(counter + (uint32_t)at, 1)));
    return words[at % WORDS];
}

int32_t et_shake_row_fast(const int8_t *w, et_key key, uint32_t *counter, int32_t step,
                          int8_t *shaken, int32_t n, int32_t *sum, uint32_t *word) {
    uint32_t words[WORDS];
    int32_t total = 0;
    if (step > INT8_MAX || step < -INT8_MAX)
        return 0;
    for (int32_t i = 0; i < n; i += WORD) {
        *word = word_at(key, *counter, i / WORD, words);
        total = shake(w + i, *word, step, shaken + i, et_min(n - i, WORD), total);
    }
    *counter += (uint32_t)((n + WORD - 1) / WORD);
    *sum = total;
    return n;
}

/* A sign is moved to the top of its lane, and from there into all bits. */
#define SIGNED                                                                          \
    "wlstp.32 lr,%[n],2f\n1:\n\tvshl.s32 q0,%q[bits],%q[place]\n\t"                      \
    "vsub.i32 %q[place],%q[place],%[four]\n\tvshr.s32 q0,q0,#31\n\t"                     \
    "veor q1,%q[slope],q0\n\tvsub.i32 q1,q1,q0\n\t"

/* sums = slope with the signs of a word, or that and the sums; n <= WORD */
ET_INLINE void add_signs(int first, int32x4_t slope, uint32_t word, int32_t *sums, int32_t n) {
    int32x4_t place = vreinterpretq_s32_u32(vddupq_n_u32(31, 1));
    if (first)
        __asm__ volatile(SIGNED "vstrw.32 q1,[%[sums]],#16\n\tletp lr,1b\n2:"
                         : [place] "+w"(place), [sums] "+r"(sums)
                         : [n] "r"(n), [bits] "w"(vdupq_n_u32(word)), [slope] "w"(slope),
                           [four] "r"(4)
                         : "q0", "q1", "lr", "cc", "memory");
    else
        __asm__ volatile(SIGNED "vldrw.u32 q0,[%[sums]]\n\tvadd.i32 q1,q1,q0\n\t"
                         "vstrw.32 q1,[%[sums]],#16\n\tletp lr,1b\n2:"
                         : [place] "+w"(place), [sums] "+r"(sums)
                         : [n] "r"(n), [bits] "w"(vdupq_n_u32(word)), [slope] "w"(slope),
                           [four] "r"(4)
                         : "q0", "q1", "lr", "cc", "memory");
}

int32_t et_add_signs_fast(int first, int32_t slope, et_key key, uint32_t *counter, int32_t *sums,
                          int32_t n, uint32_t *word) {
    const int32x4_t slopes = vdupq_n_s32(slope);
    uint32_t words[WORDS];
    for (int32_t i = 0; i < n; i += WORD) {
        *word = word_at(key, *counter, i / WORD, words);
        add_signs(first, slopes, *word, sums + i, et_min(n - i, WORD));
    }
    *counter += (uint32_t)((n + WORD - 1) / WORD);
    *word >>= n % WORD;
    return n;
}

/* Whether it is worth the while to take the pixels of one channel eight at a time, and whether
 * their distances fit in 16 bits. */
ET_INLINE int fits(int32_t pitch, int32_t n) {
    return n >= 4 && pitch <= ET_PLANE_MAX;
}

int32_t et_mark_open_fast(int8_t *e, const int8_t *y, int32_t first, int32_t low, int32_t high,
                          int32_t pitch, int32_t n, int32_t *open) {
    const uint16x8_t apart = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)pitch);
    const int16x8_t zero = vdupq_n_s16(0), one = vdupq_n_s16(1);
    const int16_t least = (int16_t)et_max(low, INT8_MIN - 1);
    const int16_t most = (int16_t)et_min(high, INT8_MAX + 1);
    if (!fits(pitch, n))
        return 0;
    for (int32_t p = 0, at = first; p < n; p += 8, at += 8 * pitch) {
        const mve_pred16_t lanes = vctp16q((uint32_t)(n - p));
        mve_pred16_t is_open = lanes;
        if (y != NULL) {
            const int16x8_t value = vldrbq_gather_offset_z_s16(y + at, apart, lanes);
            is_open = vcmpltq_m_n_s16(value, most, vcmpgtq_m_n_s16(value, least, lanes));
        }
        const int16x8_t mark = vpselq_s16(one, zero, is_open);
        vstrbq_scatter_offset_p_s16(e + at, apart, mark, lanes);
        *open = vaddvaq_s16(*open, mark);
    }
    return n;
}

int32_t et_share_fast(int8_t *e, int32_t first, int8_t shared, int32_t pitch, int32_t n) {
    const uint16x8_t apart = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)pitch);
    int8_t *to = e + first;
    if (!fits(pitch, n))
        return 0;
    for (int32_t p = 0; p < n; p += 8, to += 8 * pitch) {
        const mve_pred16_t lanes = vctp16q((uint32_t)(n - p));
        const int16x8_t mark = vldrbq_gather_offset_z_s16(to, apart, lanes);
        vstrbq_scatter_offset_p_s16(to, apart, vmulq_n_s16(mark, shared), lanes);
    }
    return n;
}

#endif
