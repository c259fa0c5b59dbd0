#include "et_dsp.h"
#include "et_view.h"

#if defined(ET_DSP)

/* Kernels of 3 x 3, stride 1 or 2, four channels at a time. A word holds two rows of a column of
 * one channel, so that one SMLAD takes two rows of the kernel. A step has two such pairs of rows,
 * the image's rows r .. r + 3; it gives two rows of results with stride 1 and one with stride 2,
 * and the next step begins two rows further down. */
enum { KERNEL = 3, CHANNELS = 4 };

typedef struct {
    const et_window *window;
    uint32_t *pairs[2]; /* [CHANNELS][pitch]: rows r, r + 1 and r + 2, r + 3 */
    int32_t pitch;      /* columns, padding among them */
    int32_t zero_point;
} strip;

/* Weights of a channel, (row 0, row 1) and (row 1, row 2) of each column; doubled multiplier. */
typedef struct {
    uint32_t columns[KERNEL][2];
    int32_t start, twice, right;
} channel;

/* Widen rows r and r + 1 of four channels, column by column; rows outside are zero points. */
static void spread(const strip *s, uint32_t *to, const int8_t *x, int32_t row) {
    const et_window *v = s->window;
    const uint32_t outside = (uint32_t)(s->zero_point & 255) * 0x01010101u;
    const int8_t *rows[2];
    int32_t next[2];
    for (int32_t i = 0; i < 2; i++) {
        const int inside = row + i >= 0 && row + i < v->height;
        rows[i] = inside ? x + (row + i) * v->width * v->n_in : (const int8_t *)&outside;
        next[i] = inside ? v->n_in : 0;
    }
    const int8_t *a = rows[0], *b = rows[1];
    to += v->left;
    const int32_t pitch = s->pitch;
    for (int32_t left = et_min(v->width, pitch - v->left); left > 0; left--, to++) {
        const uint32_t top = et_load4(a), bottom = et_load4(b);
        const uint32_t low = et_pkhbt(top, bottom), high = et_pkhtb(bottom, top);
        to[0] = et_sxtb16(low);
        to[pitch] = et_sxtb16_odd(low);
        to[2 * pitch] = et_sxtb16(high);
        to[3 * pitch] = et_sxtb16_odd(high);
        a += next[0];
        b += next[1];
    }
}

static channel prepare(const int8_t *w, int32_t start, int32_t multiplier, int32_t shift) {
    channel c = {.start = start, .twice = (int32_t)((uint32_t)multiplier * 2), .right = -shift};
    for (int32_t j = 0; j < KERNEL; j++, w++) {
        c.columns[j][0] = et_pkhbt((uint32_t)w[0], (uint32_t)w[KERNEL]);
        c.columns[j][1] = et_pkhbt((uint32_t)w[KERNEL], (uint32_t)w[2 * KERNEL]);
    }
    return c;
}

#define LOAD2(a, b, at, offset)                           \
    __asm__ volatile("ldrd %0,%1,[%2,#" offset "]"        \
                     : "=r"(a), "=r"(b)                   \
                     : "r"(at)                            \
                     : "memory")

/* A column of the kernel: rows r .. r + 2, and r + 1 .. r + 3 below. */
#define ABOVE(acc, p, q) acc = et_smlabt(q, v, et_smlad(p, u, acc))
#define BELOW(acc, p, q) acc = et_smlad(q, v, et_smlatb(p, u, acc))
#define SCALE(acc) et_scale_dsp(acc, c->twice, c->right, zero_point)

/* Two rows of results of one channel, stride 1; `down` leads to the second, or is 0. */
static void two_rows(const channel *c, const uint32_t *p, const uint32_t *q, int32_t zero_point,
                     int8_t *y, int32_t columns, int32_t pitch, int32_t down) {
    for (; columns > 0; columns -= 2, p += 2, q += 2, y += 2 * pitch) {
        int32_t a = c->start, b = a, below_a = a, below_b = a;
        uint32_t u, v, p0, p1, q0, q1;
        LOAD2(u, v, c, "0");
        LOAD2(p0, p1, p, "0");
        LOAD2(q0, q1, q, "0");
        ABOVE(a, p0, q0);
        BELOW(below_a, p0, q0);
        ABOVE(b, p1, q1);
        BELOW(below_b, p1, q1);
        LOAD2(u, v, c, "8");
        ABOVE(a, p1, q1);
        BELOW(below_a, p1, q1);
        LOAD2(p0, p1, p, "8");
        LOAD2(q0, q1, q, "8");
        ABOVE(b, p0, q0);
        BELOW(below_b, p0, q0);
        LOAD2(u, v, c, "16");
        ABOVE(a, p0, q0);
        BELOW(below_a, p0, q0);
        ABOVE(b, p1, q1);
        BELOW(below_b, p1, q1);
        /* what does not exist is overwritten by what does */
        int8_t *right = columns > 1 ? y + pitch : y;
        right[down] = SCALE(below_b);
        y[down] = SCALE(below_a);
        right[0] = SCALE(b);
        y[0] = SCALE(a);
    }
}

