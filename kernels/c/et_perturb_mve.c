#include "et_tile_mve.h"

#if defined(ET_HELIUM)

/* 16 signs are the predicate of a subtraction. */
int32_t et_shake_fast(const int8_t *w, uint32_t word, int32_t step, int8_t *shaken, int32_t n,
                      int32_t *sum) {
    if (step > INT8_MAX || step < -INT8_MAX)
        return 0;
    const int8x16_t plus = vdupq_n_s8((int8_t)step), minus = vdupq_n_s8((int8_t)-step);
    int32_t total = 0;
    for (int32_t i = 0; i < n; i += 16, word >>= 16) {
        const mve_pred16_t lanes = vctp8q((uint32_t)(n - i));
        const int8x16_t by = vpselq_s8(minus, plus, (mve_pred16_t)word);
        const int8x16_t moved =
            vmaxq_s8(vqaddq_s8(vld1q_z_s8(w + i, lanes), by), vdupq_n_s8(-INT8_MAX));
        vst1q_p_s8(shaken + i, moved, lanes);
        total = vaddvaq_p_s8(total, moved, lanes);
    }
    *sum += total;
    return n;
}

#endif
