#include "et_store.h"

#include <stddef.h>

#include "et_crc.h"

#if ET_STORE_BUFFER < 32 || (ET_STORE_BUFFER & (ET_STORE_BUFFER - 1)) != 0
#error "ET_STORE_BUFFER must be a power of two, 32 or more"
#endif

#define MAGIC 0x53544501u /* "ETS" and the version of the format in the lowest byte */

static const char mark[8] = {'e', 't', '_', 's', 'a', 'v', 'e', 'd'};

typedef struct {
    uint32_t magic, model_id, number, erases;
    uint32_t size;   /* of all parts */
    uint32_t layout; /* CRC of the sizes of the parts */
    uint32_t crc;    /* of what stands above, then of the parts */
    uint32_t check;  /* CRC of what stands above */
} header;

typedef struct {
    header header[2];         /* zeros where it is not whole */
    et_store_status state[2]; /* what a load from this slot alone would return */
} slots;

typedef union {
    uint64_t align;
    uint8_t bytes[ET_STORE_BUFFER];
} buffer;

typedef struct {
    const et_flash *flash;
    uint32_t address; /* of the buffer's first byte */
    uint32_t used;
    buffer buffer;
} writer;

static int has_good_shape(const et_flash *flash) {
    const uint32_t unit = flash->write_size, page = flash->page_size, size = flash->slot_size;
    const uint32_t a = flash->slots[0], b = flash->slots[1];
    if (unit == 0 || unit > ET_STORE_BUFFER || (unit & (unit - 1)) != 0)
        return 0;
    if (page == 0 || page % ET_STORE_BUFFER != 0 || size == 0 || size % page != 0)
        return 0;
    if (a % page != 0 || b % page != 0 || (a < b ? b - a : a - b) < size)
        return 0;
    return (a > b ? a : b) <= UINT32_MAX - (size - 1);
}

/* Check what comes from outside; fill what a header of these parts has in common. */
static et_store_status describe(const et_flash *flash, const et_part *parts, uint32_t count,
                                uint32_t model_id, header *common) {
    if (flash == NULL || flash->read == NULL || flash->write == NULL || flash->erase == NULL)
        return ET_BAD_ARGUMENT;
    if (parts == NULL || count == 0 || !has_good_shape(flash))
        return ET_BAD_ARGUMENT;
    const uint32_t taken = (uint32_t)sizeof(header) + ET_STORE_MARK(flash->write_size);
    uint32_t room = flash->slot_size < taken ? 0 : flash->slot_size - taken;
    __builtin_memset(common, 0, sizeof *common);
    common->magic = MAGIC;
    common->model_id = model_id;
    et_store_status status = flash->slot_size < taken ? ET_NO_ROOM : ET_OK;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t size = parts[i].size;
        if (parts[i].bytes == NULL && size > 0)
            return ET_BAD_ARGUMENT;
        if (size > room)
            status = ET_NO_ROOM;
        room -= et_store_least(size, room);
        common->size += size;
        common->layout = et_crc32(common->layout, &size, sizeof size);
    }
    return status;
}
