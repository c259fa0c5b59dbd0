#include "et_mve.h"

#if defined(ET_HELIUM)

ET_INLINE uint32x4_t mix4(uint32x4_t x) {
    x = vmulq_n_u32(veorq_u32(x, vshrq_n_u32(x, 16)), 0x7feb352du);
    x = vmulq_n_u32(veorq_u32(x, vshrq_n_u32(x, 15)), 0x846ca68bu);
    return veorq_u32(x, vshrq_n_u32(x, 16));
}

/* A step with 8 fraction bits, to nearest, plus a random byte: exact while the multiplier, times
 * 256, fits in int32. VRMULH takes the upper half of the product, rounded. */
ET_INLINE int32x4_t step4(int32x4_t grad, int32x4_t fine, uint32x4_t octets) {
    return vshrq_n_s32(vaddq_s32(vrmulhq_s32(grad, fine), vreinterpretq_s32_u32(octets)), 8);
}

/* Lane l of the hash is the word of weights 4 l .. 4 l + 3; VLD4 delivers gradients alike, and two
 * narrowings put the steps back into order. VSHR and VQMOVN stand for VQSHRN, which version 2.40 of
 * the GNU assembler encodes as the rounding VQRSHRN. */
int32_t et_update_fast(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                       uint32_t first, int32_t n, int32_t *saturated) {
    if (first % 4 != 0 || multiplier >= 1 << 23 || n < 16)
        return 0;
    const int32_t done = n / 16 * 16;
    const int32x4_t fine = vdupq_n_s32(multiplier * 256);
    const uint32x4_t k1 = vdupq_n_u32(key.k1);
    const int8x16_t least = vdupq_n_s8(-127);
    uint32x4_t counter = vaddq_n_u32(vidupq_n_u32(0, 1), first / 4 + key.k0);
    int32_t low = 0, high = 0;
    for (int32_t i = 0; i < done; i += 16) {
        const uint32x4_t words = mix4(veorq_u32(mix4(counter), k1));
        const uint16x8_t even = vmovlbq_u8(vreinterpretq_u8_u32(words));
        const uint16x8_t odd = vmovltq_u8(vreinterpretq_u8_u32(words));
        const int32x4x4_t g = vld4q_s32(grad + i);
        const int32x4_t s0 = step4(g.val[0], fine, vmovlbq_u16(even));
        const int32x4_t s1 = step4(g.val[1], fine, vmovlbq_u16(odd));
        const int32x4_t s2 = step4(g.val[2], fine, vmovltq_u16(even));
        const int32x4_t s3 = step4(g.val[3], fine, vmovltq_u16(odd));
        high = vmaxvq_s32(vmaxvq_s32(vmaxvq_s32(vmaxvq_s32(high, s0), s1), s2), s3);
        low = vminvq_s32(vminvq_s32(vminvq_s32(vminvq_s32(low, s0), s1), s2), s3);
        int16x8_t a = vuninitializedq_s16(), b = vuninitializedq_s16();
        int8x16_t step = vuninitializedq_s8();
        a = vqmovntq_s32(vqmovnbq_s32(a, s0), s2);
        b = vqmovntq_s32(vqmovnbq_s32(b, s1), s3);
        step = vqmovntq_s16(vqmovnbq_s16(step, a), b);
        vst1q_s8(w + i, vmaxq_s8(vqsubq_s8(vld1q_s8(w + i), step), least));
        counter = vaddq_n_u32(counter, 4);
    }
    if (low < INT8_MIN || high > INT8_MAX)
        *saturated += et_count_saturated(grad, multiplier, key, first, done);
    return done;
}

#endif
