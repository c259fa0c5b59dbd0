/* Frames over a serial line, little-endian:
 *
 *   'e' 'T' version kind   size   sequence   CRC-32 of the 12 bytes before   (16 bytes)
 *   size bytes             CRC-32 of them
 *
 * A header is searched for in everything that comes, so noise and lost bytes cost the frame that
 * they hit and no other. A frame that comes again is answered again, and not run again: a training
 * step whose answer was lost happens once.
 */
#include "serial.h"

#include "et_crc.h"
#include "frames.h"
#include "identity.h"

enum { VERSION = 1 };
enum { HELLO, FRAME, READY, ANSWER, DAMAGED };

typedef struct {
    uint8_t sync[2], version, kind;
    uint32_t size, sequence, crc;
} header;

static uint32_t answered; /* sequence of the frame whose answer is in frame_out; 0: none */

static uint32_t crc_of(const header *h) {
    return et_crc32(0, h, (uint32_t)sizeof *h - 4u);
}

static void send_bytes(const void *bytes, uint32_t size) {
    for (uint32_t i = 0; i < size; i++)
        serial_put(((const uint8_t *)bytes)[i]);
}

static void send(uint8_t kind, uint32_t sequence, const void *bytes, uint32_t size) {
    header h = {{'e', 'T'}, VERSION, kind, size, sequence, 0};
    const uint32_t crc = et_crc32(0, bytes, size);
    h.crc = crc_of(&h);
    send_bytes(&h, sizeof h);
    send_bytes(bytes, size);
    send_bytes(&crc, sizeof crc);
}

/* Reads what follows a header. Returns whether it is whole. */
static int take(uint8_t *to, uint32_t size) {
    uint8_t crc[4];
    uint32_t wanted;
    for (uint32_t i = 0; i < size; i++)
        to[i] = serial_get();
    for (uint32_t i = 0; i < 4; i++)
        crc[i] = serial_get();
    __builtin_memcpy(&wanted, crc, sizeof wanted);
    return et_crc32(0, to, size) == wanted;
}

static void reply(const header *h) {
    const uint32_t about[3] = {SERIAL_IDENTITY, frame_in_size, frame_out_size};
    if (h->version == VERSION && h->kind == HELLO) {
        answered = 0;
        send(READY, h->sequence, about, sizeof about);
        return;
    }
    if (h->version != VERSION || h->kind != FRAME || h->size != frame_in_size) {
        send(DAMAGED, h->sequence, about, 0);
        return;
    }
    if (h->sequence != answered) {
        if (!take(frame_in, frame_in_size)) {
            send(DAMAGED, h->sequence, about, 0);
            return;
        }
        frame_run();
        answered = h->sequence;
    }
    send(ANSWER, answered, frame_out, frame_out_size);
}

void serial_run(void) {
    union {
        uint8_t bytes[sizeof(header)];
        header header;
    } last = {{0}};
    for (;;) {
        for (uint32_t i = 1; i < sizeof last; i++)
            last.bytes[i - 1] = last.bytes[i];
        last.bytes[sizeof last - 1] = serial_get();
        if (last.bytes[0] == 'e' && last.bytes[1] == 'T' && last.header.crc == crc_of(&last.header))
            reply(&last.header);
    }
}
