/* Compares the kernels of Forward-Forward, and momentum, with what Python wrote into
 * golden_values.h, and says how many bytes are wrong. */
#include "et_goodness.h"
#include "frames.h"

enum {
    EMBED, NORMALIZE, GOODNESS, PAIR_SLOPES, CLASS_SLOPES, WRONG_LABELS, CHANNELS, CLASS_GOODNESS,
    ERROR, CODES, MOMENTUM, TELL
};

/* One call of a kernel; arrays that it does not read are NULL. */
typedef struct {
    int32_t kernel, batch, n, classes;
    int32_t numbers[4];
    const int8_t *x, *w;
    const int32_t *a, *b; /* b: labels, or velocities */
    const void *want;
    int32_t bytes;    /* of want */
    int32_t returned; /* by the kernel */
} goodness_case;

#include "golden_values.h"

typedef struct {
    uint32_t number;
} request;

typedef struct {
    int32_t cases, wrong, wrong_in_place;
} result;

FRAMES(request, result)

static union {
    int64_t align;
    int8_t bytes[LARGEST];
    int32_t words[LARGEST / 4];
} y;
static int32_t start[64], sums[64];
static int8_t sample[64];
static const int32_t none = -1;

/* Calls a kernel; x is in place of the case's own. */
static int32_t call(const goodness_case *c, const int8_t *x) {
    const int32_t *v = c->numbers, batch = c->batch, n = c->n, classes = c->classes;
    const et_scaling scaling = {v[1], v[2], 0};
    const et_key key = {(uint32_t)v[0], (uint32_t)v[1]};
    switch (c->kernel) {
    case EMBED:
        et_embed_labels(x, c->b, v[0], y.bytes, batch, n, classes);
        return 0;
    case NORMALIZE:
        et_normalize(x, v[0], y.bytes, batch, n);
        return 0;
    case GOODNESS:
        et_goodness(x, v[0], v[1], v[2], y.words, batch, n);
        return 0;
    case PAIR_SLOPES:
        __builtin_memcpy(y.words, c->a, (size_t)c->bytes);
        et_pair_slopes(y.words, v[0], v[1], batch);
        return 0;
    case CLASS_SLOPES:
        __builtin_memcpy(y.words, c->a, (size_t)c->bytes);
        et_class_slopes(y.words, c->b, c->b + batch, v[0], v[1], batch, classes);
        return 0;
    case WRONG_LABELS:
        et_wrong_labels(c->a, c->b, key, y.words, batch, classes);
        return 0;
    case CHANNELS:
        et_start(c->w, c->a, v[0], classes, n, start);
        et_class_channels(x, c->w, start, v[1], v[2], sums, y.bytes, batch, n, classes);
        return 0;
    case CLASS_GOODNESS:
        et_class_goodness(x, y.words, batch, n, classes);
        return 0;
    case ERROR:
        return et_goodness_error(x, v[0], c->a, &scaling, y.bytes, batch, n, classes);
    case CODES:
        et_goodness_codes(c->a, y.bytes, classes);
        return 0;
    case MOMENTUM:
        __builtin_memcpy(y.words, c->b, (size_t)c->bytes);
        et_momentum(y.words, c->a, v[0], v[1], n);
        return 0;
    default:
        et_embed_labels(x, &none, v[0], sample, 1, n, v[2]);
        et_start(c->w, c->a, v[0], classes, n, start);
        et_dense_acc(sample, c->w, start, y.words, 1, n, classes);
        et_tell_label(y.words, c->w, v[1], v[0], y.words, n, classes);
        return 0;
    }
}

static int32_t different(const goodness_case *c, int32_t in_place) {
    const int8_t *wanted = c->want;
    for (int32_t i = 0; i < LARGEST; i++)
        y.bytes[i] = 77;
    if (in_place)
        __builtin_memcpy(y.bytes, c->x, (size_t)c->bytes);
    int32_t wrong = call(c, in_place ? y.bytes : c->x) != c->returned;
    for (int32_t i = 0; i < c->bytes; i++)
        wrong += y.bytes[i] != wanted[i];
    for (int32_t i = c->bytes; i < LARGEST; i++)
        wrong += y.bytes[i] != 77;
    return wrong;
}

void frame_run(void) {
    const goodness_case *c = &cases[((const request *)(const void *)frame_in)->number];
    const int32_t aliases = c->kernel == EMBED || c->kernel == NORMALIZE || c->kernel == ERROR;
    result *a = (result *)(void *)frame_out;
    a->cases = CASES;
    a->wrong = different(c, 0);
    a->wrong_in_place = aliases ? different(c, 1) : 0;
}
