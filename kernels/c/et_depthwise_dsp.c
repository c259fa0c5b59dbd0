#include "et_dsp.h"
#include "et_view.h"

#if defined(ET_DSP)

/* Kernels of 3 x 3, stride 1 or 2, four channels at a time. A word holds two rows of a column of
 * one channel, so that one SMLAD takes two rows of the kernel. Two such words lie side by side: a
 * step has the image's rows r .. r + 3. It gives two rows of results with stride 1 and one with
 * stride 2, and the next step begins two rows further down. */
enum { KERNEL = 3, CHANNELS = 4 };

typedef struct {
    const et_window *window;
    uint32_t *columns; /* [CHANNELS][pitch][2]: rows r and r + 1, rows r + 2 and r + 3 */
    int32_t pitch;     /* columns, padding among them */
    int32_t zero_point;
} strip;

/* Weights of a channel, (row 0, row 1) and (row 1, row 2) of each column; doubled multiplier. */
typedef struct {
    uint32_t columns[KERNEL][2];
    int32_t start, right, twice;
} channel;

static void prepare(channel *c, const int8_t *w, int32_t start, int32_t multiplier, int32_t shift) {
    for (int32_t j = 0; j < KERNEL; j++, w++) {
        const uint32_t middle = (uint32_t)w[KERNEL];
        c->columns[j][0] = et_pkhbt((uint32_t)w[0], middle);
        c->columns[j][1] = et_pkhbt(middle, (uint32_t)w[2 * KERNEL]);
    }
    c->start = start;
    c->twice = (int32_t)((uint32_t)multiplier * 2);
    c->right = -shift;
}

/* One channel of a column: the pair of the last step moves up, and a new one comes below. */
#define PUSH(channel, from, turn)                               \
    "sxtb16 %[pair],%[" from "]" turn "\n\tldr %[old],[%[" channel "],#4]\n\t" \
    "strd %[old],%[pair],[%[" channel "]],#8\n\t"

/* Push rows `row` and row + 1 of four channels; rows outside are zero points. */
static void push_rows(const strip *s, const int8_t *x, int32_t row) {
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
    const int32_t next_a = next[0], next_b = next[1];
    const int32_t plane = 2 * s->pitch;
    uint32_t *to0 = s->columns + 2 * v->left;
    uint32_t *to1 = to0 + plane, *to2 = to1 + plane, *to3 = to2 + plane;
    for (int32_t left = et_min(v->width, s->pitch - v->left); left > 0; left--) {
        uint32_t low, high, pair, old;
        __asm__ volatile("ldr %[pair],[%[a]]\n\tldr %[high],[%[b]]\n\t"
                         "pkhbt %[low],%[pair],%[high],lsl #16\n\t"
                         "pkhtb %[high],%[high],%[pair],asr #16\n\t"
                         PUSH("to0", "low", "") PUSH("to1", "low", ",ror #8")
                         PUSH("to2", "high", "") PUSH("to3", "high", ",ror #8")
                         : [to0] "+r"(to0), [to1] "+r"(to1), [to2] "+r"(to2), [to3] "+r"(to3),
                           [low] "=&r"(low), [high] "=&r"(high), [pair] "=&r"(pair),
                           [old] "=&r"(old)
                         : [a] "r"(a), [b] "r"(b)
                         : "memory");
        a += next_a;
        b += next_b;
    }
}

/* A column of the kernel, on rows r .. r + 2 or, below, r + 1 .. r + 3. */
#define ABOVE(to, from, p, q) \
    "smlad %[" to "]," p ",%[u],%[" from "]\n\tsmlabt %[" to "]," q ",%[v],%[" to "]\n\t"
#define BELOW(to, from, p, q) \
    "smlatb %[" to "]," p ",%[u],%[" from "]\n\tsmlad %[" to "]," q ",%[v],%[" to "]\n\t"
#define WEIGHTS(column) "ldrd %[u],%[v],[%[c],#" column "*8]\n\t"

/* Four results of one channel, stride 1: a b above, d e below. */
#define TWO_BY_TWO                                                                     \
    "ldr %[d],[%[c],#24]\n\t" WEIGHTS("0") "ldmia %[x]!,{r3-r6}\n\t"                    \
    ABOVE("a", "d", "r3", "r4") ABOVE("b", "d", "r5", "r6")                             \
    BELOW("e", "d", "r5", "r6") BELOW("d", "d", "r3", "r4")                             \
    WEIGHTS("1") ABOVE("a", "a", "r5", "r6") BELOW("d", "d", "r5", "r6")                \
    "ldmia %[x],{r3-r6}\n\t" ABOVE("b", "b", "r3", "r4") BELOW("e", "e", "r3", "r4")    \
    WEIGHTS("2") ABOVE("a", "a", "r3", "r4") BELOW("d", "d", "r3", "r4")                \
    ABOVE("b", "b", "r5", "r6") BELOW("e", "e", "r5", "r6")

