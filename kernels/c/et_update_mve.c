#include "et_mve.h"

#if defined(ET_HELIUM)

/* et_fold and et_core of four words. */
#define FOLD "vshr.u32 q5,q4,#16\n\tveor q4,q4,q5\n\t"
#define CORE                                                          \
    "vmul.i32 q4,q4,%[c1]\n\tvshr.u32 q5,q4,#15\n\tveor q4,q4,q5\n\t" \
    "vmul.i32 q4,q4,%[c2]\n\t"

/* A step with 8 fraction bits, to nearest, plus a random byte: exact while the multiplier, times
 * 256, fits in int32. VQRDMULH doubles the product, so it gets half of that. */
#define STEP(grad, octets)                                                     \
    "vqrdmulh.s32 " grad "," grad ",%[half]\n\tvadd.i32 " grad "," grad "," octets "\n\t" \
    "vshr.s32 " grad "," grad ",#8\n\t"

/* Lane l of the hash is the word of weights 4 l .. 4 l + 3; VLD4 delivers gradients alike, and two
 * narrowings put the steps back into order. VSHR and VQMOVN stand for VQSHRN, which version 2.40 of
 * the GNU assembler encodes as the rounding VQRSHRN. */
int32_t et_update_fast(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                       uint32_t first, int32_t n, int32_t *saturated) {
    if (first % 4 != 0 || multiplier >= 1 << 23 || n < 16)
        return 0;
    const int32_t done = n / 16 * 16;
    const int32_t *g = grad;
    register uint32_t counter __asm__("r4") = first / 4 + key.k0;
    uint32_t largest = 0;
    __asm__ volatile(
        "vdup.32 q7,%[middle]\n\tdls lr,%[turns]\n1:\n\t"
        "vidup.u32 q4,%[counter],#1\n\t" FOLD CORE "veor q4,q4,q7\n\t" CORE FOLD
        "vld40.32 {q0,q1,q2,q3},[%[g]]\n\tvld41.32 {q0,q1,q2,q3},[%[g]]\n\t"
        "vld42.32 {q0,q1,q2,q3},[%[g]]\n\tvld43.32 {q0,q1,q2,q3},[%[g]]!\n\t"
        "vmovlb.u8 q5,q4\n\tvmovlt.u8 q4,q4\n\t"
        "vmovlb.u16 q6,q5\n\t" STEP("q0", "q6") "vmovlt.u16 q5,q5\n\t" STEP("q2", "q5")
        "vmovlb.u16 q6,q4\n\t" STEP("q1", "q6") "vmovlt.u16 q4,q4\n\t" STEP("q3", "q4")
        "vqmovnb.s32 q5,q0\n\tvqmovnt.s32 q5,q2\n\tvqmovnb.s32 q6,q1\n\tvqmovnt.s32 q6,q3\n\t"
        "vmaxav.s16 %[largest],q5\n\tvmaxav.s16 %[largest],q6\n\t"
        "vqmovnb.s16 q4,q5\n\tvqmovnt.s16 q4,q6\n\t"
        "vldrb.8 q0,[%[w]]\n\tvqsub.s8 q0,q0,q4\n\tvdup.8 q1,%[least]\n\tvmax.s8 q0,q0,q1\n\t"
        "vstrb.8 q0,[%[w]],#16\n\tle lr,1b"
        : [g] "+r"(g), [w] "+r"(w), [largest] "+r"(largest), [counter] "+r"(counter)
        : [turns] "r"(done / 16), [middle] "r"(et_fold(key.k1)),
          [half] "r"(multiplier * 128), [least] "r"(-127), [c1] "r"(0x7feb352du),
          [c2] "r"(0x846ca68bu)
        : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "cc", "memory");
    if (largest > INT8_MAX)
        *saturated += et_update_row(NULL, grad, multiplier, key, first, done);
    return done;
}

#endif
