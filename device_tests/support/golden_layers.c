/* Compares the layers, with and without scratch memory, with what Python wrote into
 * golden_values.h, and says how many results are wrong. */
#include "et_layers.h"
#include "et_pools.h"
#include "frames.h"

enum { DENSE, CONV, DEPTHWISE, AVERAGE_POOL, MAX_POOL, GLOBAL_POOL, ADD, REQUANTIZE };

/* One call of a kernel; arrays that it does not read are NULL. */
typedef struct {
    int32_t kernel, batch, x_zero_point;
    const int8_t *x, *w;
    const int32_t *b; /* biases, or the accumulators to requantize */
    et_output output;
    et_window window; /* a dense layer uses n_in and n_out */
    et_term terms[3]; /* of a sum; the first is the scale of a global pool */
    const int8_t *want;
    int32_t size; /* of want */
} layer_case;

#include "golden_values.h"

typedef struct {
    uint32_t number;
} request;

typedef struct {
    int32_t cases, size, wrong, wrong_with_scratch;
} result;

FRAMES(request, result)

static union {
    int64_t align;
    int8_t bytes[LARGEST];
} y, arena;
static int32_t start[64];

static void call(const layer_case *c, void *scratch) {
    const et_window *v = &c->window;
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in / v->groups;
    if (c->kernel == DENSE || c->kernel == CONV || c->kernel == DEPTHWISE)
        et_start(c->w, c->b, c->x_zero_point, v->n_out, n, start);
    switch (c->kernel) {
    case DENSE:
        et_dense(c->x, c->w, start, &c->output, y.bytes, c->batch, v->n_in, v->n_out, scratch);
        break;
    case CONV:
        et_conv2d(c->x, c->w, start, c->x_zero_point, &c->output, y.bytes, c->batch, v, scratch);
        break;
    case DEPTHWISE:
        et_depthwise(c->x, c->w, start, c->x_zero_point, &c->output, y.bytes, c->batch, v, scratch);
        break;
    case AVERAGE_POOL:
        et_average_pool(c->x, y.bytes, c->batch, v);
        break;
    case MAX_POOL:
        et_max_pool(c->x, y.bytes, NULL, c->batch, v);
        break;
    case GLOBAL_POOL:
        et_global_average_pool(c->x, c->x_zero_point, c->terms[0].multiplier, c->terms[0].shift,
                               c->terms[0].zero_point, y.bytes, c->batch, v->height * v->width,
                               v->n_in);
        break;
    case REQUANTIZE:
        et_requantize(c->b, &c->output, y.bytes, c->size / v->n_out, v->n_out);
        break;
    default:
        et_add(c->x, c->terms[0], c->w, c->terms[1], y.bytes, c->terms[2], c->output.low,
               c->output.high, c->size);
    }
}

static int32_t different(const layer_case *c, void *scratch) {
    int32_t wrong = 0;
    for (int32_t i = 0; i < LARGEST; i++)
        y.bytes[i] = 77;
    call(c, scratch);
    for (int32_t i = 0; i < c->size; i++)
        wrong += y.bytes[i] != c->want[i];
    for (int32_t i = c->size; i < LARGEST; i++)
        wrong += y.bytes[i] != 77;
    return wrong;
}

/* Scratch memory ends with the arena, so that the byte behind it faults. */
static void *scratch_of(const layer_case *c) {
    const et_window *v = &c->window;
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in / v->groups;
    const int32_t columns = (v->out_width - 1) * v->stride_right + v->kernel_width;
    const int32_t rows = columns * v->n_in * v->kernel_height;
    int32_t bytes = 0;
    (void)n, (void)rows;
    if (c->kernel == DENSE)
        bytes = ET_DENSE_SCRATCH(v->n_in);
    else if (c->kernel == DEPTHWISE)
        bytes = ET_DEPTHWISE_SCRATCH(v->out_width, v->stride_right);
    else if (c->kernel == CONV)
        bytes = ET_CONV2D_SCRATCH(n, v->n_out, rows);
    return arena.bytes + (LARGEST - (bytes + 7) / 8 * 8);
}

void frame_run(void) {
    const request *q = (const request *)(const void *)frame_in;
    result *a = (result *)(void *)frame_out;
    a->cases = CASES;
    a->size = cases[q->number].size;
    a->wrong = different(&cases[q->number], NULL);
    a->wrong_with_scratch = different(&cases[q->number], scratch_of(&cases[q->number]));
}
