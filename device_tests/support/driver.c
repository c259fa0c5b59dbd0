/* One exported network, called "net": starts it, trains it, asks it, saves and loads it. */
#include "flash.h"
#include "frames.h"
#include "net.h"

enum { INIT, TRAIN, INFER, SAVE, LOAD, TENSOR };

#define SHOWN 64 /* bytes of a tensor in an answer */
#define LARGER(a, b) ((a) > (b) ? (a) : (b))

typedef struct {
    int32_t command;
    /* Targets; labels use the first NET_BATCH. Steps of power of a save. Number and offset of a
     * tensor. */
    int32_t y[LARGER(NET_BATCH * NET_OUTPUTS, 2)];
    int8_t x[NET_BATCH * NET_INPUTS];
} question;

typedef struct {
    int32_t status, loss; /* status: of a tensor, its bytes */
    uint32_t trace, saturated; /* trace: of a tensor, its CRC */
    et_stored stored; /* after a save or a load */
    int8_t y[LARGER(NET_OUTPUTS, SHOWN)];
} answer;

FRAMES(question, answer)

static int32_t save(int32_t steps) {
    return net_save(flash_with_power(board_flash(), steps));
}

#ifdef EDGETRAIN_TRACE
#include "et_crc.h"

static void show(uint32_t number, uint32_t offset, answer *a) {
    const void *bytes;
    const uint32_t size = net_traced(number, &bytes);
    a->status = (int32_t)size;
    a->trace = et_crc32(0, bytes, size);
    for (uint32_t i = 0; i < SHOWN && offset + i < size; i++)
        a->y[i] = ((const int8_t *)bytes)[offset + i];
}
#endif

void frame_run(void) {
    const question *q = (const question *)(const void *)frame_in;
    answer *a = (answer *)(void *)frame_out;
    a->status = ET_OK;
    a->loss = 0;
    a->trace = 0;
#ifdef EDGETRAIN_TRACE
    if (q->command == TENSOR) {
        show((uint32_t)q->y[0], (uint32_t)q->y[1], a);
        return;
    }
#endif
    if (q->command == INIT)
        net_init();
    else if (q->command == TRAIN)
        a->status = net_train(q->x, q->y, &a->loss);
    else if (q->command == SAVE)
        a->status = save(q->y[0]);
    else if (q->command == LOAD)
        a->status = net_load(board_flash());
    else
        a->status = net_infer(q->x, a->y);
    if (q->command == SAVE || q->command == LOAD)
        (void)net_stored(board_flash(), &a->stored);
    a->saturated = net_saturated();
#ifdef EDGETRAIN_TRACE
    a->trace = net_trace();
#endif
}
