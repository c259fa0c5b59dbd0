/* Calls one kernel with what a frame holds, so that a board can count it. */
#include "et_layers.h"
#include "et_pools.h"
#include "et_updates.h"
#include "frames.h"

enum {
    START, DENSE, CONV, DEPTHWISE, AVERAGE_POOL, MAX_POOL, GLOBAL_POOL, ADD, REQUANTIZE, UPDATE
};
enum { CHANNELS = 1024, BYTES = 98304, SCRATCH = 65536 };

typedef struct {
    int32_t operation, with_scratch, x_zero_point, size;
    int32_t zero_point, low, high;
    uint32_t key0, key1;
    et_window window; /* a dense layer uses n_in and n_out */
    et_term terms[3]; /* of a sum; the first is the scale of a global pool */
    int32_t bias[CHANNELS], multiplier[CHANNELS];
    int8_t shift[CHANNELS];
    int8_t x[BYTES]; /* or accumulators */
    int8_t w[BYTES]; /* or gradients */
} request;

typedef struct {
    int32_t saturated;
    int8_t y[BYTES];
} result;

FRAMES(request, result)

static int32_t start[CHANNELS];
static int64_t scratch[SCRATCH / 8];

void frame_run(void) {
    const request *q = (const request *)(const void *)frame_in;
    result *a = (result *)(void *)frame_out;
    const et_output output = {q->multiplier, q->shift, q->zero_point, q->low, q->high};
    const et_window *v = &q->window;
    const int32_t *words = (const int32_t *)(const void *)q->w;
    const et_key key = {q->key0, q->key1};
    void *memory = q->with_scratch ? scratch : NULL;
    switch (q->operation) {
    case START:
        et_start(q->w, q->bias, q->x_zero_point, v->n_out, q->size, start);
        break;
    case DENSE:
        et_dense(q->x, q->w, start, &output, a->y, 1, v->n_in, v->n_out, memory);
        break;
    case DEPTHWISE:
        et_depthwise(q->x, q->w, start, q->x_zero_point, &output, a->y, 1, v, memory);
        break;
    case CONV:
        et_conv2d(q->x, q->w, start, q->x_zero_point, &output, a->y, 1, v, memory);
        break;
    case AVERAGE_POOL:
        et_average_pool(q->x, a->y, 1, v);
        break;
    case MAX_POOL:
        et_max_pool(q->x, a->y, NULL, 1, v);
        break;
    case GLOBAL_POOL:
        et_global_average_pool(q->x, q->x_zero_point, q->terms[0].multiplier, q->terms[0].shift,
                               q->terms[0].zero_point, a->y, 1, v->height * v->width, v->n_in);
        break;
    case ADD:
        et_add(q->x, q->terms[0], q->w, q->terms[1], a->y, q->terms[2], q->low, q->high, q->size);
        break;
    case REQUANTIZE:
        et_requantize(words, &output, a->y, q->size, v->n_out);
        break;
    case UPDATE: /* in place: the weights that the program was given are in y */
        a->saturated = et_update_int8(a->y, words, q->multiplier, key, v->n_out, q->size);
        break;
    default:
        __builtin_memcpy(a->y, q->x, BYTES);
    }
}
