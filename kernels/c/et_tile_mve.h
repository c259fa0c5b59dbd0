/* What the training kernels for Helium share: bytes turned into planes, products of them, and sums
 * that become errors. Private to the kernels. */
#ifndef ET_TILE_MVE_H
#define ET_TILE_MVE_H

#include "et_mve.h"
#include "et_train.h"

#if defined(ET_HELIUM)

/* Channels that are turned at a time, and bytes of the plane of one. */
enum { ET_LANES = 8, ET_PLANE_MAX = UINT16_MAX / (ET_LANES - 1) };

/* Up to eight neighbouring bytes: which, and how far apart they go. */
typedef struct {
    uint16x8_t apart;
    uint32_t lanes;
} et_spray;

/* Plane c of `channels`, at most ET_LANES, begins at byte c * pitch; pitch <= ET_PLANE_MAX. */
ET_INLINE et_spray et_spray_to(int32_t pitch, int32_t channels) {
    const et_spray found = {vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)pitch),
                            vctp16q((uint32_t)channels)};
    return found;
}

/* Some channels of n pixels, `step` bytes from each other, go to planes, `next` bytes from each
 * other: six instructions a pixel. Returns where the next pixel would go. */
ET_INLINE int8_t *et_turn(int8_t *to, int32_t next, const et_spray *spray, const int8_t *from,
                          int32_t step, int32_t n) {
    uint32_t saved;
    __asm__ volatile("vmrs %[saved],p0\n\tvmsr p0,%[lanes]\n\twls lr,%[n],2f\n1:\n\tvpstt\n\t"
                     "vldrbt.s16 q0,[%[from]]\n\tvstrbt.16 q0,[%[to],%q[apart]]\n\t"
                     "add %[from],%[from],%[step]\n\tadd %[to],%[to],%[next]\n\tle lr,1b\n2:\n\t"
                     "vmsr p0,%[saved]"
                     : [from] "+l"(from), [to] "+r"(to), [saved] "=&r"(saved)
                     : [n] "r"(n), [step] "r"(step), [next] "r"(next), [apart] "w"(spray->apart),
                       [lanes] "r"(spray->lanes)
                     : "q0", "lr", "cc", "memory");
    return to;
}

/* Sum of n bytes. */
ET_INLINE int32_t et_total(const int8_t *x, int32_t n) {
    register int32_t sum __asm__("r4") = 0;
    __asm__ volatile("wlstp.8 lr,%[n],2f\n1:\n\tvldrb.8 q0,[%[x]],#16\n\tvaddva.s8 %[sum],q0\n\t"
                     "letp lr,1b\n2:"
                     : [x] "+r"(x), [sum] "+r"(sum)
                     : [n] "r"(n)
                     : "q0", "lr", "cc", "memory");
    return sum;
}

/* Whether each output sees just the pixel in its place. */
ET_INLINE int et_is_point(const et_window *v) {
    return v->kernel_height * v->kernel_width == 1 && v->top == 0 && v->left == 0 &&
           v->stride_down == 1 && v->stride_right == 1 && v->width == v->out_width &&
           v->height == v->out_height;
}

/* How sums become errors: shift is in [-31, 0]. */
typedef struct {
    int32_t multiplier, shift;
    int32_t sign;  /* the shift to the left that leaves the sign, or 0 where nothing is rounded */
    uint32_t peak; /* largest magnitude so far */
} et_reducer;

ET_INLINE et_reducer et_reducer_of(int32_t multiplier, int32_t shift) {
    const et_reducer found = {multiplier, shift, shift == 0 ? -32 : -31, 0};
    return found;
}

/* et_scale_error of four sums, in the low bytes; as et_requantize4, but for the ends. */
ET_INLINE int32x4_t et_reduce4(et_reducer *r, int32x4_t sum) {
    sum = vqrdmulhq_n_s32(sum, r->multiplier);
    const uint32x4_t sign = vshlq_u32(vreinterpretq_u32_s32(sum), vdupq_n_s32(r->sign));
    sum = vrshlq_n_s32(vsubq_s32(sum, vreinterpretq_s32_u32(sign)), r->shift);
    r->peak = vmaxavq_s32(r->peak, sum);
    return vmaxq_s32(vminq_s32(sum, vdupq_n_s32(127)), vdupq_n_s32(-127));
}

#endif
#endif
