/* A network on a board that is tested over a serial line: `edgetrain test-device`.
 *
 * Add all files of this folder to a project of your board, C99 with optimization, define the two
 * functions below for the port that your computer sees, at 8 bits, no parity, and call serial_run
 * from main when clock and port are set up:
 *
 *     int main(void) {
 *         start_clock_and_uart(115200);
 *         serial_run();
 *     }
 *
 * To have saves tested as well, give flash.c the flash of your board.
 */
#ifndef SERIAL_H
#define SERIAL_H

#include <stdint.h>

/* Yours: send a byte; wait while the port is busy. */
void serial_put(uint8_t byte);

/* Yours: wait for a byte and return it. Bytes that come while the network works may be lost. */
uint8_t serial_get(void);

/* Answers frames, for ever. */
void serial_run(void);

#endif
