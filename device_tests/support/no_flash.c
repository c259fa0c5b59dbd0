/* A board without flash to save to; a flash of your own here is tested too. */
#include "flash.h"

#include <stddef.h>

const et_flash *board_flash(void) {
    return NULL;
}
