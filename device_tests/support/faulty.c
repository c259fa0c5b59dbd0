/* Does what a program must not do; the frame says which and where. */
#include "frames.h"

enum { NOTHING, WRITE, READ, WRITE_NULL, WRITE_CODE, LOOP, RECURSE };
enum { ARENA_BYTES = 1000 };

typedef struct {
    int32_t what, offset;
} request;

typedef struct {
    int32_t value;
} result;

FRAMES(request, result)

static union {
    int64_t align;
    uint8_t bytes[ARENA_BYTES];
} arena;

static const int32_t constant = 5;

/* Deeper than any stack; the volatile array keeps the compiler from making a loop of it. */
static int32_t recurse(int32_t depth) {
    volatile int32_t local[64];
    local[depth & 63] = depth;
    return depth < 0 ? 0 : recurse(depth + 1) + local[depth & 63];
}

void frame_run(void) {
    const request *ask = (const request *)(const void *)frame_in;
    volatile uint8_t *const at = (volatile uint8_t *)arena.bytes + ask->offset;
    volatile int32_t *const code = (volatile int32_t *)(uintptr_t)&constant;
    volatile int32_t *volatile null = 0;
    int32_t value = 1;
    if (ask->what == WRITE)
        *at = 7;
    else if (ask->what == READ)
        value = *at;
    else if (ask->what == WRITE_NULL)
        *null = 1;
    else if (ask->what == WRITE_CODE)
        *code = 6;
    else if (ask->what == RECURSE)
        value = recurse(1);
    while (ask->what == LOOP)
        *(volatile int32_t *)&value ^= 1;
    ((result *)(void *)frame_out)->value = value;
}
