/* Compares the kernels of training, with and without scratch memory, with what Python wrote into
 * golden_values.h, and says how many results are wrong. */
#include "et_gradients.h"
#include "et_losses.h"
#include "et_perturb.h"
#include "et_random.h"
#include "frames.h"

enum {
    DENSE_ERROR, CONV_ERROR, DEPTHWISE_ERROR, AVERAGE_POOL_ERROR, MAX_POOL_ERROR,
    DENSE_LEARN, CONV_LEARN, DEPTHWISE_LEARN, BIAS_LEARN, SCALE, WIDENED, SLOPE, MERGE, CLOSE,
    KEEP_OPEN, CLOSE_BY_BITS, SPREAD, SHAKE_START, SHAKE_WEIGHTS, ESTIMATE, SIGNS_LEARN,
    CROSS_ENTROPY, SQUARED_ERROR
};

/* One call of a kernel: its arrays in the order of its arguments, what it changes in place among
 * them, and its numbers. */
typedef struct {
    int32_t kernel;
    const void *in[4];
    int32_t masters;  /* whether weights have masters, which are given and wanted in their place */
    et_window window; /* a dense layer uses n_in and n_out */
    et_scaling scaling;
    int32_t number[8];
    const void *want;
    int32_t size, returned; /* size: bytes of want */
} training_case;

#include "golden_values.h"

typedef struct {
    uint32_t number;
} request;

typedef struct {
    int32_t cases, size, wrong, returned, wrong_with_scratch, returned_with_scratch;
} result;

FRAMES(request, result)

static union {
    int64_t align;
    int8_t bytes[LARGEST];
    uint8_t bits[LARGEST];
    int16_t halves[LARGEST / 2];
    int32_t words[LARGEST / 4];
} y, arena;
static int32_t sums[LARGEST / 4];
static int8_t visible[LARGEST];

static et_rates rates_of(const training_case *c, const void *rates, int32_t n_out) {
    const int32_t *r = rates; /* multipliers, and shifts as int8 behind them */
    const et_rates found = {r, (const int8_t *)(r + n_out), c->number[2], c->number[3],
                            c->number[0]};
    return found;
}

static et_weights weights_of(const training_case *c) {
    const et_key key = {(uint32_t)c->number[4], (uint32_t)c->number[5]};
    const et_weights narrow = {et_update_w8, y.bytes, key, NULL, NULL, 0, 0};
    const et_weights wide = {et_update_w16, visible, key, y.halves, NULL, 0, 0};
    return c->masters ? wide : narrow;
}

static int32_t learn(const training_case *c, void *scratch) {
    const et_window *v = &c->window;
    const int32_t batch = c->number[0];
    const et_rates rates = rates_of(c, c->in[3], v->n_out);
    const et_weights weights = weights_of(c);
    __builtin_memcpy(y.bytes, c->in[2], (size_t)c->size);
    if (c->kernel == DEPTHWISE_LEARN)
        return et_depthwise_learn(c->in[0], c->in[1], c->number[1], &weights, &rates, sums, batch,
                                  v, scratch);
    if (c->kernel == DENSE_LEARN)
        return et_dense_learn(c->in[0], c->in[1], c->number[1], &weights, &rates, sums, batch,
                              v->n_in, v->n_out);
    return et_conv2d_learn(c->in[0], c->in[1], c->number[1], &weights, &rates, sums, batch, v,
                           scratch);
}

static int32_t signs_learn(const training_case *c) {
    const et_window *v = &c->window;
    const int32_t *n = c->number;
    const et_rates rates = rates_of(c, c->in[2], v->n_out), of_biases = rates_of(c, c->in[3], v->n_out);
    const et_signs signs = {7, (uint32_t)n[1], 99};
    const et_weights weights = weights_of(c);
    const int32_t bytes = v->n_in * v->n_out * (c->masters ? 2 : 1);
    /* the biases stand behind the weights, at a multiple of 4 */
    int32_t *biases = y.words + (bytes + 3) / 4;
    __builtin_memcpy(y.bytes, c->in[1], (size_t)c->size);
    return et_signs_learn(c->in[0], n[6], &signs, &weights, biases, &rates,
                          &of_biases, n[7], sums, v->n_out, v->n_in);
}

static int32_t loss(const training_case *c) {
    const int32_t *n = c->number;
    int32_t *losses = y.words + n[0] * n[1];
    if (c->kernel == CROSS_ENTROPY)
        return et_cross_entropy(c->in[0], c->in[1], y.words, losses, n[0], n[1]);
    et_squared_error(c->in[0], c->in[1], y.words, losses, n[0], n[1]);
    return 0;
}

