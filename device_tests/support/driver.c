/* One exported network, called "net": starts it, trains it, asks it. */
#include "frames.h"
#include "net.h"

enum { INIT, TRAIN, INFER };

typedef struct {
    int32_t command;
    int32_t y[NET_BATCH * NET_OUTPUTS]; /* labels use the first NET_BATCH */
    int8_t x[NET_BATCH * NET_INPUTS];
} question;

typedef struct {
    int32_t status, loss;
    uint32_t trace, saturated;
    int8_t y[NET_OUTPUTS];
} answer;

FRAMES(question, answer)

void frame_run(void) {
    const question *q = (const question *)(const void *)frame_in;
    answer *a = (answer *)(void *)frame_out;
    a->status = ET_OK;
    a->loss = 0;
    if (q->command == INIT)
        net_init();
    else if (q->command == TRAIN)
        a->status = net_train(q->x, q->y, &a->loss);
    else
        a->status = net_infer(q->x, a->y);
    a->saturated = net_saturated();
#ifdef EDGETRAIN_TRACE
    a->trace = net_trace();
#else
    a->trace = 0;
#endif
}
