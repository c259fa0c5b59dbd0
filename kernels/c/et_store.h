/* What was learned, kept in flash: a cut of the power leaves the old or the new contents.
 *
 * There are two slots. A save erases the slot without the newest record and fills it:
 *
 *   header    32 bytes: magic and version, model, number, erases, size, layout, two CRCs
 *   parts     one after the other, then 0xff up to a write unit
 *   (free)
 *   mark      the last write unit of the slot, at least 8 bytes: written last, when the rest was
 *             read back and is right
 *
 * Every unit is written once after an erase, at rising addresses, so flash with error correction
 * will do. Words are stored as they lie in memory: a record is for the device that wrote it.
 *
 * Stacks are given for Cortex-M0+ and M4 (gcc 12, -Os to -O3, ET_STORE_BUFFER 64), without the
 * user's functions. A call is not reentrant: one at a time for a flash.
 *
 * Stack of a call at most: 416 bytes on a Cortex-M0, 416 on an M4, 416 on an M55 (gcc, -O2).
 */
#ifndef ET_STORE_H
#define ET_STORE_H

#include <stdint.h>

#include "et_fixed.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of one read or write at most; a power of two, 32 or more. The same for every file. */
#ifndef ET_STORE_BUFFER
#define ET_STORE_BUFFER 64
#endif

/* An et_status or one of these. */
typedef int32_t et_store_status;
enum {
    ET_NO_RECORD = -2,    /* nothing was saved yet, or the first save was cut */
    ET_FOREIGN = -3,      /* there are only records of another model or format */
    ET_CORRUPT = -4,      /* a record was whole and is not any more; no other one is */
    ET_FLASH_FAILED = -5, /* the flash reports an error, or holds not what was written */
    ET_NO_ROOM = -6,      /* the parts do not fit into a slot; nothing was written */
};

/* The user's flash. The functions return 0, else the call fails with ET_FLASH_FAILED.
 *
 * read   any address and size within a slot, at most ET_STORE_BUFFER bytes for checks and a whole
 *        part for a load; an uncorrectable error of the hardware is no fault but a return value
 * write  address and size are multiples of write_size, within a page; `from` is aligned to 8 bytes
 *        and the unit was erased before
 * erase  the page at an address: all its bits become 1
 */
typedef struct {
    void *context; /* handed to the functions */
    int (*read)(void *context, uint32_t address, void *to, uint32_t size);
    int (*write)(void *context, uint32_t address, const void *from, uint32_t size);
    int (*erase)(void *context, uint32_t address);
    uint32_t page_size;  /* of an erase: a multiple of ET_STORE_BUFFER */
    uint32_t write_size; /* a power of two, at most ET_STORE_BUFFER */
    uint32_t slots[2];   /* addresses, multiples of page_size; the slots must not overlap */
    uint32_t slot_size;  /* a multiple of page_size */
} et_flash;

/* Bytes of the mark, and of a slot that takes `size` bytes of parts: a constant for a linker. */
#define ET_STORE_MARK(write_size) ((write_size) > 8u ? (write_size) : 8u)
#define ET_STORE_SLOT(size, page_size, write_size)                                                 \
    ((32u + (size) + ET_STORE_MARK(write_size) + (page_size) - 1u) / (page_size) * (page_size))

/* A piece of memory that is saved and loaded. */
typedef struct {
    void *bytes; /* NULL only where size is 0 */
    uint32_t size;
} et_part;

/* What is known of both slots. */
typedef struct {
    int32_t slot;       /* of the newest whole record, which a load takes; -1 without one */
    uint32_t saves;     /* number of the newest save, from 1, modulo 2^32 */
    uint32_t erases[2]; /* of every page of a slot; without those of saves whose header was not
                           written any more */
} et_stored;

/* Save all parts.
 *
 * parts     [count], count > 0   in; a change of them during the call makes it fail
 * model_id  what the parts belong to: another program with parts of the same sizes has another
 *
 * Wherever the power fails, and if the call fails, et_store_load gives what it gave before or the
 * new contents, whole. A slot that cannot be read counts as damaged: it is erased first.
 *
 * Stack: 416 bytes.
 * Time: slot_size / page_size erases; the parts are written once; the CRC of one record at most
 * four times: of both slots, of the parts, and of what was written.
 * Wear: one erase of every page of one slot; the slots take turns.
 * Returns ET_BAD_ARGUMENT or ET_NO_ROOM before anything is written; ET_FLASH_FAILED, also before
 * anything is written if neither slot can be read (erase them to begin anew); else ET_OK.
 */
et_store_status et_store_save(const et_flash *flash, const et_part *parts, uint32_t count,
                              uint32_t model_id);

/* Load the newest record that is whole and was saved with the same model_id and sizes.
 *
 * parts  [count]   out; written after the whole record was checked
 *
 * Where the newest record is damaged or cannot be read, the other slot's is taken.
 *
 * Stack: 344 bytes.
 * Time: the CRC of a record three times.
 * Returns ET_BAD_ARGUMENT, ET_NO_ROOM, ET_NO_RECORD, ET_FOREIGN or ET_CORRUPT before anything is
 * changed, else ET_OK. After ET_FLASH_FAILED put first values: where the flash fails between the
 * check and the copy, the parts hold anything.
 */
et_store_status et_store_load(const et_flash *flash, const et_part *parts, uint32_t count,
                              uint32_t model_id);

/* Tell what a load would find and how worn the flash is; the parts are not touched.
 *
 * stored  out, unless ET_BAD_ARGUMENT or ET_NO_ROOM is returned
 *
 * Stack: 312 bytes.
 * Time: the CRC of a record twice.
 * Returns what et_store_load would.
 */
et_store_status et_store_info(const et_flash *flash, const et_part *parts, uint32_t count,
                              uint32_t model_id, et_stored *stored);

#ifdef __cplusplus
}
#endif

#endif
