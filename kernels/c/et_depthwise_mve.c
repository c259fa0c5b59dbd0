#include "et_mve.h"

#if defined(ET_HELIUM)

/* Kernels of 3 x 3, stride 1 or 2, eight channels at a time. Rows are turned into a plane a
 * channel, so that lanes are four columns and a weight is one number: VMLA takes a vector times a
 * number. A step has the image's rows r .. r + 3; it gives two rows of results with stride 1 and
 * one with stride 2, and the next step begins two rows further down. */
enum { KERNEL = 3, CHANNELS = 8, ROWS = 4 };

typedef struct {
    const et_window *window;
    int8_t *planes;      /* [CHANNELS][ROWS][pitch]; the two pairs of rows change places */
    int32_t pitch, half; /* bytes of a row; with stride 2 odd columns follow even ones, at half */
    int32_t zero_point;
} strip;

/* Bring row `row` of the image to row `at` of the planes; rows outside are zero points. */
static void spread(const strip *s, const int8_t *x, int32_t row, int32_t at) {
    const et_window *v = s->window;
    const uint32_t word = (uint32_t)(s->zero_point & 255) * 0x01010101u;
    const uint32_t outside[CHANNELS / 4] = {word, word};
    const uint16x8_t apart = vmulq_n_u16(vidupq_n_u16(0, 1), (uint16_t)(ROWS * s->pitch));
    const int inside = row >= 0 && row < v->height;
    const int8_t *from =
        inside ? x + row * v->width * v->n_in : (const int8_t *)(const void *)outside;
    const int32_t next = inside ? v->n_in : 0, half = s->half;
    int8_t *to = s->planes + at * s->pitch;
    int32_t c = v->left;
    const int32_t end = et_min(v->left + v->width, s->pitch);
    if (v->stride_right == 1) {
        for (; c < end; c++, from += next)
            vstrbq_scatter_offset_s16(to + c, apart, vldrbq_s16(from));
    } else {
        for (; c < end; c++, from += next)
            vstrbq_scatter_offset_s16(to + (c & 1) * half + (c >> 1), apart, vldrbq_s16(from));
    }
}

/* What a channel needs besides its planes, and at which byte: the weights column by column with
 * stride 1, row by row with stride 2. */
typedef struct {
    int32_t w[KERNEL * KERNEL]; /* 0 */
    int32_t start;              /* 36 */
    int32_t multiplier, shift;  /* 40, 44 */
    int32_t zero_point;         /* 48 */
    int32_t step;               /* 52: from four columns of results to the next four */
} channel;

/* Channel o; three weights that lie together are `apart` from each other. */
static void prepare(channel *c, const int8_t *w, const int32_t *start, const et_output *output,
                    int32_t o, int32_t step, int32_t apart) {
    int32_t *to = c->w;
    w += o * KERNEL * KERNEL;
    for (const int32_t *end = to + KERNEL * KERNEL; to != end; to += KERNEL) {
        to[0] = w[0];
        to[1] = w[apart];
        to[2] = w[2 * apart];
        w += KERNEL + 1 - apart;
    }
    c->start = start[o];
    c->multiplier = output->multiplier[o];
    c->shift = output->shift[o];
    c->zero_point = output->zero_point;
    c->step = step;
}

/* Weights of a column of the kernel; `at` counts bytes, `last` is that of the third. */
#define WEIGHTS(at, last) "ldrd %[w0],%[w1],[%[c],#" at "]\n\tldr %[w2],[%[c],#" last "]\n\t"
/* Four columns of a row, widened; the pointer goes on. */
#define LOAD(line, on) "vldrb.s32 q2,[%[" line "]],#" on "\n\t"
#define ADD(acc, weight) "vmla.s32 " acc ",q2,%[" weight "]\n\t"

