#include "et_dsp.h"
#include "et_view.h"

#if defined(ET_DSP)

/* Four pixels at a time: what each of them sees is widened and interleaved, four taps of a pixel
 * after the other, so that one pointer walks over all of it and each weight is loaded once. */
enum { PIXELS = 4, STEP = 2 * PIXELS }; /* words that four weights meet */

/* Two pixels, two words each: LDM takes the words in the order of the registers. */
#define TWO(acc, next)                                                                          \
    "ldmia %[x]!,{r3-r6}\n\t"                                                                   \
    "smlad %[" acc "],%[s],r3,%[" acc "]\n\tsmlad %[" acc "],%[t],r4,%[" acc "]\n\t"             \
    "smlad %[" next "],%[s],r5,%[" next "]\n\tsmlad %[" next "],%[t],r6,%[" next "]\n\t"
#define WIDENED4 "sxtb16 %[s],%[t]\n\tsxtb16 %[t],%[t],ror #8\n\t" TWO("a", "b") TWO("c", "d")
#define TAPS4 "ldr %[t],[%[w]],#4\n\t" WIDENED4
#define OPERANDS                                                                        \
    : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [x] "+r"(x), [w] "+r"(w),      \
      [s] "=&r"(s), [t] "+r"(t)                                                         \
    : [end] "r"(end)                                                                    \
    : "r3", "r4", "r5", "r6", "cc", "memory"

/* What the channels need for four results each. */
typedef struct {
    const uint32_t *x;
    int32_t n; /* weights of a channel, at least 4 */
    const int32_t *start, *multiplier;
    const int8_t *shift;
    int32_t zero_point, n_out;
} block;

ET_INLINE void all_channels(const block *k, const int8_t *w, int8_t *y) {
    const int32_t n = k->n, n_out = k->n_out;
    const uint32_t *long_end = k->x + n / 16 * (4 * STEP), *short_end = k->x + n / 4 * STEP;
    const int32_t *start = k->start, *multiplier = k->multiplier;
    const int8_t *shift = k->shift;
    for (const int8_t *last = y + n_out; y != last; y++) {
        int32_t a = *start++, b = a, c = a, d = a;
        const uint32_t *x = k->x, *end = long_end;
        uint32_t s, t = 0;
        if (x != end)
            __asm__ volatile("1:\n\t" TAPS4 TAPS4 TAPS4 TAPS4 "cmp %[x],%[end]\n\tbne 1b" OPERANDS);
        end = short_end;
        if (x != end)
            __asm__ volatile("1:\n\t" TAPS4 "cmp %[x],%[end]\n\tbne 1b" OPERANDS);
        if (n % 4 != 0) { /* the rest of the row, without what follows it */
            w += n % 4;
            t = et_load4(w - 4) >> (32 - n % 4 * 8);
            __asm__ volatile(WIDENED4 OPERANDS);
        }
        const int32_t m = *multiplier++, right = -*shift++;
        int8_t *to = y;
        *to = et_requantize_dsp(a, m, right, k->zero_point);
        *(to += n_out) = et_requantize_dsp(b, m, right, k->zero_point);
        *(to += n_out) = et_requantize_dsp(c, m, right, k->zero_point);
        *(to += n_out) = et_requantize_dsp(d, m, right, k->zero_point);
    }
}

/* Where what a pixel sees comes from. */
typedef struct {
    const et_window *window;
    const int8_t *x;
    int8_t *bytes; /* of two pixels, where channels are no multiple of 4 */
    int32_t zero_point;
    int alone;              /* each pixel sees just itself */
    uint32_t rows, columns; /* where the kernel may begin with all taps inside, in whole words */
} source;

/* Four values of two pixels to two words each; `load` takes them. */
#define WIDEN4(load)                                                                     \
    load "sxtb16 %[even],%[p]\n\tsxtb16 %[p],%[p],ror #8\n\tstrd %[even],%[p],[%[to]]\n\t" \
    "sxtb16 %[even],%[q]\n\tsxtb16 %[q],%[q],ror #8\n\tstrd %[even],%[q],[%[to],#8]\n\t" \
    "add %[to],%[step]\n\t"
/* Twice a turn; an odd number of turns begins in the middle. */
#define WIDEN(load)                                                                 \
    "cmp %[p],#0\n\tbne 2f\n1:\n\t" WIDEN4(load) "2:\n\t" WIDEN4(load)             \
    "cmp %[to],%[end]\n\tbne 1b"
