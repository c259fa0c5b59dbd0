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
 * the GNU assembler encodes as the rounding VQRSHRN. Returns the largest magnitude of a step. */
static uint32_t update_blocks(int8_t *w, const int32_t *grad, int32_t half, et_key key,
                              uint32_t first, int32_t blocks, uint32_t largest) {
    register uint32_t counter __asm__("r4") = first / 4 + key.k0;
    __asm__ volatile(
        "vdup.32 q7,%[middle]\n\tdls lr,%[turns]\n1:\n\t"
        "vidup.u32 q4,%[counter],#1\n\t" FOLD CORE "veor q4,q4,q7\n\t" CORE FOLD
        "vld40.32 {q0,q1,q2,q3},[%[grad]]\n\tvld41.32 {q0,q1,q2,q3},[%[grad]]\n\t"
        "vld42.32 {q0,q1,q2,q3},[%[grad]]\n\tvld43.32 {q0,q1,q2,q3},[%[grad]]!\n\t"
        "vmovlb.u8 q5,q4\n\tvmovlt.u8 q4,q4\n\t"
        "vmovlb.u16 q6,q5\n\t" STEP("q0", "q6") "vmovlt.u16 q5,q5\n\t" STEP("q2", "q5")
        "vmovlb.u16 q6,q4\n\t" STEP("q1", "q6") "vmovlt.u16 q4,q4\n\t" STEP("q3", "q4")
        "vqmovnb.s32 q5,q0\n\tvqmovnt.s32 q5,q2\n\tvqmovnb.s32 q6,q1\n\tvqmovnt.s32 q6,q3\n\t"
        "vmaxav.s16 %[largest],q5\n\tvmaxav.s16 %[largest],q6\n\t"
        "vqmovnb.s16 q4,q5\n\tvqmovnt.s16 q4,q6\n\t"
        "vldrb.8 q0,[%[w]]\n\tvqsub.s8 q0,q0,q4\n\tvdup.8 q1,%[least]\n\tvmax.s8 q0,q0,q1\n\t"
        "vstrb.8 q0,[%[w]],#16\n\tle lr,1b"
        : [grad] "+r"(grad), [w] "+r"(w), [largest] "+r"(largest), [counter] "+r"(counter)
        : [turns] "r"(blocks), [middle] "r"(et_fold(key.k1)),
          [half] "r"(half), [least] "r"(-127), [c1] "r"(0x7feb352du),
          [c2] "r"(0x846ca68bu)
        : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "cc", "memory");
    return largest;
}

static uint32x4_t core(uint32x4_t word) {
    word = vmulq_n_u32(word, 0x7feb352du);
    return vmulq_n_u32(veorq_u32(word, vshrq_n_u32(word, 15)), 0x846ca68bu);
}

/* The same of a few weights at any place, four at a time; each lane makes its own word. */
static uint32_t update_few(int8_t *w, const int32_t *grad, int32_t half, et_key key,
                           uint32_t first, int32_t n, uint32_t largest) {
    const uint32x4_t middle = vdupq_n_u32(et_fold(key.k1));
    uint32x4_t index = vidupq_n_u32(first, 1);
    for (; n > 0; n -= 4, w += 4, grad += 4, index = vaddq_n_u32(index, 4)) {
        const mve_pred16_t lanes = vctp32q((uint32_t)n);
        uint32x4_t word = vaddq_n_u32(vshrq_n_u32(index, 2), key.k0);
        word = core(veorq_u32(word, vshrq_n_u32(word, 16)));
        word = core(veorq_u32(word, middle));
        word = veorq_u32(word, vshrq_n_u32(word, 16));
        /* Byte index % 4 goes to the top, by 24 - 8 * (index % 4) bits. */
        const uint32x4_t left = vshrq_n_u32(vshlq_n_u32(vmvnq_u32(index), 30), 27);
        word = vshrq_n_u32(vshlq_u32(word, vreinterpretq_s32_u32(left)), 24);
        int32x4_t step = vqrdmulhq_n_s32(vld1q_z_s32(grad, lanes), half);
        step = vshrq_n_s32(vaddq_s32(step, vreinterpretq_s32_u32(word)), 8);
        largest = vmaxavq_p_s32(largest, step, lanes);
        const int8x16_t old = vreinterpretq_s8_s32(vldrbq_z_s32(w, lanes));
        const int8x16_t moved = vqsubq_s8(old, vreinterpretq_s8_s32(et_saturate4(step)));
        const int8x16_t within = vmaxq_s8(moved, vdupq_n_s8(-INT8_MAX));
        vstrbq_p_s32(w, vreinterpretq_s32_s8(within), lanes);
    }
    return largest;
}

int32_t et_update_fast(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                       uint32_t first, int32_t n, int32_t *saturated) {
    const int32_t head = (int32_t)(-first & 3u), blocks = (n - head) / 16, half = multiplier * 128;
    int32_t done = 0;
    uint32_t largest = 0;
    if (multiplier >= 1 << 23)
        return 0;
    if (blocks > 0) {
        largest = update_few(w, grad, half, key, first, head, largest);
        largest = update_blocks(w + head, grad + head, half, key, first + (uint32_t)head, blocks,
                                largest);
        done = head + 16 * blocks;
    }
    largest = update_few(w + done, grad + done, half, key, first + (uint32_t)done, n - done, largest);
    if (largest > INT8_MAX)
        *saturated += et_update_row(NULL, grad, multiplier, key, first, n);
    return n;
}

#endif
