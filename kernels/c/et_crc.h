/* CRC-32 as zlib, PNG and Ethernet have it.
 *
 * Stack of a call at most: 16 bytes on a Cortex-M0, 16 on an M4, 16 on an M55 (gcc, -O2).
 */
#ifndef ET_CRC_H
#define ET_CRC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Checksum of more bytes; crc is 0 before the first.
 *
 * Time: 2 table look-ups a byte; the table has 64 bytes.
 */
uint32_t et_crc32(uint32_t crc, const void *bytes, size_t count);

#ifdef __cplusplus
}
#endif

#endif
