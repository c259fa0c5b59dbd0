/* Frames from and to files, for QEMU, and the deepest stack after each; its plugin counts between
 * the two marks. */
#include "frames.h"
#include "semihosting.h"

enum { PAINT = 0x5aa5a55a };

extern uint32_t __stack_start[], __stack_end[];

void run_frames(void);

#if defined(__arm__)
#define COUNT_FROM __asm__ volatile(".hword 0xbfd0" ::: "memory")
#define COUNT_TO __asm__ volatile(".hword 0xbfe0" ::: "memory")
#else
#define COUNT_FROM __asm__ volatile("slti x0,x0,0x70" ::: "memory")
#define COUNT_TO __asm__ volatile("slti x0,x0,0x71" ::: "memory")
#endif

static intptr_t open_file(const char *name, intptr_t mode, intptr_t length) {
    const intptr_t block[3] = {(intptr_t)name, mode, length};
    return host_call(OPEN, block);
}

/* Returns how many bytes are left over. */
static intptr_t transfer(intptr_t operation, intptr_t file, void *bytes, uint32_t n) {
    const intptr_t block[3] = {file, (intptr_t)bytes, (intptr_t)n};
    return host_call(operation, block);
}

/* Paints what lies below the stack of the caller; a volatile pointer, so that no call is made. */
static void paint_stack(void) {
    const uint32_t *const used = (const uint32_t *)__builtin_frame_address(0) - 64;
    for (volatile uint32_t *at = __stack_start; at < used; at++)
        *at = PAINT;
}

static uint32_t deepest_stack(void) {
    const uint32_t *at = __stack_start;
    while (at < __stack_end && *at == PAINT)
        at++;
    return (uint32_t)(__stack_end - at) * 4;
}

void run_frames(void) {
    const intptr_t in = open_file("in.bin", READ_BINARY, 6);
    const intptr_t out = open_file("out.bin", WRITE_BINARY, 7);
    const intptr_t stack = open_file("stack.bin", WRITE_BINARY, 9);
    uint32_t deepest;
    if (in < 0 || out < 0 || stack < 0)
        host_exit(97);
    paint_stack();
    while (transfer(READ, in, frame_in, frame_in_size) == 0) {
        COUNT_FROM;
        frame_run();
        COUNT_TO;
        deepest = deepest_stack();
        if (transfer(WRITE, out, frame_out, frame_out_size) != 0 ||
            transfer(WRITE, stack, &deepest, sizeof deepest) != 0)
            host_exit(98);
    }
    host_exit(0);
}
