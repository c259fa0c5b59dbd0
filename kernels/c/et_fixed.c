#include "et_fixed.h"

ET_COLD
int32_t et_rescale_call(int32_t acc, int32_t multiplier, int32_t shift) {
    return et_rescale(acc, multiplier, shift);
}