/* A tap of all rows of the kernel, for two rows of results in q0 and q1. */
#define TAP(on)                                                             \
    LOAD("a0", on) ADD("q0", "w0") LOAD("a1", on) ADD("q0", "w1") ADD("q1", "w0") \
    LOAD("b0", on) ADD("q0", "w2") ADD("q1", "w1") LOAD("b1", on) ADD("q1", "w2")

/* et_requantize4_n, in two halves: w0 is the multiplier of the first and the zero point of the
 * second, w1 the shift. */
#define SCALE "ldrd %[w0],%[w1],[%[c],#40]\n\t"
#define MULTIPLY(acc) "vqrdmulh.s32 " acc "," acc ",%[w0]\n\t"
#define ZERO_POINT "ldr %[w0],[%[c],#48]\n\t"
#define SHIFT(acc)                                                            \
    "vshr.s32 q3," acc ",#31\n\tvadd.i32 " acc "," acc ",q3\n\t"              \
    "vrshl.s32 " acc ",%[w1]\n\tvadd.i32 " acc "," acc ",%[w0]\n\t"           \
    "vqmovnb.s32 " acc "," acc "\n\tvqmovnb.s16 " acc "," acc "\n\t"

/* Two rows of results of one channel, stride 1; `down` leads to the second, or is 0: then the
 * first is written over it. */
ET_INLINE void two_rows(const channel *c, const int8_t *a0, const int8_t *b0, int32_t pitch,
                        int8_t *y, int32_t columns, int32_t n_out, int32_t down) {
    const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)n_out);
    const uint32x4_t below = vaddq_n_u32(apart, (uint32_t)down);
    const int8_t *a1 = a0 + pitch, *b1 = b0 + pitch;
    register int32_t turns __asm__("lr") = columns;
    int32_t w0, w1, w2;
    __asm__ volatile(
        "dlstp.32 lr,lr\n1:\n\tldr %[w2],[%[c],#36]\n\tvdup.32 q0,%[w2]\n\tvmov q1,q0\n\t"
        WEIGHTS("0", "8") TAP("1") WEIGHTS("12", "20") TAP("1") WEIGHTS("24", "32") TAP("2")
        SCALE MULTIPLY("q1") MULTIPLY("q0") ZERO_POINT SHIFT("q1") SHIFT("q0")
        "vstrb.32 q1,[%[y],%q[below]]\n\tvstrb.32 q0,[%[y],%q[apart]]\n\t"
        "add %[y],%[y],%[step]\n\tletp lr,1b"
        : [a0] "+l"(a0), [a1] "+l"(a1), [b0] "+l"(b0), [b1] "+l"(b1), [y] "+r"(y),
          "+r"(turns), [w0] "=&r"(w0), [w1] "=&r"(w1), [w2] "=&r"(w2)
        : [c] "r"(c), [step] "r"(4 * n_out), [apart] "w"(apart), [below] "w"(below)
        : "q0", "q1", "q2", "q3", "cc", "memory");
}

/* A row of the kernel's rows, where even and odd columns lie apart. */
#define LINE(even, odd, at, last) \
    "ldrd %[w0],%[w1],[%[c],#" at "]\n\t" LOAD(even, "1") ADD("q0", "w0") \
    "ldr %[w0],[%[c],#" last "]\n\t" LOAD(odd, "4") ADD("q0", "w1") LOAD(even, "3") ADD("q0", "w0")

/* One row of results of one channel, stride 2; the weights lie row by row. Widening loads need low
 * registers, of which a frame's pointer takes one: all that can is in high ones. */
