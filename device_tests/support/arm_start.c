/* Start of a Cortex-M: vectors, memory protection, a report of faults. */
#include <stddef.h>
#include <stdint.h>

#include "semihosting.h"

extern uint32_t __data_load[], __data_start[], __data_end[], __bss_start[], __bss_end[];
extern uint32_t __state_start[], __state_end[], __arena_start[], __arena_end[];
extern uint32_t __frames_start[], __frames_end[], __stack_start[], __stack_end[];

void reset(void);
void start(void);
void fault(void);
void report(const uint32_t *pushed, const uint32_t *high, uint32_t sp);
void run_frames(void);

/* A fault may come of a stack that has run over, so it is reported on another. */
uint32_t fault_stack[128];

#define EIGHT(x) (x), (x), (x), (x), (x), (x), (x), (x)
__attribute__((section(".vectors"), used)) const void *const vectors[16] = {
    __stack_end,         (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault, (const void *)fault,
    EIGHT((const void *)fault),
};

enum { READ_ONLY, READ_WRITE };
#define SYSTEM(address) (*(volatile uint32_t *)(address))
#define MPU_TYPE SYSTEM(0xE000ED90u)
#define MPU_CONTROL SYSTEM(0xE000ED94u)
#define MPU_NUMBER SYSTEM(0xE000ED98u)
#define MPU_BASE SYSTEM(0xE000ED9Cu)
#define MPU_LIMIT SYSTEM(0xE000EDA0u)
#define FAULT_STATUS SYSTEM(0xE000ED28u)
#define MEMORY_ADDRESS SYSTEM(0xE000ED34u)
#define BUS_ADDRESS SYSTEM(0xE000ED38u)

static uint32_t regions;

#if __ARM_ARCH >= 8
/* Opens [from, to), to 32 bytes. */
static void open_memory(uint32_t from, uint32_t to, int access, int most) {
    (void)most;
    MPU_NUMBER = regions++;
    MPU_BASE = from | (access == READ_ONLY ? 3u << 1 : 1u << 1 | 1u);
    MPU_LIMIT = ((to - 1u) & ~31u) | 1u;
}
#else
/* Opens [from, to), from a multiple of 32, with at most so many regions: of eighths of a power of
 * two each; the last of them may open a little more. */
static void open_memory(uint32_t from, uint32_t to, int access, int most) {
    for (; from < to && most > 0; most--) {
        uint32_t log = 8;
        while ((1u << log) < to - from)
            log++;
        const uint32_t eighth = 1u << (log - 3), base = from & ~((1u << log) - 1u);
        const uint32_t first = (from - base) / eighth, whole = (to - from) / eighth;
        uint32_t end = first + whole + ((to - from) % eighth && (most == 1 || log == 8));
        end = end < 8 ? end : 8;
        MPU_NUMBER = regions++;
        MPU_BASE = base;
        MPU_LIMIT = (access == READ_ONLY ? 6u << 24 : 3u << 24 | 1u << 28) |
                    (0xffu & ~((0xffu << first) & ~(0xffu << end))) << 8 | (log - 1) << 1 | 1u;
        from = base + end * eighth;
    }
}
#endif

#define ADDRESS(symbol) ((uint32_t)(uintptr_t)(symbol))

/* Everything but these regions faults; a Cortex-M0 has no such protection. */
static void protect(void) {
    if (MPU_TYPE == 0)
        return;
#if __ARM_ARCH >= 8
    SYSTEM(0xE000EDC0u) = 0x44; /* one kind of memory: not cached */
#endif
    const uint32_t flash = ADDRESS(vectors);
    open_memory(flash, flash + (4u << 20), READ_ONLY, 1);
    open_memory(ADDRESS(__frames_start), ADDRESS(__frames_end), READ_WRITE, 1);
    open_memory(ADDRESS(__stack_start), ADDRESS(__stack_end), READ_WRITE, 1);
    open_memory(ADDRESS(__state_start), ADDRESS(__state_end), READ_WRITE, 2);
    if (ADDRESS(__arena_end) != ADDRESS(__arena_start))
        open_memory(ADDRESS(__arena_start), ADDRESS(__arena_end), READ_WRITE, 3);
    MPU_CONTROL = 1;
    __asm__ volatile("dsb\n\tisb");
}

__attribute__((used)) void start(void) {
    for (uint32_t *from = __data_load, *to = __data_start; to < __data_end;)
        *to++ = *from++;
    for (uint32_t *to = __bss_start; to < __bss_end;)
        *to++ = 0;
    protect();
    run_frames();
}

/* Helium is switched on before the first loop, which the compiler may have made of it. */
__attribute__((naked, used)) void reset(void) {
#if defined(__ARM_FEATURE_MVE)
    __asm__ volatile("ldr r0,=0xE000ED88\n\tldr r1,[r0]\n\torr r1,r1,#0xf00000\n\t"
                     "str r1,[r0]\n\tdsb\n\tisb");
#endif
    __asm__ volatile("bl start\n\t.ltorg");
}

__attribute__((naked, used)) void fault(void) {
    __asm__ volatile("mov r0,sp\n\tmov r2,sp\n\tldr r1,=fault_stack+512\n\tmov sp,r1\n\t"
                     "push {r4-r7}\n\tmov r1,sp\n\tbl report\n\t.ltorg");
}

__attribute__((used)) void report(const uint32_t *pushed, const uint32_t *high, uint32_t sp) {
    static const char *const names[8] = {"r0", "r1", "r2", "r3", "r12", "lr", "pc", "psr"};
    static const char *const others[4] = {"r4", "r5", "r6", "r7"};
    host_call(PRINT, "FAULT ");
#if __ARM_ARCH >= 7
    const uint32_t status = FAULT_STATUS;
    if (status & (1u << 7 | 1u << 15))
        print_hex("address", status & 1u << 7 ? MEMORY_ADDRESS : BUS_ADDRESS);
    print_hex("status", status);
#endif
    for (int i = 0; i < 8; i++)
        print_hex(names[i], pushed[i]);
    for (int i = 0; i < 4; i++)
        print_hex(others[i], high[i]);
    print_hex("sp", sp + 32);
    host_call(PRINT, "\n");
    host_exit(99);
}
