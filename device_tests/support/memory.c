/* What compilers call in freestanding programs. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int value, size_t n);
void *memmove(void *to, const void *from, size_t n);
int memcmp(const void *a, const void *b, size_t n);

/* The empty statements keep a compiler from making a call of memcpy of the loop in memcpy. */
#define KEEP __asm__ volatile("" ::: "memory")

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    uint8_t *a = to;
    const uint8_t *b = from;
    if ((((uintptr_t)a | (uintptr_t)b) & 3u) == 0)
        for (; n >= 4; a += 4, b += 4, n -= 4) {
            *(uint32_t __attribute__((may_alias)) *)(void *)a =
                *(const uint32_t __attribute__((may_alias)) *)(const void *)b;
            KEEP;
        }
    for (; n; n--) {
        *a++ = *b++;
        KEEP;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    uint8_t *a = to;
    const uint8_t *b = from;
    if ((uintptr_t)a <= (uintptr_t)b)
        return memcpy(to, from, n);
    while (n--) {
        a[n] = b[n];
        KEEP;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const uint8_t *p = a, *q = b;
    for (; n; n--, p++, q++) {
        if (*p != *q)
            return *p < *q ? -1 : 1;
        KEEP;
    }
    return 0;
}

void *memset(void *to, int value, size_t n) {
    uint8_t *a = to;
    const uint32_t word = (uint8_t)value * 0x01010101u;
    if (((uintptr_t)a & 3u) == 0)
        for (; n >= 4; a += 4, n -= 4) {
            *(uint32_t __attribute__((may_alias)) *)(void *)a = word;
            KEEP;
        }
    for (; n; n--) {
        *a++ = (uint8_t)value;
        KEEP;
    }
    return to;
}

#if defined(__arm__)
/* Names of Arm's ABI; __aeabi_memset has its arguments in another order. */
#define ALIGNED(suffix)                                                                       \
    void __aeabi_memcpy##suffix(void *to, const void *from, size_t n);                        \
    void __aeabi_memmove##suffix(void *to, const void *from, size_t n);                       \
    void __aeabi_memset##suffix(void *to, size_t n, int value);                               \
    void __aeabi_memclr##suffix(void *to, size_t n);                                          \
    void __aeabi_memcpy##suffix(void *to, const void *from, size_t n) { memcpy(to, from, n); } \
    void __aeabi_memmove##suffix(void *to, const void *from, size_t n) { memmove(to, from, n); } \
    void __aeabi_memset##suffix(void *to, size_t n, int value) { memset(to, value, n); }      \
    void __aeabi_memclr##suffix(void *to, size_t n) { memset(to, 0, n); }

ALIGNED()
ALIGNED(4)
ALIGNED(8)
#endif
