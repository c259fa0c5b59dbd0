/* Start of a RISC-V core in machine mode: memory protection, a report of traps. */
#include <stdint.h>

#include "semihosting.h"

extern uint32_t __data_load[], __data_start[], __data_end[], __bss_start[], __bss_end[];
extern uint32_t __state_start[], __state_end[], __arena_start[], __arena_end[];
extern uint32_t __frames_start[], __frames_end[], __stack_start[], __stack_end[];

void reset(void);
void start(void);
void trap(void);
void report(const uint32_t *registers);
void run_frames(void);

uint32_t fault_stack[128];

__asm__(".option arch,+zicsr"); /* not a part of the name by which gcc finds its libraries */

#define WRITE_CSR(name, value) __asm__ volatile("csrw " name ",%0" ::"r"(value) : "memory")
#define OPEN_MEMORY(even, odd, from, to)                 \
    do {                                                 \
        WRITE_CSR("pmpaddr" even, (uint32_t)(from) >> 2); \
        WRITE_CSR("pmpaddr" odd, (uint32_t)(to) >> 2);    \
    } while (0)

/* Everything but these regions traps; to 4 bytes. */
static void protect(void) {
    const uint32_t flash = (uint32_t)reset & ~0xfffffu;
    OPEN_MEMORY("0", "1", flash, flash + (4u << 20));
    OPEN_MEMORY("2", "3", __state_start, __state_end);
    OPEN_MEMORY("4", "5", __arena_start, (uint32_t)__arena_end + 3u);
    OPEN_MEMORY("6", "7", __frames_start, __frames_end);
    OPEN_MEMORY("8", "9", __stack_start, __stack_end);
    WRITE_CSR("pmpaddr10", 0xffffffffu);
    WRITE_CSR("pmpcfg0", 0x8B008D00u); /* locked: state read-write, flash read-execute */
    WRITE_CSR("pmpcfg1", 0x8B008B00u);
    WRITE_CSR("pmpcfg2", 0x00988B00u); /* the rest closed */
}

__attribute__((used)) void start(void) {
    for (uint32_t *from = __data_load, *to = __data_start; to < __data_end;)
        *to++ = *from++;
    for (uint32_t *to = __bss_start; to < __bss_end;)
        *to++ = 0;
    protect();
    run_frames();
}

__attribute__((naked, section(".vectors"), used)) void reset(void) {
    __asm__ volatile(".option push\n.option norelax\nla gp,__global_pointer$\n.option pop\n"
                     "la sp,__stack_end\nla t0,trap\ncsrw mtvec,t0\nj start");
}

/* Saves x1 to x15 in the first words of fault_stack; its end is the stack of the report. */
__attribute__((naked, aligned(4), used)) void trap(void) {
    __asm__ volatile("csrw mscratch,t0\nla t0,fault_stack\n"
                     "sw x1,4(t0)\nsw x2,8(t0)\nsw x3,12(t0)\nsw x4,16(t0)\nsw x6,24(t0)\n"
                     "sw x7,28(t0)\nsw x8,32(t0)\nsw x9,36(t0)\nsw x10,40(t0)\nsw x11,44(t0)\n"
                     "sw x12,48(t0)\nsw x13,52(t0)\nsw x14,56(t0)\nsw x15,60(t0)\n"
                     "csrr t1,mscratch\nsw t1,20(t0)\n"
                     "addi sp,t0,512\nmv a0,t0\nj report");
}

__attribute__((used)) void report(const uint32_t *registers) {
    static const char *const names[16] = {"zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2",
                                          "s0",   "s1", "a0", "a1", "a2", "a3", "a4", "a5"};
    uint32_t pc, address, cause;
    __asm__ volatile("csrr %0,mepc\ncsrr %1,mtval\ncsrr %2,mcause"
                     : "=r"(pc), "=r"(address), "=r"(cause));
    host_call(PRINT, "FAULT ");
    if (cause == 5 || cause == 7 || cause == 4 || cause == 6)
        print_hex("address", address);
    print_hex("status", cause);
    print_hex("pc", pc);
    for (int i = 1; i < 16; i++)
        print_hex(names[i], registers[i]);
    host_call(PRINT, "\n");
    host_exit(99);
}