/* Two results, stride 2. */
#define ONE_BY_TWO                                                                       \
    "ldr %[b],[%[c],#24]\n\tldmia %[x]!,{r3-r6}\n\t"                                      \
    WEIGHTS("0") ABOVE("a", "b", "r3", "r4") WEIGHTS("1") ABOVE("a", "a", "r5", "r6")     \
    "ldmia %[x]!,{r3-r6}\n\t" WEIGHTS("2") ABOVE("a", "a", "r3", "r4")                    \
    WEIGHTS("0") ABOVE("b", "b", "r3", "r4") WEIGHTS("1") ABOVE("b", "b", "r5", "r6")     \
    "ldrd r3,r4,[%[x]]\n\t" WEIGHTS("2") ABOVE("b", "b", "r3", "r4")

/* Rows of results of one channel, two columns at a time; of an odd number the last two overlap.
 * `down` leads to the second row of stride 1, or is 0. */
ET_INLINE void one_channel(const channel *c, const uint32_t *x, int32_t zero_point, int8_t *y,
                           int32_t columns, int32_t pitch, int32_t down, const int32_t stride) {
    const uint32_t *end = x + 2 * stride * (columns & ~1);
    for (int32_t odd = columns % 2;; odd = 0) {
        for (; x != end; y += 2 * pitch) {
            int32_t a, b, d, e;
            uint32_t u, v;
            if (stride == 1)
                __asm__ volatile(TWO_BY_TWO
                                 : [a] "=&r"(a), [b] "=&r"(b), [d] "=&r"(d), [e] "=&r"(e),
                                   [u] "=&r"(u), [v] "=&r"(v), [x] "+r"(x)
                                 : [c] "r"(c)
                                 : "r3", "r4", "r5", "r6", "memory");
            else
                __asm__ volatile(ONE_BY_TWO
                                 : [a] "=&r"(a), [b] "=&r"(b), [u] "=&r"(u), [v] "=&r"(v),
                                   [x] "+r"(x)
                                 : [c] "r"(c)
                                 : "r3", "r4", "r5", "r6", "memory");
            const int32_t right = c->right, twice = c->twice;
            if (stride == 1) { /* without a second row, the first is written over it */
                y[down] = et_scale_dsp(d, twice, right, zero_point);
                y[down + pitch] = et_scale_dsp(e, twice, right, zero_point);
            }
            y[0] = et_scale_dsp(a, twice, right, zero_point);
            y[pitch] = et_scale_dsp(b, twice, right, zero_point);
        }
        if (!odd)
            return;
        x -= 2 * stride, y -= pitch, end += 2 * stride;
    }
}

/* Four channels, from number `first` on. */
static void four_channels(const strip *s, const int8_t *x, const int8_t *w, const int32_t *start,
                          const et_output *output, int8_t *y, int32_t first) {
    const et_window *v = s->window;
    const uint32_t zeros = (uint32_t)(s->zero_point & 0xffff) * 0x10001u;
    const int32_t stride = v->stride_down, columns = v->out_width, n_out = v->n_out;
    const int32_t row = columns * n_out, zero_point = output->zero_point;
    channel c[CHANNELS];
    for (int32_t o = 0; o < CHANNELS; o++)
        prepare(&c[o], w + (first + o) * KERNEL * KERNEL, start[first + o],
                output->multiplier[first + o], output->shift[first + o]);
    for (int32_t o = 0; o < CHANNELS; o++) {
        uint32_t *to = s->columns + 2 * o * s->pitch;
        for (int32_t i = 0; i < 2 * et_min(v->left, s->pitch); i++)
            to[i] = zeros;
        for (int32_t i = 2 * (v->left + v->width); i < 2 * s->pitch; i++)
            to[i] = zeros;
    }
    push_rows(s, x + first, -v->top);
    y += first;
    for (int32_t p = 0; p < v->out_height; p += KERNEL - stride, y += (KERNEL - stride) * row) {
        push_rows(s, x + first, p * stride - v->top + 2);
        const uint32_t *from = s->columns;
        int8_t *to = y;
        const int32_t down = p + 1 < v->out_height ? row : 0;
        for (const channel *k = c; k != c + CHANNELS; k++, from += 2 * s->pitch, to++) {
            if (stride == 1)
                one_channel(k, from, zero_point, to, columns, n_out, down, 1);
            else
                one_channel(k, from, zero_point, to, columns, n_out, 0, 2);
        }
    }
}

int et_depthwise_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                      const et_output *output, int8_t *y, const et_window *window, void *scratch) {
    const et_window *v = window;
    if (scratch == NULL || v->groups != v->n_in || v->n_in != v->n_out || v->n_in < CHANNELS ||
        v->out_width < 2 || !et_fits_dsp(output, v->n_out) || v->kernel_height != KERNEL || v->kernel_width != KERNEL || v->stride_down > 2 ||
        v->stride_right != v->stride_down)
        return 0;
    const strip s = {v, scratch, (v->out_width + 1) / 2 * 2 * v->stride_right + 2, x_zero_point};
    for (int32_t first = 0; first < v->n_in; first += CHANNELS) /* the last four may overlap */
        four_channels(&s, x, w, start, output, y, et_min(first, v->n_in - CHANNELS));
    et_activate(output, y, v->out_height * v->out_width * v->n_out);
    return 1;
}

#endif
