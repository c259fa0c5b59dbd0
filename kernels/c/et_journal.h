/* A run of forward gradients as a few bits a step: frames of a journal, which `edgetrain replay`
 * and a device read. The base weights and the frames give the exact weights.
 *
 *   1 byte    steps in the frame, 1 to 128
 *   n bytes   two bits a slope, the lowest first: 0 none, 1 plus, 2 minus
 *   4 bytes   trace of the weights after the last step, little-endian
 *   4 bytes   CRC-32 of all that, which goes on from the frame (or header) before, little-endian
 *
 * Stack of a call at most: 48 bytes on a Cortex-M0, 32 on an M4, 32 on an M55 (gcc, -O2).
 */
#ifndef ET_JOURNAL_H
#define ET_JOURNAL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ET_JOURNAL_STEPS = 128 };

/* Most bytes of a frame. */
#define ET_FRAME_BYTES(queries) (1 + (ET_JOURNAL_STEPS * (queries) + 3) / 4 + 8)

/* Add a step to an open frame.
 *
 * frame    uint8 [ET_FRAME_BYTES(queries)]   in, out; frame[0] counts steps, below 128
 * slopes   int32 [queries]                   in; only their signs count
 */
void et_journal_add(uint8_t *frame, const int32_t *slopes, int32_t queries);

/* Close a frame: put the trace and the CRC behind its steps.
 *
 * previous   CRC of the frame before: its last four bytes; or of the header
 *
 * Returns its bytes, 0 if it has no step.
 */
uint32_t et_journal_close(uint8_t *frame, int32_t queries, uint32_t trace, uint32_t previous);

/* Check a frame that was stored.
 *
 * frame   uint8 [size]   in
 *
 * Returns its steps, 0 if it is not whole or not the one that follows.
 */
int32_t et_journal_check(const uint8_t *frame, uint32_t size, int32_t queries, uint32_t previous);

/* Read the slopes of a step.
 *
 * slopes   int32 [queries]   out: -unit, 0 or unit
 */
void et_journal_read(const uint8_t *frame, int32_t step, int32_t queries, int32_t unit,
                     int32_t *slopes);

/* Read the trace of a whole frame. */
uint32_t et_journal_trace(const uint8_t *frame, int32_t queries);

#ifdef __cplusplus
}
#endif

#endif
