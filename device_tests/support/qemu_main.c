/* Frames from and to files, for QEMU; its plugin counts between the two marks. */
#include "frames.h"
#include "semihosting.h"

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

void run_frames(void) {
    const intptr_t in = open_file("in.bin", READ_BINARY, 6);
    const intptr_t out = open_file("out.bin", WRITE_BINARY, 7);
    if (in < 0 || out < 0)
        host_exit(97);
    while (transfer(READ, in, frame_in, frame_in_size) == 0) {
        COUNT_FROM;
        frame_run();
        COUNT_TO;
        if (transfer(WRITE, out, frame_out, frame_out_size) != 0)
            host_exit(98);
    }
    host_exit(0);
}
