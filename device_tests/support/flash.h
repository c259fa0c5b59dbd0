/* Where a board keeps what it has learned, and what happens when its power fails. */
#ifndef FLASH_H
#define FLASH_H

#include "et_store.h"

/* The flash; NULL where there is none. */
const et_flash *board_flash(void);

/* The same flash with power for so many steps, a write unit or a page erased each: then its
 * functions do nothing and fail. Negative: for ever. NULL stays NULL. */
const et_flash *flash_with_power(const et_flash *flash, int32_t steps);

#endif