/* One row of results of one channel, stride 2. */
static void one_row(const channel *c, const uint32_t *p, const uint32_t *q, int32_t zero_point,
                    int8_t *y, int32_t columns, int32_t pitch) {
    for (; columns > 0; columns -= 2, p += 4, q += 4, y += 2 * pitch) {
        int32_t a = c->start, b = a;
        uint32_t u, v, p0, p1, q0, q1;
        LOAD2(u, v, c, "0");
        LOAD2(p0, p1, p, "0");
        LOAD2(q0, q1, q, "0");
        ABOVE(a, p0, q0);
        LOAD2(u, v, c, "8");
        ABOVE(a, p1, q1);
        LOAD2(p0, p1, p, "8");
        LOAD2(q0, q1, q, "8");
        ABOVE(b, p1, q1);
        LOAD2(u, v, c, "16");
        ABOVE(a, p0, q0);
        ABOVE(b, p[4], q[4]);
        LOAD2(u, v, c, "0");
        ABOVE(b, p0, q0);
        int8_t *right = columns > 1 ? y + pitch : y;
        right[0] = SCALE(b);
        y[0] = SCALE(a);
    }
}

/* Four channels, from number `first` on. */
static void four_channels(strip *s, const int8_t *x, const int8_t *w, const int32_t *start,
                          const et_output *output, int8_t *y, int32_t first) {
    const et_window *v = s->window;
    const uint32_t zeros = (uint32_t)(s->zero_point & 0xffff) * 0x10001u;
    const int32_t stride = v->stride_down, down = v->out_width * v->n_out;
    channel c[CHANNELS];
    for (int32_t o = 0; o < CHANNELS; o++)
        c[o] = prepare(w + (first + o) * KERNEL * KERNEL, start[first + o],
                       output->multiplier[first + o], output->shift[first + o]);
    for (int32_t i = 0; i < CHANNELS * s->pitch; i++)
        s->pairs[0][i] = s->pairs[1][i] = zeros;
    spread(s, s->pairs[0], x + first, -v->top);
    y += first;
    for (int32_t p = 0; p < v->out_height; p += KERNEL - stride, y += (KERNEL - stride) * down) {
        uint32_t *above = s->pairs[0], *below = s->pairs[1];
        spread(s, below, x + first, p * stride - v->top + 2);
        for (int32_t o = 0; o < CHANNELS; o++) {
            const uint32_t *a = above + o * s->pitch, *b = below + o * s->pitch;
            if (stride == 1)
                two_rows(&c[o], a, b, output->zero_point, y + o, v->out_width, v->n_out,
                         p + 1 < v->out_height ? down : 0);
            else
                one_row(&c[o], a, b, output->zero_point, y + o, v->out_width, v->n_out);
        }
        s->pairs[0] = below;
        s->pairs[1] = above;
    }
}

int et_depthwise_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                      const et_output *output, int8_t *y, const et_window *window, void *scratch) {
    const et_window *v = window;
    if (v->groups != v->n_in || v->n_in != v->n_out || v->n_in < CHANNELS ||
        v->kernel_height != KERNEL || v->kernel_width != KERNEL || v->stride_down > 2 ||
        v->stride_right != v->stride_down)
        return 0;
    const int32_t pitch = (v->out_width + 1) / 2 * 2 * v->stride_right + 2;
    uint32_t *pairs = scratch;
    strip s = {v, {pairs, pairs + CHANNELS * pitch}, pitch, x_zero_point};
    for (int32_t first = 0; first < v->n_in; first += CHANNELS) /* the last four may overlap */
        four_channels(&s, x, w, start, output, y, et_min(first, v->n_in - CHANNELS));
    et_activate(output, y, v->out_height * v->out_width * v->n_out);
    return 1;
}

#endif