/* What changes errors, and what perturbs. */
static int32_t other(const training_case *c) {
    const int32_t *n = c->number;
    const et_signs signs = {7, (uint32_t)n[1], 99};
    const int8_t *parts[3] = {c->in[0], c->in[1], c->in[2]};
    switch (c->kernel) {
    case BIAS_LEARN: {
        const et_rates rates = rates_of(c, c->in[2], n[6]);
        __builtin_memcpy(y.bytes, c->in[1], (size_t)c->size);
        et_bias_learn(c->in[0], y.words, &rates, n[4], n[5], n[6]);
        return 0;
    }
    case SCALE:
        return et_scale_error(c->in[0], c->scaling.multiplier, c->scaling.shift, y.bytes, n[0]);
    case WIDENED:
        return et_widened(c->in[0], &c->scaling, y.bytes, n[0]);
    case SLOPE:
        return et_slope_error(c->in[0], c->in[1], c->in[2], &c->scaling, y.bytes, n[0]);
    case MERGE:
        return et_merge(parts, c->in[3], n[1], n[2], &c->scaling, y.bytes, n[0]);
    case CLOSE:
        __builtin_memcpy(y.bytes, c->in[0], (size_t)c->size);
        et_close(y.bytes, c->in[1], n[1], n[2], n[0]);
        return 0;
    case KEEP_OPEN:
        et_keep_open(c->in[0], n[1], n[2], y.bits, n[0]);
        return 0;
    case CLOSE_BY_BITS:
        __builtin_memcpy(y.bytes, c->in[0], (size_t)c->size);
        et_close_by_bits(y.bytes, c->in[1], n[0]);
        return 0;
    case SPREAD:
        et_spread(c->in[0], y.bytes, n[0], n[1], n[2]);
        return 0;
    case SHAKE_START:
        et_shake_start(c->in[0], c->in[1], &signs, n[2], n[3], y.words, n[0]);
        return 0;
    case SHAKE_WEIGHTS: /* what the accumulators begin with comes first */
        et_shake_weights(c->in[0], c->in[1], &signs, n[2], n[3], n[4],
                         y.bytes + 4 * c->window.n_out, y.words, c->window.n_out, c->window.n_in);
        return 0;
    default:
        return et_estimate(c->in[0], n[2], &signs, c->in[1], n[3], n[4], &c->scaling, y.bytes,
                           n[0], n[5], n[6]);
    }
}

static int32_t call(const training_case *c, void *scratch) {
    const et_window *v = &c->window;
    switch (c->kernel) {
    case DENSE_ERROR:
        return et_dense_error(c->in[0], c->in[1], c->in[2], &c->scaling, sums, y.bytes,
                              c->number[0], v->n_in, v->n_out);
    case DEPTHWISE_ERROR:
        return et_depthwise_error(c->in[0], c->in[1], c->in[2], &c->scaling, sums, y.bytes,
                                  c->number[0], v, scratch);
    case CONV_ERROR:
        return et_conv2d_error(c->in[0], c->in[1], c->in[2], &c->scaling, sums, y.bytes,
                               c->number[0], v, scratch);
    case AVERAGE_POOL_ERROR:
        return et_average_pool_error(c->in[0], &c->scaling, sums, y.bytes, c->number[0], v);
    case MAX_POOL_ERROR:
        return et_max_pool_error(c->in[0], c->in[1], &c->scaling, sums, y.bytes, c->number[0], v);
    case DENSE_LEARN:
    case CONV_LEARN:
    case DEPTHWISE_LEARN:
        return learn(c, scratch);
    case SIGNS_LEARN:
        return signs_learn(c);
    case CROSS_ENTROPY:
    case SQUARED_ERROR:
        return loss(c);
    default:
        return other(c);
    }
}

/* How many bytes of a call's results are wrong, and what it returned. */
static int32_t different(const training_case *c, void *scratch, int32_t *returned) {
    const int8_t *want = c->want;
    int32_t wrong = 0;
    for (int32_t i = 0; i < LARGEST; i++)
        y.bytes[i] = 77;
    *returned = call(c, scratch);
    for (int32_t i = 0; i < c->size; i++)
        wrong += y.bytes[i] != want[i];
    for (int32_t i = c->size; i < LARGEST; i++)
        wrong += y.bytes[i] != 77;
    for (int32_t i = 0; c->masters && i < LARGEST && c->kernel != SIGNS_LEARN && i < c->size / 2; i++)
        wrong += visible[i] != y.halves[i] >> 8;
    return wrong;
}

/* Scratch memory ends with the arena, so that the byte behind it faults. */
static void *scratch_of(const training_case *c) {
    const et_window *v = &c->window;
    const int32_t pixels = c->number[0] * v->out_height * v->out_width;
    const int32_t reach = v->kernel_height * v->kernel_width * v->n_out;
    int32_t bytes = 0;
    (void)pixels, (void)reach;
    if (c->kernel == CONV_ERROR)
        bytes = ET_CONV2D_ERROR_SCRATCH(reach, v->n_in);
    else if (c->kernel == DEPTHWISE_ERROR)
        bytes = ET_DEPTHWISE_ERROR_SCRATCH(v->kernel_height, v->kernel_width, v->height, v->width);
    else if (c->kernel == CONV_LEARN)
        bytes = ET_CONV2D_LEARN_SCRATCH(v->n_out, pixels);
    else if (c->kernel == DEPTHWISE_LEARN)
        bytes = ET_DEPTHWISE_LEARN_SCRATCH(v->kernel_height, v->kernel_width, v->stride_down,
                                           v->stride_right, v->out_height, v->out_width);
    return arena.bytes + (LARGEST - (bytes + 7) / 8 * 8);
}

void frame_run(void) {
    const request *q = (const request *)(const void *)frame_in;
    result *a = (result *)(void *)frame_out;
    const training_case *c = &cases[q->number];
    a->cases = CASES;
    a->size = c->size;
    a->wrong = different(c, NULL, &a->returned);
    a->wrong_with_scratch = different(c, scratch_of(c), &a->returned_with_scratch);
}
