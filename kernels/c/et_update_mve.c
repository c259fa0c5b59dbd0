#include "et_mve.h"

#if defined(ET_HELIUM)

enum { MASTER_BITS = 8, MASTER_MIN = -127 * 256 };

/* et_fold and et_core of four words. */
#define FOLD "vshr.u32 q5,q4,#16\n\tveor q4,q4,q5\n\t"
#define CORE                                                          \
    "vmul.i32 q4,q4,%[c1]\n\tvshr.u32 q5,q4,#15\n\tveor q4,q4,q5\n\t" \
    "vmul.i32 q4,q4,%[c2]\n\t"

/* A step with 8 fraction bits, to nearest, plus a random byte: exact while the multiplier, times
 * 256, or 65536 for masters, fits in int32. VQRDMULH doubles the product, so it gets half of
 * that. */
#define STEP(grad, octets)                                                     \
    "vqrdmulh.s32 " grad "," grad ",%[half]\n\tvadd.i32 " grad "," grad "," octets "\n\t" \
    "vshr.s32 " grad "," grad ",#8\n\t"

/* Sixteen steps, in q0 .. q3; q7 is the middle of the hash. Lane l of the hash is the word of
 * weights 4 l .. 4 l + 3; VLD4 delivers gradients alike, and narrowings put the steps back into
 * order: q5 has the even ones as int16, q6 the odd ones. VSHR and VQMOVN stand for VQSHRN, which
 * version 2.40 of the GNU assembler encodes as the rounding VQRSHRN. */
#define STEPS                                                                             \
    "vidup.u32 q4,%[counter],#1\n\t" FOLD CORE "veor q4,q4,q7\n\t" CORE FOLD              \
    "vld40.32 {q0,q1,q2,q3},[%[grad]]\n\tvld41.32 {q0,q1,q2,q3},[%[grad]]\n\t"            \
    "vld42.32 {q0,q1,q2,q3},[%[grad]]\n\tvld43.32 {q0,q1,q2,q3},[%[grad]]!\n\t"           \
    "vmovlb.u8 q5,q4\n\tvmovlt.u8 q4,q4\n\t"                                              \
    "vmovlb.u16 q6,q5\n\t" STEP("q0", "q6") "vmovlt.u16 q5,q5\n\t" STEP("q2", "q5")       \
    "vmovlb.u16 q6,q4\n\t" STEP("q1", "q6") "vmovlt.u16 q4,q4\n\t" STEP("q3", "q4")
#define NARROW \
    "vqmovnb.s32 q5,q0\n\tvqmovnt.s32 q5,q2\n\tvqmovnb.s32 q6,q1\n\tvqmovnt.s32 q6,q3\n\t"

