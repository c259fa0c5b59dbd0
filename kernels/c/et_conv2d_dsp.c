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
    et_window window;
    const int8_t *x;
    int8_t *bytes; /* of one pixel, where its channels are no multiple of 4 */
    int32_t zero_point;
    int alone;              /* each pixel sees just itself */
    uint32_t rows, columns; /* where the kernel may begin with all taps inside, in whole words */
} source;

/* Four values to two words; the next ones go `bytes` on. */
#define WIDEN4(bytes)                                                              \
    __asm__ volatile("ldr %[odd],[%[x]],#4\n\tsxtb16 %[even],%[odd]\n\t"           \
                     "sxtb16 %[odd],%[odd],ror #8\n\tstrd %[even],%[odd],[%[to]],#" bytes \
                     : [even] "=&r"(even), [odd] "=&r"(odd), [x] "+r"(x), [to] "+r"(to) \
                     :                                                             \
                     : "memory")

/* Widen n values, a multiple of 4, in steps of 4 or 8 words; returns where the next ones go. */
ET_INLINE uint32_t *widen(uint32_t *to, const int8_t *x, int32_t n, const int32_t step) {
    uint32_t even, odd;
    const int8_t *end = x + n;
    if (n % 8 != 0) {
        if (step == 4)
            WIDEN4("16");
        else
            WIDEN4("32");
    }
    while (x != end) {
        if (step == 4) {
            WIDEN4("16");
            WIDEN4("16");
        } else {
            WIDEN4("32");
            WIDEN4("32");
        }
    }
    return to;
}

#define PADDING4(bytes)                                     \
    __asm__ volatile("strd %[pair],%[pair],[%[to]],#" bytes \
                     : [to] "+r"(to)                        \
                     : [pair] "r"(pair)                     \
                     : "memory")

/* The same for n zero points. */
ET_INLINE uint32_t *widen_padding(uint32_t *to, int32_t zero_point, int32_t n, const int32_t step) {
    const uint32_t pair = (uint32_t)(zero_point & 0xffff) * 0x10001u;
    for (; n > 0; n -= 4)
        if (step == 4)
            PADDING4("16");
        else
            PADDING4("32");
    return to;
}

/* What a pixel at the border sees, where the channels are a multiple of 4. */
ET_INLINE void gather_border(const source *k, uint32_t *to, const et_view *at, const int32_t step) {
    const et_window *v = &k->window;
    const int32_t row = v->kernel_width * v->n_in, left = at->first_column * v->n_in;
    const int32_t inside = et_max(at->end_column * v->n_in - left, 0), next = v->width * v->n_in;
    const int8_t *from = k->x + et_pixel(v, at, at->first_row, at->first_column) * v->n_in;
    to = widen_padding(to, k->zero_point, at->first_row * row, step);
    for (int32_t i = at->first_row; i < at->end_row; i++, from += next) {
        to = widen_padding(to, k->zero_point, left, step);
        to = widen(to, from, inside, step);
        to = widen_padding(to, k->zero_point, row - left - inside, step);
    }
    widen_padding(to, k->zero_point, (v->kernel_height - at->end_row) * row, step);
}

ET_INLINE int8_t *repeat(int8_t *to, int32_t value, int32_t n) {
    for (const int8_t *end = to + n; to < end;)
        *to++ = (int8_t)value;
    return to;
}

/* What any pixel sees, for any number of channels: byte by byte, and zeros up to a multiple of
 * 4; returns how many. */
static int32_t gather_bytes(const source *k, const et_view *at) {
    const et_window *v = &k->window;
    const int32_t row = v->kernel_width * v->n_in, left = at->first_column * v->n_in;
    const int32_t inside = et_max(at->end_column * v->n_in - left, 0), next = v->width * v->n_in;
    const int8_t *from = k->x + et_pixel(v, at, at->first_row, at->first_column) * v->n_in;
    int8_t *to = repeat(k->bytes, k->zero_point, at->first_row * row);
    for (int32_t i = at->first_row; i < at->end_row; i++, from += next) {
        to = repeat(to, k->zero_point, left);
        for (const int8_t *p = from, *end = from + inside; p != end;)
            *to++ = *p++;
        to = repeat(to, k->zero_point, row - left - inside);
    }
    to = repeat(to, k->zero_point, (v->kernel_height - at->end_row) * row);
    while ((to - k->bytes) % 4 != 0)
        *to++ = 0;
    return (int32_t)(to - k->bytes);
}

