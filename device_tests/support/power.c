/* A flash whose power fails. */
#include <stddef.h>

#include "flash.h"

static et_flash power_flash;
static const et_flash *power_from;
static int32_t power_left;

static int has_failed(void) {
    if (power_left == 0)
        return 1;
    power_left -= power_left > 0;
    return 0;
}

static int read_on(void *context, uint32_t address, void *to, uint32_t size) {
    return power_left == 0 || power_from->read(context, address, to, size) != 0;
}

static int write_on(void *context, uint32_t address, const void *from, uint32_t size) {
    const uint32_t unit = power_flash.write_size;
    for (uint32_t at = 0; at < size; at += unit) {
        uint64_t aligned[ET_STORE_BUFFER / 8];
        __builtin_memcpy(aligned, (const char *)from + at, unit);
        if (has_failed() || power_from->write(context, address + at, aligned, unit) != 0)
            return 1;
    }
    return 0;
}

static int erase_on(void *context, uint32_t address) {
    return has_failed() || power_from->erase(context, address) != 0;
}

const et_flash *flash_with_power(const et_flash *flash, int32_t steps) {
    if (flash == NULL)
        return NULL;
    power_flash = *flash;
    power_flash.read = read_on;
    power_flash.write = write_on;
    power_flash.erase = erase_on;
    power_from = flash;
    power_left = steps;
    return &power_flash;
}
