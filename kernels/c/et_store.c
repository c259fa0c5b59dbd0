#include "et_store.h"

#include <stddef.h>

#include "et_crc.h"

#if ET_STORE_BUFFER < 32 || (ET_STORE_BUFFER & (ET_STORE_BUFFER - 1)) != 0
#error "ET_STORE_BUFFER must be a power of two, 32 or more"
#endif

#define MAGIC 0x53544501u /* the lowest byte is the version of the format */

typedef struct {
    uint32_t magic, model_id, number, erases;
    uint32_t size;   /* of all parts */
    uint32_t layout; /* CRC of the sizes of the parts */
    uint32_t crc;    /* of what stands above, then of the parts */
    uint32_t check;  /* of what stands above */
} et_header;

typedef struct {
    et_header header[2];      /* zeros where there is none */
    et_store_status state[2]; /* what a load would return if this were the only slot */
} et_slots;

typedef union {
    uint64_t align;
    uint8_t bytes[ET_STORE_BUFFER];
} et_buffer;

typedef struct {
    const et_flash *flash;
    uint32_t address, used; /* of the buffer */
    et_buffer buffer;
} et_writer;

static const char mark[8] = {'e', 't', '_', 's', 'a', 'v', 'e', 'd'};

ET_COLD static uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

ET_COLD static uint32_t mark_address(const et_flash *flash, uint32_t slot) {
    return flash->slots[slot] + flash->slot_size - ET_STORE_MARK(flash->write_size);
}

ET_COLD static int has_good_shape(const et_flash *flash) {
    const uint32_t unit = flash->write_size, page = flash->page_size, size = flash->slot_size;
    const uint32_t low = least(flash->slots[0], flash->slots[1]);
    const uint32_t high = flash->slots[0] ^ flash->slots[1] ^ low;
    if (unit == 0 || unit > ET_STORE_BUFFER || (unit & (unit - 1)) != 0)
        return 0;
    if (page == 0 || page % ET_STORE_BUFFER != 0 || size == 0 || size % page != 0)
        return 0;
    return low % page == 0 && high % page == 0 && high - low >= size && high <= 0u - size;
}

/* Check what comes from outside; fill what the headers of these parts have in common. */
ET_COLD static et_store_status describe(const et_flash *flash, const et_part *parts, uint32_t count,
                                        uint32_t model_id, et_header *common) {
    if (flash == NULL || flash->read == NULL || flash->write == NULL || flash->erase == NULL)
        return ET_BAD_ARGUMENT;
    if (parts == NULL || count == 0 || !has_good_shape(flash))
        return ET_BAD_ARGUMENT;
    const uint32_t taken = (uint32_t)sizeof(et_header) + ET_STORE_MARK(flash->write_size);
    et_store_status status = ET_OK;
    uint32_t room = flash->slot_size - least(taken, flash->slot_size);
    __builtin_memset(common, 0, sizeof *common);
    common->magic = MAGIC;
    common->model_id = model_id;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t size = parts[i].size;
        if (parts[i].bytes == NULL && size > 0)
            return ET_BAD_ARGUMENT;
        if (size > room || flash->slot_size < taken)
            status = ET_NO_ROOM;
        room -= least(size, room);
        common->size += size;
        common->layout = et_crc32(common->layout, &size, sizeof size);
    }
    return status;
}

/* CRC of a header and of the parts that lie behind it in a slot. Returns 0, or 1 if unreadable. */
ET_COLD static int crc_in_flash(const et_flash *flash, uint32_t slot, const et_header *header,
                                uint32_t *crc) {
    uint32_t address = flash->slots[slot] + (uint32_t)sizeof *header, left = header->size;
    et_buffer buffer;
    *crc = et_crc32(0, header, offsetof(et_header, crc));
    while (left > 0) {
        const uint32_t size = least(left, ET_STORE_BUFFER);
        if (flash->read(flash->context, address, buffer.bytes, size) != 0)
            return 1;
        *crc = et_crc32(*crc, buffer.bytes, size);
        address += size;
        left -= size;
    }
    return 0;
}

