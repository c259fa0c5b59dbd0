/* One exported network with a journal, called "net": trains it, closes frames, takes them again. */
#include "frames.h"
#include "net.h"

enum { HEADER, INIT, TRAIN, CLOSE, REPLAY };

typedef struct {
    int32_t command, size; /* size: of a frame to take again */
    int32_t y[NET_BATCH];
    int8_t x[NET_BATCH * NET_INPUTS];
    uint8_t frame[NET_FRAME];
} question;

typedef struct {
    int32_t status; /* of HEADER and CLOSE, the bytes below */
    uint32_t trace;
    uint8_t bytes[sizeof net_journal + NET_FRAME];
} answer;

FRAMES(question, answer)

static uint32_t previous;

static uint32_t last_four(const uint8_t *end) {
    return end[-4] | (uint32_t)end[-3] << 8 | (uint32_t)end[-2] << 16 | (uint32_t)end[-1] << 24;
}

void frame_run(void) {
    const question *q = (const question *)(const void *)frame_in;
    answer *a = (answer *)(void *)frame_out;
    int32_t loss;
    a->status = ET_OK;
    if (q->command == HEADER) {
        a->status = (int32_t)sizeof net_journal;
        __builtin_memcpy(a->bytes, net_journal, sizeof net_journal);
    } else if (q->command == INIT) {
        net_init();
        previous = last_four(net_journal + sizeof net_journal);
    } else if (q->command == TRAIN) {
        a->status = net_train(q->x, q->y, &loss);
    } else if (q->command == CLOSE) {
        a->status = (int32_t)net_frame(a->bytes, previous);
        previous = last_four(a->bytes + a->status);
    } else {
        a->status = net_replay(q->frame, (uint32_t)q->size, previous);
        if (a->status == ET_OK)
            previous = last_four(q->frame + q->size);
    }
    a->trace = net_trace();
}