/* Blocks of sixteen weights. Returns the largest magnitude of a step, in int16. */
ET_ALONE uint32_t update_blocks(int8_t *w, const int32_t *grad, int32_t half, et_key key,
                                uint32_t first, int32_t blocks, uint32_t largest) {
    register uint32_t counter __asm__("r4") = first / 4 + key.k0;
    __asm__ volatile(
        "vdup.32 q7,%[middle]\n\tdls lr,%[turns]\n1:\n\t"
        STEPS NARROW
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

/* The same for masters; magnitudes in int32. VLD2 parts even and odd ones, and VST2 joins them. */
ET_ALONE uint32_t update_master_blocks(int16_t *w, const int32_t *grad, int32_t half, et_key key,
                                       uint32_t first, int32_t blocks, uint32_t largest) {
    register uint32_t counter __asm__("r4") = first / 4 + key.k0;
    __asm__ volatile(
        "vdup.32 q7,%[middle]\n\tdls lr,%[turns]\n1:\n\t"
        STEPS
        "vmaxav.s32 %[largest],q0\n\tvmaxav.s32 %[largest],q1\n\t"
        "vmaxav.s32 %[largest],q2\n\tvmaxav.s32 %[largest],q3\n\t"
        NARROW
        "vld20.16 {q0,q1},[%[w]]\n\tvld21.16 {q0,q1},[%[w]]\n\tvdup.16 q2,%[least]\n\t"
        "vqsub.s16 q0,q0,q5\n\tvqsub.s16 q1,q1,q6\n\tvmax.s16 q0,q0,q2\n\tvmax.s16 q1,q1,q2\n\t"
        "vst20.16 {q0,q1},[%[w]]\n\tvst21.16 {q0,q1},[%[w]]!\n\tle lr,1b"
        : [grad] "+r"(grad), [w] "+r"(w), [largest] "+r"(largest), [counter] "+r"(counter)
        : [turns] "r"(blocks), [middle] "r"(et_fold(key.k1)),
          [half] "r"(half), [least] "r"(MASTER_MIN), [c1] "r"(0x7feb352du),
          [c2] "r"(0x846ca68bu)
        : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "cc", "memory");
    return largest;
}

/* Steps of four weights at any place, by any multiplier, before they saturate; each lane makes its
 * own word. Those of masters have 8 bits more, and are exact where they fit in int16. */
ET_INLINE int32x4_t four_steps(const int32_t *grad, int32_t multiplier, et_key key,
                               uint32x4_t index, mve_pred16_t lanes, int masters) {
    uint32x4_t word = et_random4(key, vshrq_n_u32(index, 2));
    /* Byte index % 4 goes to the top, by 24 - 8 * (index % 4) bits, and then to the bottom. */
    const uint32x4_t left = vshrq_n_u32(vshlq_n_u32(vmvnq_u32(index), 30), 27);
    word = vshrq_n_u32(vshlq_u32(word, vreinterpretq_s32_u32(left)), 24);
    uint32x4_t fraction = vsliq_n_u32(vdupq_n_u32(1u << 23), word, 24);
    if (masters)
        fraction = vshrq_n_u32(fraction, MASTER_BITS);
    const int32x4_t sum = vld1q_z_s32(grad, lanes), by = vdupq_n_s32(multiplier);
    const uint32x4_t low = vaddq_u32(vreinterpretq_u32_s32(vmulq_s32(sum, by)), fraction);
    int32x4_t high = vmulhq_s32(sum, by);
    high = vaddq_m_n_s32(high, high, 1, vcmphiq_u32(fraction, low)); /* the low half's carry */
    if (!masters)
        return high;
    const uint32x4_t finer = vreinterpretq_u32_s32(vqshlq_n_s32(high, MASTER_BITS));
    return vreinterpretq_s32_u32(vsriq_n_u32(finer, low, 32 - MASTER_BITS));
}

static uint32_t update_few(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                           uint32_t first, int32_t n, uint32_t largest) {
    uint32x4_t index = vidupq_n_u32(first, 1);
    for (; n > 0; n -= 4, w += 4, grad += 4, index = vaddq_n_u32(index, 4)) {
        const mve_pred16_t lanes = vctp32q((uint32_t)n);
        const int32x4_t step = four_steps(grad, multiplier, key, index, lanes, 0);
        largest = vmaxavq_p_s32(largest, step, lanes);
        const int8x16_t old = vreinterpretq_s8_s32(vldrbq_z_s32(w, lanes));
        const int8x16_t moved = vqsubq_s8(old, vreinterpretq_s8_s32(et_saturate4(step)));
        const int8x16_t within = vmaxq_s8(moved, vdupq_n_s8(-INT8_MAX));
        vstrbq_p_s32(w, vreinterpretq_s32_s8(within), lanes);
    }
    return largest;
}

static uint32_t update_few_masters(int16_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                                   uint32_t first, int32_t n, uint32_t largest) {
    uint32x4_t index = vidupq_n_u32(first, 1);
    for (; n > 0; n -= 4, w += 4, grad += 4, index = vaddq_n_u32(index, 4)) {
        const mve_pred16_t lanes = vctp32q((uint32_t)n);
        const int32x4_t step = four_steps(grad, multiplier, key, index, lanes, 1);
        largest = vmaxavq_p_s32(largest, step, lanes);
        const int16x8_t old = vreinterpretq_s16_s32(vldrhq_z_s32(w, lanes));
        const int16x8_t moved = vqsubq_s16(old, vqmovnbq_s32(vdupq_n_s16(0), step));
        const int16x8_t within = vmaxq_s16(moved, vdupq_n_s16(MASTER_MIN));
        vstrhq_p_s32(w, vreinterpretq_s32_s16(within), lanes);
    }
    return largest;
}

/* How many steps saturate. */
ET_COLD
static int32_t count_saturated(const int32_t *grad, int32_t multiplier, et_key key, uint32_t first,
                               int32_t n, int masters) {
    const int32_t most = masters ? INT16_MAX : INT8_MAX;
    uint32x4_t index = vidupq_n_u32(first, 1), count = vdupq_n_u32(0);
    for (; n > 0; n -= 4, grad += 4, index = vaddq_n_u32(index, 4)) {
        const mve_pred16_t lanes = vctp32q((uint32_t)n);
        const int32x4_t step = four_steps(grad, multiplier, key, index, lanes, masters);
        const mve_pred16_t above = vcmpgtq_m_n_s32(step, most, lanes);
        const mve_pred16_t below = vcmpltq_m_n_s32(step, -most - 1, lanes);
        count = vaddq_m_n_u32(count, count, 1, above | below);
    }
    return (int32_t)vaddvq_u32(count);
}

int32_t et_update_fast(int8_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                       uint32_t first, int32_t n, int32_t *saturated) {
    const int32_t head = (int32_t)(-first & 3u);
    const int32_t blocks = multiplier < 1 << 23 ? (n - head) / 16 : 0;
    int32_t done = 0;
    uint32_t largest = 0;
    if (blocks > 0) {
        largest = update_few(w, grad, multiplier, key, first, head, largest);
        largest = update_blocks(w + head, grad + head, multiplier * 128, key,
                                first + (uint32_t)head, blocks, largest);
        done = head + 16 * blocks;
    }
    largest = update_few(w + done, grad + done, multiplier, key, first + (uint32_t)done, n - done,
                         largest);
    if (largest > INT8_MAX)
        *saturated += count_saturated(grad, multiplier, key, first, n, 0);
    return n;
}

int32_t et_update_masters_fast(int16_t *w, const int32_t *grad, int32_t multiplier, et_key key,
                               uint32_t first, int32_t n, int32_t *saturated) {
    const int32_t head = (int32_t)(-first & 3u);
    const int32_t blocks = multiplier < 1 << 16 ? (n - head) / 16 : 0;
    int32_t done = 0;
    uint32_t largest = 0;
    if (blocks > 0) {
        largest = update_few_masters(w, grad, multiplier, key, first, head, largest);
        largest = update_master_blocks(w + head, grad + head, multiplier * 32768, key,
                                       first + (uint32_t)head, blocks, largest);
        done = head + 16 * blocks;
    }
    largest = update_few_masters(w + done, grad + done, multiplier, key, first + (uint32_t)done,
                                 n - done, largest);
    if (largest > INT16_MAX)
        *saturated += count_saturated(grad, multiplier, key, first, n, 1);
    return n;
}

int32_t et_visible_fast(const int16_t *w, int8_t *visible, int32_t n) {
    __asm__ volatile("wlstp.16 lr,%[n],2f\n1:\n\tvldrh.u16 q0,[%[w]],#16\n\t"
                     "vshr.s16 q0,q0,#8\n\tvstrb.16 q0,[%[visible]],#8\n\tletp lr,1b\n2:"
                     : [w] "+r"(w), [visible] "+l"(visible)
                     : [n] "r"(n)
                     : "q0", "lr", "cc", "memory");
    return n;
}

/* VRSHL rounds ties up; the sign that is added before makes it ties away from zero. It saturates:
 * the least number loses nothing then, for its quotient is whole. */
int32_t et_momentum_fast(int32_t *velocity, const int32_t *grad, int32_t decay, int32_t n) {
    if (decay == 0)
        return 0;
    __asm__ volatile("wlstp.32 lr,%[n],2f\n1:\n\tvldrw.u32 q0,[%[velocity]]\n\t"
                     "vshr.s32 q1,q0,#31\n\tvqadd.s32 q1,q1,q0\n\tvrshl.s32 q1,%[right]\n\t"
                     "vldrw.u32 q2,[%[grad]],#16\n\tvsub.i32 q0,q0,q1\n\tvqadd.s32 q0,q0,q2\n\t"
                     "vstrw.32 q0,[%[velocity]],#16\n\tletp lr,1b\n2:"
                     : [velocity] "+r"(velocity), [grad] "+r"(grad)
                     : [n] "r"(n), [right] "r"(-decay)
                     : "q0", "q1", "q2", "lr", "cc", "memory");
    return n;
}

#endif
