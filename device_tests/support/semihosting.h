/* Calls of the computer that emulates the core, on Cortex-M and RISC-V. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdint.h>

enum { OPEN = 1, PRINT = 4, WRITE = 5, READ = 6, EXIT = 0x20, READ_BINARY = 1, WRITE_BINARY = 5 };

static inline intptr_t host_call(intptr_t operation, const void *argument) {
#if defined(__arm__)
    register intptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt #0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
#else
    register intptr_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".balign 16\n.option push\n.option norvc\n"
                     "slli x0,x0,0x1f\nebreak\nsrai x0,x0,7\n.option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
#endif
}

static inline void host_exit(int status) {
    const intptr_t block[2] = {0x20026, status};
    host_call(EXIT, block);
    for (;;) {
    }
}

static inline void print_hex(const char *name, uint32_t value) {
    char digits[12] = {'='};
    host_call(PRINT, name);
    for (int i = 0; i < 8; i++)
        digits[1 + i] = "0123456789abcdef"[(value >> (28 - 4 * i)) & 15u];
    digits[9] = ' ';
    host_call(PRINT, digits);
}

#endif
