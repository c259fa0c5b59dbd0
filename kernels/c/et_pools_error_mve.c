#include "et_tile_mve.h"

#if defined(ET_HELIUM)

enum { GUARD_BITS = 8, MIDDLE = 1 << 15 };

/* value / count, rounded down, of four values in [-2^15, 2^15); count in [2, 2^15]. The values become
 * positive by a multiple of the count; then a product with 2^32 / count, rounded up, is exact. */
ET_INLINE int32x4_t divide4(int32x4_t value, int32_t count, uint32x4_t inverse, int32_t whole) {
    const int32x4_t positive = vaddq_n_s32(value, whole * count);
    const uint32x4_t quotient = vmulhq_u32(vreinterpretq_u32_s32(positive), inverse);
    return vsubq_n_s32(vreinterpretq_s32_u32(quotient), whole);
}

int32_t et_collect_fast(const int8_t *e, const uint8_t *index, int32_t tap, int32_t count,
                        int32_t *sums, int32_t n) {
    if (tap < 0)
        return n;
    const uint32x4_t inverse = vdupq_n_u32(UINT32_MAX / (uint32_t)count + 1u);
    const int32_t whole = MIDDLE / count + 1;
    for (int32_t c = 0; c < n; c += 4) {
        const mve_pred16_t lanes = vctp32q((uint32_t)(n - c));
        const int32x4_t old = vld1q_z_s32(sums + c, lanes);
        int32x4_t fine = vshlq_n_s32(vldrbq_z_s32(e + c, lanes), GUARD_BITS);
        mve_pred16_t takes = lanes;
        if (index != NULL)
            takes = vcmpeqq_m_n_u32(vldrbq_z_u32(index + c, lanes), (uint32_t)tap, lanes);
        else if (count > 1)
            fine = divide4(vaddq_n_s32(fine, count / 2), count, inverse, whole);
        vst1q_p_s32(sums + c, vaddq_m_s32(old, old, fine, takes), lanes);
    }
    return n;
}

#endif
