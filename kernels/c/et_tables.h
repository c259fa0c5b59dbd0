/* Tables of the losses, 1026 bytes; edgetrain/arithmetic/losses.py has their formulas.
 * Private to the kernels. */
#ifndef ET_TABLES_H
#define ET_TABLES_H

#include <stdint.h>

enum { ET_LOG_2 = 45426 }; /* ln(2) in Q16 */

extern const uint16_t et_exp_coarse[128]; /* exp(-i / 8) in Q15 */
extern const uint16_t et_exp_fine[128];   /* exp(-i / 1024) in Q15 */
extern const uint16_t et_log[257];        /* ln(1 + i / 256) in Q16 */

#endif
