#include "et_journal.h"

#include "et_crc.h"

enum { WORD = 4 };

static uint32_t packed(uint32_t steps, int32_t queries) {
    return 1u + (steps * (uint32_t)queries + 3u) / 4u;
}

static void put(uint8_t *to, uint32_t word) {
    for (uint32_t i = 0; i < WORD; i++)
        to[i] = (uint8_t)(word >> (8u * i));
}

static uint32_t get(const uint8_t *from) {
    uint32_t word = 0;
    for (uint32_t i = 0; i < WORD; i++)
        word |= (uint32_t)from[i] << (8u * i);
    return word;
}

void et_journal_add(uint8_t *frame, const int32_t *slopes, int32_t queries) {
    uint32_t at = (uint32_t)frame[0] * (uint32_t)queries;
    for (int32_t query = 0; query < queries; query++, at++) {
        const uint32_t code = slopes[query] > 0 ? 1u : slopes[query] < 0 ? 2u : 0u;
        uint8_t *const octet = frame + 1 + at / 4u;
        const uint32_t before = at % 4u == 0 ? 0u : *octet;
        *octet = (uint8_t)(before | code << (2u * (at % 4u)));
    }
    frame[0]++;
}

uint32_t et_journal_close(uint8_t *frame, int32_t queries, uint32_t trace, uint32_t previous) {
    if (frame[0] == 0)
        return 0;
    const uint32_t size = packed(frame[0], queries);
    put(frame + size, trace);
    put(frame + size + WORD, et_crc32(previous, frame, size + WORD));
    return size + 2 * WORD;
}

int32_t et_journal_check(const uint8_t *frame, uint32_t size, int32_t queries, uint32_t previous) {
    if (size == 0 || frame[0] == 0 || frame[0] > ET_JOURNAL_STEPS)
        return 0;
    const uint32_t bytes = packed(frame[0], queries);
    if (size < bytes + 2 * WORD)
        return 0;
    return get(frame + bytes + WORD) == et_crc32(previous, frame, bytes + WORD) ? frame[0] : 0;
}

void et_journal_read(const uint8_t *frame, int32_t step, int32_t queries, int32_t unit,
                     int32_t *slopes) {
    uint32_t at = (uint32_t)step * (uint32_t)queries;
    for (int32_t query = 0; query < queries; query++, at++) {
        const uint32_t code = (uint32_t)frame[1u + at / 4u] >> (2u * (at % 4u)) & 3u;
        slopes[query] = code == 1u ? unit : code == 2u ? -unit : 0;
    }
}

uint32_t et_journal_trace(const uint8_t *frame, int32_t queries) {
    return get(frame + packed(frame[0], queries));
}