/* What a load from one slot would return; its header. */
ET_COLD static et_store_status inspect(const et_flash *flash, uint32_t slot,
                                       const et_header *common, et_header *header) {
    char found[sizeof mark];
    uint32_t crc;
    void *const context = flash->context;
    const int failed = flash->read(context, flash->slots[slot], header, sizeof *header) != 0;
    const int whole = !failed && (header->magic ^ MAGIC) < 256 &&
                      header->check == et_crc32(0, header, offsetof(et_header, check));
    if (!whole)
        __builtin_memset(header, 0, sizeof *header);
    if (flash->read(context, mark_address(flash, slot), found, sizeof found) != 0)
        return ET_FLASH_FAILED;
    if (__builtin_memcmp(found, mark, sizeof mark) != 0)
        return ET_NO_RECORD;
    if (failed)
        return ET_FLASH_FAILED;
    if (!whole)
        return ET_CORRUPT;
    if (header->magic != common->magic || header->model_id != common->model_id ||
        header->size != common->size || header->layout != common->layout)
        return ET_FOREIGN;
    if (crc_in_flash(flash, slot, header, &crc) != 0)
        return ET_FLASH_FAILED;
    if (crc != header->crc)
        return ET_CORRUPT;
    return ET_OK;
}

ET_COLD static void inspect_both(const et_flash *flash, const et_header *common, et_slots *slots) {
    for (uint32_t slot = 0; slot < 2; slot++)
        slots->state[slot] = inspect(flash, slot, common, &slots->header[slot]);
}

/* The slot whose header is newer, 1 if there is none; numbers may wrap around. */
ET_COLD static uint32_t newer(const et_slots *slots) {
    const et_header *a = &slots->header[0], *b = &slots->header[1];
    if (a->magic == 0 || b->magic == 0)
        return a->magic == 0;
    return b->number - a->number - 1u < 0x7fffffffu;
}

/* How much a slot deserves to be kept: one that cannot be read is the first to be erased. */
ET_COLD static int32_t worth(et_store_status state) {
    return state == ET_OK ? 3 : state == ET_FOREIGN ? 2 : state != ET_FLASH_FAILED;
}

/* The slot that a load takes first and a save leaves alone. */
ET_COLD static uint32_t better(const et_slots *slots) {
    const int32_t a = worth(slots->state[0]), b = worth(slots->state[1]);
    return a == b ? newer(slots) : b > a;
}

/* What a load returns: one whole record is enough, else the lower status tells more. */
ET_COLD static et_store_status verdict(const et_slots *slots) {
    if (slots->state[0] == ET_OK || slots->state[1] == ET_OK)
        return ET_OK;
    return et_min(slots->state[0], slots->state[1]);
}

ET_COLD static int flush(et_writer *writer) {
    const et_flash *flash = writer->flash;
    const uint32_t unit = flash->write_size, size = (writer->used + unit - 1) / unit * unit;
    const uint32_t address = writer->address;
    __builtin_memset(writer->buffer.bytes + writer->used, 0xff, size - writer->used);
    writer->address += size;
    writer->used = 0;
    return size > 0 && flash->write(flash->context, address, writer->buffer.bytes, size) != 0;
}

ET_COLD static int put(et_writer *writer, const void *from, uint32_t size) {
    const uint8_t *at = from;
    while (size > 0) {
        const uint32_t now = least(size, ET_STORE_BUFFER - writer->used);
        __builtin_memcpy(writer->buffer.bytes + writer->used, at, now);
        writer->used += now;
        at += now;
        size -= now;
        if (writer->used == ET_STORE_BUFFER && flush(writer) != 0)
            return 1;
    }
    return 0;
}

/* Write the mark. */
ET_COLD static int commit(const et_flash *flash, uint32_t slot) {
    const uint32_t address = mark_address(flash, slot);
    et_writer writer = {.flash = flash, .address = address};
    char found[sizeof mark];
    return put(&writer, mark, sizeof mark) != 0 || flush(&writer) != 0 ||
           flash->read(flash->context, address, found, sizeof found) != 0 ||
           __builtin_memcmp(found, mark, sizeof mark) != 0;
}