#define INSIDE "ldr %[p],[%[a]],#4\n\tldr %[q],[%[b]],#4\n\t"
#define PADDED                                                                \
    "ldr %[p],[%[a]]\n\tadd %[a],%[a_next]\n\tldr %[q],[%[b]]\n\tadd %[b],%[b_next]\n\t"
#define WIDENED                                                                     \
    [to] "+r"(to), [a] "+r"(a), [b] "+r"(b), [p] "+r"(p), [q] "=&r"(q), [even] "=&r"(even)

/* Widen n values of either pixel, a positive multiple of 4, in steps of some bytes; returns where
 * the next ones go. What is next to be read is a_next and b_next bytes on: 4, or 0 in padding. */
ET_ALONE uint32_t *widen_padded(uint32_t *to, const int8_t *a, const int8_t *b, int32_t n,
                                int32_t step, int32_t a_next, int32_t b_next) {
    const uint32_t *end = to + (n >> 2) * (step >> 2);
    uint32_t p = (uint32_t)n / 4 % 2, q, even;
    __asm__ volatile(WIDEN(PADDED)
                     : WIDENED
                     : [a_next] "r"(a_next), [b_next] "r"(b_next), [step] "r"(step), [end] "r"(end)
                     : "cc", "memory");
    return to;
}

ET_INLINE int8_t *repeat(int8_t *to, int32_t value, int32_t n) {
    for (const int8_t *end = to + n; to < end;)
        *to++ = (int8_t)value;
    return to;
}

/* What any pixel sees, for any number of channels: byte by byte, and zeros up to a multiple of
 * 4; returns its end. */
static int8_t *gather_bytes(const source *k, int8_t *to, int32_t p, int32_t q) {
    const et_window *v = k->window;
    const et_view at = et_look(v, p, q);
    const int32_t row = v->kernel_width * v->n_in, left = at.first_column * v->n_in;
    const int32_t inside = et_max(at.end_column * v->n_in - left, 0), next = v->width * v->n_in;
    const int8_t *from = k->x + et_pixel(v, &at, at.first_row, at.first_column) * v->n_in;
    to = repeat(to, k->zero_point, at.first_row * row);
    for (int32_t i = at.first_row; i < at.end_row; i++, from += next) {
        to = repeat(to, k->zero_point, left);
        for (const int8_t *p = from, *end = from + inside; p != end;)
            *to++ = *p++;
        to = repeat(to, k->zero_point, row - left - inside);
    }
    to = repeat(to, k->zero_point, (v->kernel_height - at.end_row) * row);
    while ((uintptr_t)to % 4 != 0)
        *to++ = 0;
    return to;
}

/* What one of two pixels sees: the first tap's row, column, and place if it is inside. */
typedef struct {
    int32_t row, column;
    const int8_t *at;
} corner;

ET_INLINE corner corner_of(const source *k, int32_t p, int32_t q) {
    const et_window *v = k->window;
    const int32_t row = p * v->stride_down - v->top, column = q * v->stride_right - v->left;
    const corner found = {row, column, k->x + (row * v->width + column) * v->n_in};
    return found;
}

/* Whether all taps are inside. */
ET_INLINE int whole(const source *k, const corner *c) {
    return (uint32_t)c->row < k->rows && (uint32_t)c->column < k->columns;
}

/* What two pixels see of which at least one is at the border, in steps of some bytes. */
ET_ALONE void gather_border(const source *k, uint32_t *to, corner a, corner b, int32_t step) {
    const et_window *v = k->window;
    const int32_t height = v->height, width = v->width, n_in = v->n_in, taps = v->kernel_width;
    const uint32_t padding = (uint32_t)(k->zero_point & 255) * 0x01010101u;
    const int8_t *none = (const int8_t *)&padding;
    /* taps that are inside for both, but for the rows */
    const int32_t first = -et_min(a.column, b.column);
    const int32_t end = et_min(width - et_max(a.column, b.column), taps);
    for (int32_t i = 0; i < v->kernel_height; i++) {
        const uint32_t a_width = (uint32_t)(a.row + i) < (uint32_t)height ? (uint32_t)width : 0;
        const uint32_t b_width = (uint32_t)(b.row + i) < (uint32_t)height ? (uint32_t)width : 0;
        for (int32_t j = 0, some; j < taps; j += some) {
            const int a_inside = (uint32_t)(a.column + j) < a_width;
            const int b_inside = (uint32_t)(b.column + j) < b_width;
            some = j >= first && j < end ? end - j : 1;
            to = widen_padded(to, a_inside ? a.at + j * n_in : none,
                              b_inside ? b.at + j * n_in : none, some * n_in, step,
                              a_inside ? 4 : 0, b_inside ? 4 : 0);
        }
        a.at += width * n_in;
        b.at += width * n_in;
    }
}