ET_INLINE void one_row(const channel *c, const int8_t *a0, const int8_t *b0, int32_t pitch,
                       int32_t half, int8_t *y, int32_t columns, int32_t n_out) {
    const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)n_out);
    const int8_t *a1 = a0 + pitch, *odd0 = a0 + half, *odd1 = a1 + half, *odd2 = b0 + half;
    register int32_t turns __asm__("lr") = columns;
    int32_t w0, w1;
    __asm__ volatile(
        "dlstp.32 lr,lr\n1:\n\tldr %[w0],[%[c],#36]\n\tvdup.32 q0,%[w0]\n\t"
        LINE("a0", "odd0", "0", "8") LINE("a1", "odd1", "12", "20") LINE("b0", "odd2", "24", "32")
        SCALE MULTIPLY("q0") ZERO_POINT SHIFT("q0")
        "vstrb.32 q0,[%[y],%q[apart]]\n\t"
        "ldr %[w0],[%[c],#52]\n\tadd %[y],%[y],%[w0]\n\tletp lr,1b"
        : [a0] "+l"(a0), [a1] "+l"(a1), [b0] "+l"(b0), [odd0] "+l"(odd0), [odd1] "+l"(odd1),
          [odd2] "+l"(odd2), [y] "+h"(y), "+r"(turns), [w0] "=&h"(w0), [w1] "=&h"(w1)
        : [c] "h"(c), [apart] "w"(apart)
        : "q0", "q2", "q3", "cc", "memory");
}

/* Eight channels, from number `first` on. */
static void eight_channels(const strip *s, const int8_t *x, const int8_t *w, const int32_t *start,
                           const et_output *output, int8_t *y, int32_t first) {
    const et_window *v = s->window;
    const int32_t stride = v->stride_down, columns = v->out_width, n_out = v->n_out;
    const int32_t row = columns * n_out, pitch = s->pitch, half = s->half;
    const int8x16_t zeros = vdupq_n_s8((int8_t)s->zero_point);
    channel c[CHANNELS];
    for (int32_t o = 0; o < CHANNELS; o++)
        prepare(&c[o], w, start, output, first + o, 4 * n_out, stride == 1 ? KERNEL : 1);
    for (int8_t *to = s->planes, *end = to + CHANNELS * ROWS * pitch; to != end; to += 16)
        vst1q_s8(to, zeros);
    x += first;
    y += first;
    spread(s, x, -v->top, 0);
    spread(s, x, -v->top + 1, 1);
    int32_t above = 0;
    for (int32_t p = 0; p < v->out_height; p += KERNEL - stride, y += (KERNEL - stride) * row) {
        const int32_t next = p * stride - v->top + 2;
        spread(s, x, next, 2 - above);
        spread(s, x, next + 1, 3 - above);
        const int8_t *a = s->planes + above * pitch, *b = s->planes + (2 - above) * pitch;
        int8_t *to = y;
        const int32_t down = p + 1 < v->out_height ? row : 0;
        for (const channel *k = c; k != c + CHANNELS; k++, to++) {
            if (stride == 1)
                two_rows(k, a, b, pitch, to, columns, n_out, down);
            else
                one_row(k, a, b, pitch, half, to, columns, n_out);
            a += ROWS * pitch;
            b += ROWS * pitch;
        }
        above = 2 - above;
    }
}

int et_depthwise_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                      const et_output *output, int8_t *y, const et_window *window, void *scratch) {
    const et_window *v = window;
    if (scratch == NULL || v->groups != v->n_in || v->n_in != v->n_out ||
        !et_fits_mve(output, v->n_out))
        return 0;
    if (v->n_in < CHANNELS || v->kernel_height != KERNEL || v->kernel_width != KERNEL ||
        v->stride_down > 2 || v->stride_right != v->stride_down) {
        et_channels_mve(x, w, start, x_zero_point, output, y, v);
    } else {
        const int32_t columns = (v->out_width + 3) / 4 * 4;
        const strip s = {v, scratch, columns * v->stride_right + 2, columns + 1, x_zero_point};
        for (int32_t first = 0; first < v->n_in; first += CHANNELS) /* the last may overlap */
            eight_channels(&s, x, w, start, output, y, et_min(first, v->n_in - CHANNELS));
    }
    et_activate_mve(output, y, v->out_height * v->out_width * v->n_out);
    return 1;
}

#endif