/* Put all but the mark into a slot. */
ET_COLD static int fill(const et_flash *flash, uint32_t slot, const et_header *header,
                        const et_part *parts, uint32_t count) {
    et_writer writer = {.flash = flash, .address = flash->slots[slot]};
    for (uint32_t at = 0; at < flash->slot_size; at += flash->page_size)
        if (flash->erase(flash->context, flash->slots[slot] + at) != 0)
            return 1;
    if (put(&writer, header, sizeof *header) != 0)
        return 1;
    for (uint32_t i = 0; i < count; i++)
        if (put(&writer, parts[i].bytes, parts[i].size) != 0)
            return 1;
    return flush(&writer);
}

/* Read a filled slot back. */
ET_COLD static int is_filled(const et_flash *flash, uint32_t slot, const et_header *header) {
    et_header found;
    uint32_t crc;
    return flash->read(flash->context, flash->slots[slot], &found, sizeof found) == 0 &&
           __builtin_memcmp(&found, header, sizeof found) == 0 &&
           crc_in_flash(flash, slot, header, &crc) == 0 && crc == header->crc;
}

ET_COLD
et_store_status et_store_save(const et_flash *flash, const et_part *parts, uint32_t count,
                              uint32_t model_id) {
    et_header header;
    et_slots slots;
    const et_store_status status = describe(flash, parts, count, model_id, &header);
    if (status != ET_OK)
        return status;
    inspect_both(flash, &header, &slots);
    if (slots.state[0] == ET_FLASH_FAILED && slots.state[1] == ET_FLASH_FAILED)
        return ET_FLASH_FAILED;
    const uint32_t target = 1 - better(&slots);
    const et_header *last = &slots.header[target], *other = &slots.header[1 - target];
    header.number = slots.header[newer(&slots)].number + 1;
    if (last->magic != 0)
        header.erases = last->erases + 1;
    else /* the slots take turns, and slot 0 begins */
        header.erases = other->erases + (target == 0 || other->erases == 0);
    header.crc = et_crc32(0, &header, offsetof(et_header, crc));
    for (uint32_t i = 0; i < count; i++)
        header.crc = et_crc32(header.crc, parts[i].bytes, parts[i].size);
    header.check = et_crc32(0, &header, offsetof(et_header, check));
    if (fill(flash, target, &header, parts, count) != 0 || !is_filled(flash, target, &header))
        return ET_FLASH_FAILED;
    if (commit(flash, target) != 0)
        return ET_FLASH_FAILED;
    return ET_OK;
}

/* Copy a record that was checked; check the copy as well. */
ET_COLD static int copy(const et_flash *flash, uint32_t slot, const et_header *header,
                        const et_part *parts, uint32_t count) {
    uint32_t address = flash->slots[slot] + (uint32_t)sizeof *header;
    uint32_t crc = et_crc32(0, header, offsetof(et_header, crc));
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t size = parts[i].size;
        if (size > 0 && flash->read(flash->context, address, parts[i].bytes, size) != 0)
            return 1;
        crc = et_crc32(crc, parts[i].bytes, size);
        address += size;
    }
    return crc != header->crc;
}

ET_COLD
et_store_status et_store_load(const et_flash *flash, const et_part *parts, uint32_t count,
                              uint32_t model_id) {
    et_header common;
    et_slots slots;
    const et_store_status status = describe(flash, parts, count, model_id, &common);
    if (status != ET_OK)
        return status;
    inspect_both(flash, &common, &slots);
    while (verdict(&slots) == ET_OK) {
        const uint32_t slot = better(&slots);
        if (copy(flash, slot, &slots.header[slot], parts, count) == 0)
            return ET_OK;
        slots.state[slot] = ET_FLASH_FAILED;
    }
    return verdict(&slots);
}

ET_COLD
et_store_status et_store_info(const et_flash *flash, const et_part *parts, uint32_t count,
                              uint32_t model_id, et_stored *stored) {
    et_header common;
    et_slots slots;
    const et_store_status status = describe(flash, parts, count, model_id, &common);
    if (stored == NULL)
        return ET_BAD_ARGUMENT;
    if (status != ET_OK)
        return status;
    inspect_both(flash, &common, &slots);
    const uint32_t slot = better(&slots);
    stored->slot = slots.state[slot] == ET_OK ? (int32_t)slot : -1;
    stored->saves = slots.header[newer(&slots)].number;
    for (uint32_t i = 0; i < 2; i++)
        stored->erases[i] = slots.header[i].erases;
    return verdict(&slots);
}