/* What two pixels see, from number `first` on, in steps of some bytes. */
ET_ALONE void gather(const source *k, uint32_t *to, int32_t first, int32_t step) {
    const et_window *v = k->window;
    const int32_t n_in = v->n_in, width = v->out_width;
    const int8_t *a = k->x + first * n_in, *b = a + n_in;
    int32_t rows = 1, n = n_in;
    if (!k->alone) {
        const int32_t p = first / width, q = first - p * width;
        const int32_t next_p = q + 1 < width ? p : p + 1, next_q = q + 1 < width ? q + 1 : 0;
        if (n_in % 4 != 0) {
            a = k->bytes;
            b = gather_bytes(k, k->bytes, p, q);
            n = (int32_t)(b - a);
            gather_bytes(k, k->bytes + n, next_p, next_q);
        } else {
            const corner c = corner_of(k, p, q), d = corner_of(k, next_p, next_q);
            if (!whole(k, &c) || !whole(k, &d)) {
                gather_border(k, to, c, d, step);
                return;
            }
            a = c.at;
            b = d.at;
            rows = v->kernel_height;
            n = v->kernel_width * n_in;
        }
    }
    const int32_t words = (n >> 2) * (step >> 2), gap = v->width * n_in - n;
    do {
        const uint32_t *end = to + words;
        uint32_t p = (uint32_t)n / 4 % 2, q, even;
        __asm__ volatile(WIDEN(INSIDE)
                         : WIDENED
                         : [step] "r"(step), [end] "r"(end)
                         : "cc", "memory");
        a += gap;
        b += gap;
    } while (--rows > 0);
}

/* Weights widened once, a few channels at a time; an odd number of channels, or of pixels, does
 * one of them twice. */
static void wide_channels(source *k, uint32_t *scratch, const int8_t *w, const int32_t *start,
                          const et_output *output, int8_t *y, int32_t n) {
    const int32_t n_out = k->window->n_out, pixels = k->window->out_height * k->window->out_width;
    uint32_t *pairs = scratch + (n + 7) / 8 * 8;
    for (int32_t o = 0, channels; o < n_out; o += channels) {
        channels = et_min(ET_PAIRS_CHANNELS(n, n_out), n_out - o) & ~1;
        if (channels == 0) {
            channels = 2;
            o--;
        }
        et_pack_pairs(pairs, w, start, output, o, channels, n);
        for (int32_t first = 0; first < pixels; first += 2) {
            const int32_t from = et_min(first, pixels - 2);
            gather(k, scratch, from, 4 * STEP / 2);
            et_run_pairs(pairs, scratch, output->zero_point, y + from * n_out + o, channels, n,
                         n_out);
        }
    }
}

int et_conv2d_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                   const et_output *output, int8_t *y, const et_window *window, void *scratch) {
    const et_window *v = window;
    if (scratch == NULL || v->groups != 1 || !et_fits_dsp(output, v->n_out))
        return 0;
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    const int32_t pixels = v->out_height * v->out_width;
    const int few = n <= ET_PAIRS_N; /* weights a channel */
    if (pixels < (few ? 2 : PIXELS) || n < 4 || v->n_out < 2)
        return 0;
    const int alone = n == v->n_in && n % 4 == 0 && v->stride_down == 1 && v->stride_right == 1 &&
                      v->out_height == v->height && v->out_width == v->width;
    source k = {v, x, scratch, x_zero_point, alone,
                (uint32_t)et_max(v->height - v->kernel_height + 1, 0),
                (uint32_t)et_max(v->width - v->kernel_width + 1, 0)};
    if (few) {
        k.bytes += ET_CONV2D_SCRATCH(n, v->n_out, 0) - (n + 7) / 8 * 16;
        wide_channels(&k, scratch, w, start, output, y, n);
    } else {
        k.bytes += (n + 3) / 4 * (4 * STEP);
        const block b = {scratch,       n, start, output->multiplier, output->shift,
                         output->zero_point, v->n_out};
        for (int32_t first = 0; first < pixels; first += PIXELS) {
            const int32_t from = et_min(first, pixels - PIXELS); /* the last four may overlap */
            gather(&k, scratch, from, 4 * STEP);
            gather(&k, (uint32_t *)scratch + STEP / 2, from + 2, 4 * STEP);
            all_channels(&b, w, y + from * v->n_out);
        }
    }
    et_activate(output, y, pixels * v->n_out);
    return 1;
}

#endif
