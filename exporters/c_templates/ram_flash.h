/* Flash that is memory, for the example: it forgets. Write the three functions for your device's
 * flash; et_store.h says what they must do. */
#ifndef RAM_FLASH_H
#define RAM_FLASH_H

#include <string.h>

#include "@{name}.h"

enum {
    PAGE_BYTES = 256, /* of an erase */
    UNIT_BYTES = 8,   /* of a write */
    SLOT_BYTES = ET_STORE_SLOT(@{NAME}_SAVED, PAGE_BYTES, UNIT_BYTES)
};

static uint8_t ram_flash_bytes[2 * SLOT_BYTES];

static int ram_flash_read(void *context, uint32_t address, void *to, uint32_t size) {
    memcpy(to, (const uint8_t *)context + address, size);
    return 0;
}

static int ram_flash_write(void *context, uint32_t address, const void *from, uint32_t size) {
    memcpy((uint8_t *)context + address, from, size);
    return 0;
}

static int ram_flash_erase(void *context, uint32_t address) {
    memset((uint8_t *)context + address, 0xff, PAGE_BYTES);
    return 0;
}

static const et_flash ram_flash = {
    ram_flash_bytes,   ram_flash_read, ram_flash_write, ram_flash_erase, PAGE_BYTES, UNIT_BYTES,
    {0u, SLOT_BYTES}, SLOT_BYTES,
};

#endif
