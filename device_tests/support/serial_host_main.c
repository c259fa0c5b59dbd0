/* A serial line over standard input and output: this computer as the board. */
#include <stdio.h>
#include <stdlib.h>

#include "serial.h"

void serial_put(uint8_t byte) {
    putchar(byte);
    fflush(stdout);
}

uint8_t serial_get(void) {
    const int byte = getchar();
    if (byte == EOF)
        exit(0);
    return (uint8_t)byte;
}

int main(void) {
    serial_run();
}
