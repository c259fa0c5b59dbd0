#include "et_random.h"

ET_COLD
et_key et_stream_key(uint32_t seed, uint32_t step, uint32_t tensor, uint32_t purpose) {
    const uint32_t a = et_core(et_core(et_fold(seed + 0x9e3779b9u)) ^ et_fold(step));
    const uint32_t k0 = et_core(et_fold(et_fold(a) + tensor * 0x85ebca6bu + purpose));
    const et_key key = {et_fold(k0), et_fold(et_core(k0 ^ et_fold(0xc2b2ae35u)))};
    return key;
}

void et_random_signs(et_key key, int8_t *signs, int32_t rows, int32_t columns) {
    uint32_t counter = 0, word = 0;
    for (int32_t r = 0; r < rows; r++)
        for (int32_t k = 0; k < columns; k++) {
            if (k % 32 == 0)
                word = et_random_word(key, counter++);
            *signs++ = (int8_t)(1 - 2 * (int32_t)(word & 1u));
            word >>= 1;
        }
}
