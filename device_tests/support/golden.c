/* Compares the arithmetic of the kernels with what Python wrote into golden_values.h, and says how
 * many results are wrong. */
#include "et_fixed.h"
#include "et_softmax.h"
#include "et_updates.h"
#include "frames.h"
#include "golden_values.h"

typedef struct {
    uint32_t unused;
} request;

FRAMES(request, char[512])

static char *end;

static void text(const char *from) {
    while (*from)
        *end++ = *from++;
}

static void number(uint32_t value) {
    if (value > 9)
        number(value / 10);
    *end++ = (char)('0' + value % 10);
}

static void verdict(const char *name, int32_t wrong, int32_t of) {
    text(name);
    text(": ");
    number((uint32_t)wrong);
    text(" of ");
    number((uint32_t)of);
    text(" wrong; ");
}

/* How many bytes differ, whatever the type. */
static int32_t different(const void *got, const void *wanted, uint32_t bytes) {
    int32_t wrong = 0;
    for (uint32_t i = 0; i < bytes; i++)
        wrong += ((const uint8_t *)got)[i] != ((const uint8_t *)wanted)[i];
    return wrong;
}

static void divisions(void) {
    int32_t wrong = 0;
    for (int32_t i = 0; i < DIVIDE; i++)
        wrong += et_divide_by_power(divide_value[i], divide_exponent[i]) != divide_want[i];
    verdict("divide_by_power", wrong, DIVIDE);
}

static void rescales(void) {
    int32_t wrong = 0, wrong_codes = 0;
    for (int32_t i = 0; i < RESCALE; i++) {
        const int32_t acc = rescale_acc[i], m = rescale_multiplier[i], s = rescale_shift[i];
        wrong += et_rescale(acc, m, s) != rescale_want[i];
        wrong_codes += et_place(et_rescale_call(acc, m, s), -5, -100, 120) != requantize_want[i];
    }
    verdict("rescale", wrong, RESCALE);
    verdict("requantize", wrong_codes, RESCALE);
}

static void updates(void) {
    static int8_t w[UPDATE];
    static int16_t masters[UPDATE];
    static int32_t biases[UPDATE_ROWS];
    const et_key key = {UPDATE_KEY0, UPDATE_KEY1};
    const int32_t n = UPDATE / UPDATE_ROWS;
    __builtin_memcpy(w, update_w, sizeof w);
    __builtin_memcpy(masters, update_masters, sizeof masters);
    __builtin_memcpy(biases, update_b, sizeof biases);
    int32_t wrong = et_update_int8(w, update_grad, update_multiplier, key, UPDATE_ROWS, n) !=
                    UPDATE_SATURATED;
    verdict("update_int8", wrong + different(w, update_w_want, sizeof w), UPDATE);
    wrong = et_update_int16(masters, update_grad, update_multiplier, key, UPDATE_ROWS, n) !=
            UPDATE_MASTERS_SATURATED;
    verdict("update_int16", wrong + different(masters, update_masters_want, sizeof masters),
            UPDATE);
    et_update_bias(biases, update_b_grad, update_multiplier, UPDATE_LIMIT, UPDATE_ROWS);
    verdict("update_bias", different(biases, update_b_want, sizeof biases), UPDATE_ROWS);
}

static void softmaxes(void) {
    static int8_t y[SOFTMAX * SOFTMAX_CLASSES];
    int32_t wrong = 0;
    for (int32_t i = 0; i < SOFTMAX_SCALES; i++) {
        et_softmax(softmax_x, softmax_multiplier[i], softmax_shift[i], softmax_lowest[i], y,
                   SOFTMAX, SOFTMAX_CLASSES);
        wrong += different(y, softmax_want + i * (int32_t)sizeof y, sizeof y);
    }
    verdict("softmax", wrong, SOFTMAX_SCALES * SOFTMAX * SOFTMAX_CLASSES);
}

void frame_run(void) {
    end = (char *)frame_out;
    divisions();
    rescales();
    updates();
    softmaxes();
    *end = 0;
}
