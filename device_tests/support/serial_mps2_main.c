/* A serial line over the first UART (CMSDK) of Arm's MPS2 boards, which QEMU emulates. */
#include "serial.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define DATA REGISTER(0x40004000u)
#define STATE REGISTER(0x40004004u)
#define CONTROL REGISTER(0x40004008u)
#define DIVIDER REGISTER(0x40004010u)
#define MPU_CONTROL REGISTER(0xE000ED94u)

enum { SEND_FULL = 1, RECEIVED = 2, SEND_AND_RECEIVE = 3 };

void run_frames(void);

void serial_put(uint8_t byte) {
    while (STATE & SEND_FULL) {
    }
    DATA = byte;
}

uint8_t serial_get(void) {
    while (!(STATE & RECEIVED)) {
    }
    return (uint8_t)DATA;
}

void run_frames(void) {
    MPU_CONTROL = 0; /* it opens memory, not the UART */
    DIVIDER = 16;
    CONTROL = SEND_AND_RECEIVE;
    serial_run();
}