/* What pixel (p, q) sees. */
ET_INLINE void gather_pixel(const source *k, uint32_t *to, int32_t p, int32_t q,
                            const int32_t step) {
    const et_window *v = &k->window;
    const int32_t row = p * v->stride_down - v->top, column = q * v->stride_right - v->left;
    if ((uint32_t)row < k->rows && (uint32_t)column < k->columns) {
        const int32_t next = v->width * v->n_in, row_bytes = v->kernel_width * v->n_in;
        const int8_t *from = k->x + row * next + column * v->n_in;
        int32_t left = v->kernel_height;
        do {
            to = widen(to, from, row_bytes, step);
            from += next;
        } while (--left > 0);
        return;
    }
    const et_view at = et_look(v, p, q);
    if (v->n_in % 4 == 0)
        gather_border(k, to, &at, step);
    else
        widen(to, k->bytes, gather_bytes(k, &at), step);
}

/* What `many` pixels see, from number `first` on. */
ET_INLINE void gather(const source *k, uint32_t *to, int32_t first, const int32_t many) {
    if (k->alone) {
        const int8_t *from = k->x + first * k->window.n_in;
        for (int32_t i = 0; i < many; i++, from += k->window.n_in)
            widen(to + 2 * i, from, k->window.n_in, 2 * many);
        return;
    }
    const int32_t width = k->window.out_width;
    int32_t p = first / width, q = first - p * width;
    for (int32_t i = 0; i < many; i++, to += 2) {
        gather_pixel(k, to, p, q, 2 * many);
        if (++q == width)
            q = 0, p++;
    }
}

/* Weights widened once, a few channels at a time; an odd number of channels, or of pixels, does
 * one of them twice. */
static void wide_channels(source *k, uint32_t *scratch, const int8_t *w, const int32_t *start,
                          const et_output *output, int8_t *y, int32_t n) {
    const int32_t n_out = k->window.n_out, pixels = k->window.out_height * k->window.out_width;
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
            gather(k, scratch, from, 2);
            et_run_pairs(pairs, scratch, output->zero_point, y + from * n_out + o, channels, n,
                         n_out);
        }
    }
}

int et_conv2d_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                   const et_output *output, int8_t *y, const et_window *window, void *scratch) {
    const et_window *v = window;
    if (scratch == NULL || !et_fits_dsp(output, v->n_out))
        return 0;
    if (v->groups != 1)
        return et_depthwise_fast(x, w, start, x_zero_point, output, y, v, scratch);
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    const int32_t pixels = v->out_height * v->out_width;
    const int few = n <= ET_PAIRS_N; /* weights a channel */
    if (pixels < (few ? 2 : PIXELS) || n < 4 || v->n_out < 2)
        return 0;
    const int words = v->n_in % 4 == 0;
    const int alone = words && n == v->n_in && v->stride_down == 1 && v->stride_right == 1 &&
                      v->out_height == v->height && v->out_width == v->width;
    source k = {*v, x, scratch, x_zero_point, alone,
                words ? (uint32_t)et_max(v->height - v->kernel_height + 1, 0) : 0,
                (uint32_t)et_max(v->width - v->kernel_width + 1, 0)};
    if (few) {
        k.bytes += ET_CONV2D_SCRATCH(n, v->n_out, 0) - (n + 3) / 4 * 4;
        wide_channels(&k, scratch, w, start, output, y, n);
    } else {
        k.bytes += (n + 3) / 4 * (4 * STEP);
        const block b = {scratch,       n, start, output->multiplier, output->shift,
                         output->zero_point, v->n_out};
        for (int32_t first = 0; first < pixels; first += PIXELS) {
            const int32_t from = et_min(first, pixels - PIXELS); /* the last four may overlap */
            gather(&k, scratch, from, PIXELS);
            all_channels(&b, w, y + from * v->n_out);
        }
    }
    et_activate(output, y, pixels * v->n_out);
    return 1;
}

#endif
