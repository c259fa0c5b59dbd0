/* Flash in memory: bits are cleared byte after byte, and a page at a time is set again. */
#include "flash.h"

#include "net.h"

enum { PAGE = 256, UNIT = 8, SLOT = ET_STORE_SLOT(NET_SAVED, PAGE, UNIT) };

static volatile uint8_t flash_bytes[2 * SLOT];

static int read_flash(void *context, uint32_t address, void *to, uint32_t size) {
    (void)context;
    for (uint32_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = flash_bytes[address + i];
    return 0;
}

static int write_flash(void *context, uint32_t address, const void *from, uint32_t size) {
    (void)context;
    for (uint32_t i = 0; i < size; i++)
        flash_bytes[address + i] &= ((const uint8_t *)from)[i];
    return 0;
}

static int erase_flash(void *context, uint32_t address) {
    (void)context;
    for (uint32_t i = 0; i < PAGE; i++)
        flash_bytes[address + i] = 0xff;
    return 0;
}

const et_flash *board_flash(void) {
    static const et_flash flash = {
        0, read_flash, write_flash, erase_flash, PAGE, UNIT, {0, SLOT}, SLOT};
    return &flash;
}
