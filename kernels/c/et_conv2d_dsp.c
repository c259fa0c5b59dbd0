#include "et_dsp.h"
#include "et_view.h"

#if defined(ET_DSP)

/* Four pixels at a time: what each of them sees is widened and interleaved, 8 bytes of a pixel
 * after the other, so that one pointer walks over all of it and each weight is loaded once. */
enum { PIXELS = 4, STEP = 2 * PIXELS }; /* words that four weights meet */

#define FOUR(acc) "ldrd %[u],%[v],[%[x]],#8\n\tsmlad %[" acc "],%[s],%[u],%[" acc "]\n\t" \
    "smlad %[" acc "],%[t],%[v],%[" acc "]\n\t"
#define TAPS4                                                                  \
    "ldr %[t],[%[w]],#4\n\tsxtb16 %[s],%[t]\n\tsxtb16 %[t],%[t],ror #8\n\t"     \
    FOUR("a") FOUR("b") FOUR("c") FOUR("d")
#define OPERANDS                                                                              \
    : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [x] "+r"(x), [w] "+r"(w),            \
      [s] "=&r"(s), [t] "=&r"(t), [u] "=&r"(u), [v] "=&r"(v)                                   \
    : [end] "r"(end)                                                                          \
    : "cc", "memory"

/* What one channel needs for its four results. */
typedef struct {
    const uint32_t *x;
    int32_t n; /* weights of a channel */
    int32_t zero_point;
    int32_t pitch; /* from one pixel of y to the next */
} block;

ET_INLINE void one_channel(const block *k, const int8_t *w, int32_t start, int32_t multiplier,
                           int32_t right, int8_t *y) {
    int32_t a = start, b = start, c = start, d = start;
    const uint32_t *x = k->x, *end = x + k->n / 16 * (4 * STEP);
    uint32_t s, t, u, v;
    if (x != end)
        __asm__ volatile("1:\n\t" TAPS4 TAPS4 TAPS4 TAPS4 "cmp %[x],%[end]\n\tbne 1b" OPERANDS);
    end = k->x + k->n / 4 * STEP;
    if (x != end)
        __asm__ volatile("1:\n\t" TAPS4 "cmp %[x],%[end]\n\tbne 1b" OPERANDS);
    if (k->n % 4 != 0) {
        int8_t rest[4] = {0, 0, 0, 0};
        for (int32_t i = 0; i < k->n % 4; i++)
            rest[i] = w[i];
        w = rest;
        end = x + STEP;
        __asm__ volatile(TAPS4 OPERANDS);
    }
    y[0] = et_requantize_dsp(a, multiplier, right, k->zero_point);
    y[k->pitch] = et_requantize_dsp(b, multiplier, right, k->zero_point);
    y[2 * k->pitch] = et_requantize_dsp(c, multiplier, right, k->zero_point);
    y[3 * k->pitch] = et_requantize_dsp(d, multiplier, right, k->zero_point);
}

/* Widen n values, a multiple of 4, of one pixel; returns where the next ones go. */
ET_INLINE uint32_t *widen(uint32_t *to, const int8_t *x, int32_t n) {
    for (const int8_t *end = x + n; x != end; x += 4, to += STEP) {
        const uint32_t word = et_load4(x);
        to[0] = et_sxtb16(word);
        to[1] = et_sxtb16_odd(word);
    }
    return to;
}

/* What one pixel sees, where the channels are a multiple of 4. */
static void gather_words(uint32_t *to, const int8_t *x, int32_t zero_point, const et_window *v,
                         const et_view *at) {
    const uint32_t nothing = (uint32_t)(zero_point & 0xffff) * 0x10001u;
    const int whole = at->first_column == 0 && at->end_column == v->kernel_width;
    for (int32_t i = 0; i < v->kernel_height; i++) {
        const int inside = i >= at->first_row && i < at->end_row;
        if (inside && whole) {
            to = widen(to, x + et_pixel(v, at, i, 0) * v->n_in, v->kernel_width * v->n_in);
            continue;
        }
        for (int32_t j = 0; j < v->kernel_width; j++) {
            if (inside && j >= at->first_column && j < at->end_column) {
                to = widen(to, x + et_pixel(v, at, i, j) * v->n_in, v->n_in);
                continue;
            }
            for (int32_t c = 0; c < v->n_in; c += 4, to += STEP)
                to[0] = to[1] = nothing;
        }
    }
}

/* What one pixel sees, byte by byte, and zeros up to a multiple of 4. */
static void gather_bytes(uint32_t *to, int8_t *bytes, const int8_t *x, int32_t zero_point,
                         const et_window *v, const et_view *at) {
    int8_t *next = bytes;
    for (int32_t i = 0; i < v->kernel_height; i++)
        for (int32_t j = 0; j < v->kernel_width; j++) {
            const int inside = i >= at->first_row && i < at->end_row && j >= at->first_column &&
                               j < at->end_column;
            const int8_t *from = inside ? x + et_pixel(v, at, i, j) * v->n_in : x;
            for (int32_t c = 0; c < v->n_in; c++)
                *next++ = inside ? from[c] : (int8_t)zero_point;
        }
    while ((next - bytes) % 4 != 0)
        *next++ = 0;
    widen(to, bytes, (int32_t)(next - bytes));
}

int et_conv2d_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                   const et_output *output, int8_t *y, const et_window *window, void *scratch) {
    const et_window *v = window;
    if (scratch == NULL || !et_fits_dsp(output, v->n_out))
        return 0;
    if (v->groups != 1)
        return et_depthwise_fast(x, w, start, x_zero_point, output, y, v, scratch);
    uint32_t *wide = scratch;
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    int8_t *bytes = (int8_t *)(wide + (n + 3) / 4 * STEP);
    const int32_t pixels = v->out_height * v->out_width;
    const block k = {wide, n, output->zero_point, v->n_out};
    if (pixels < PIXELS)
        return 0;
    for (int32_t first = 0; first < pixels; first += PIXELS) {
        const int32_t from = et_min(first, pixels - PIXELS); /* the last four may overlap */
        for (int32_t i = 0; i < PIXELS; i++) {
            const et_view at = et_look(v, (from + i) / v->out_width, (from + i) % v->out_width);
            if (v->n_in % 4 == 0)
                gather_words(wide + 2 * i, x, x_zero_point, v, &at);
            else
                gather_bytes(wide + 2 * i, bytes, x, x_zero_point, v, &at);
        }
        int8_t *to = y + from * v->n_out;
        const int8_t *row = w;
        for (int32_t o = 0; o < v->n_out; o++, row += n)
            one_channel(&k, row, start[o], output->multiplier[o], -output->shift[o], to + o);
    }
    et_activate(output, y, pixels * v->n_out);
    return 1;
}

#endif
