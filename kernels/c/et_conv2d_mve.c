#include "et_mve.h"
#include "et_view.h"

#if defined(ET_HELIUM)

enum { PIXELS = 4, SHORT = 16, COLUMN_MAX = 5 };

/* Copy n bytes, 16 at a time. */
ET_INLINE int8_t *copy(int8_t *to, const int8_t *from, int32_t n) {
    int8_t *next = to;
    __asm__ volatile("wlstp.8 lr,%[n],2f\n1:\n\tvldrb.8 q0,[%[from]],#16\n\t"
                     "vstrb.8 q0,[%[to]],#16\n\tletp lr,1b\n2:"
                     : [from] "+r"(from), [to] "+r"(next)
                     : [n] "r"(n)
                     : "q0", "lr", "cc", "memory");
    return to + n;
}

ET_INLINE int8_t *repeat(int8_t *to, int32_t value, int32_t n) {
    int8_t *next = to;
    __asm__ volatile("vdup.8 q0,%[value]\n\twlstp.8 lr,%[n],2f\n1:\n\t"
                     "vstrb.8 q0,[%[to]],#16\n\tletp lr,1b\n2:"
                     : [to] "+r"(next)
                     : [n] "r"(n), [value] "r"(value)
                     : "q0", "lr", "cc", "memory");
    return to + n;
}

/* What one pixel sees, one byte after the other. */
static void gather(int8_t *to, const int8_t *x, int32_t zero_point, const et_window *v,
                   const et_view *at) {
    const int32_t row = v->kernel_width * v->n_in;
    const int32_t left = at->first_column * v->n_in;
    const int32_t inside = (at->end_column - at->first_column) * v->n_in;
    const int8_t *from = x + et_pixel(v, at, at->first_row, at->first_column) * v->n_in;
    for (int32_t i = 0; i < v->kernel_height; i++) {
        if (i < at->first_row || i >= at->end_row || inside <= 0) {
            to = repeat(to, zero_point, row);
            continue;
        }
        if (inside == row) {
            to = copy(to, from, row);
        } else {
            to = repeat(to, zero_point, left);
            to = copy(to, from, inside);
            to = repeat(to, zero_point, row - left - inside);
        }
        from += v->width * v->n_in;
    }
}

/* Four pixels that see at most 16 bytes each, through all channels: lanes are pixels. */
ET_INLINE void four_pixels(const int8_t *const at[PIXELS], const int8_t *w, const int32_t *start,
                           const et_output *output, int8_t *y, int32_t n, int32_t n_out) {
    const mve_pred16_t bytes = vctp8q((uint32_t)n);
    const int8x16_t a = vld1q_z_s8(at[0], bytes), b = vld1q_z_s8(at[1], bytes);
    const int8x16_t c = vld1q_z_s8(at[2], bytes), d = vld1q_z_s8(at[3], bytes);
    const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)n_out);
    const int32_t *multiplier = output->multiplier, zero_point = output->zero_point;
    const int8_t *shift = output->shift;
    for (const int8_t *end = y + n_out; y != end; y++) {
        int8x16_t row;
        if (n == SHORT) {
            ET_NEXT16(row, w);
        } else {
            row = vld1q_z_s8(w, bytes);
            w += n;
        }
        int32x4_t acc = et_pack4(vmladavq_s8(a, row), vmladavq_s8(b, row), vmladavq_s8(c, row),
                                 vmladavq_s8(d, row));
        acc = et_requantize4_n(vaddq_n_s32(acc, *start++), *multiplier++, *shift++, zero_point);
        vstrbq_scatter_offset_s32(y, apart, acc);
    }
}

/* One channel of a pixel whose column lies in registers; `rest` are the bytes of the last one. */
#define COLUMN_DOT(sum)                                  \
    do {                                                 \
        int8x16_t v;                                     \
        sum = 0;                                         \
        _Pragma("GCC unroll 4")                          \
        for (int32_t k = 0; k < vectors - 1; k++) {      \
            ET_NEXT16(v, w);                             \
            sum = vmladavaq_s8(sum, column[k], v);       \
        }                                                \
        v = vld1q_z_s8(w, lanes);                        \
        sum = vmladavaq_s8(sum, column[vectors - 1], v); \
        w += rest;                                       \
    } while (0)

/* One pixel that sees at most 16 * vectors bytes, through a multiple of four channels. */
ET_INLINE void one_pixel(const int8_t *at, const int8_t *w, const int32_t *start,
                         const et_output *output, int8_t *y, int32_t n, int32_t n_out,
                         const int32_t vectors) {
    const int32_t rest = n - 16 * (vectors - 1);
    const mve_pred16_t lanes = vctp8q((uint32_t)rest);
    const int32_t *multiplier = output->multiplier, zero_point = output->zero_point;
    const int8_t *shift = output->shift;
    int8x16_t column[COLUMN_MAX];
    _Pragma("GCC unroll 4")
    for (int32_t k = 0; k < vectors - 1; k++)
        column[k] = vld1q_s8(at + 16 * k);
    column[vectors - 1] = vld1q_z_s8(at + 16 * (vectors - 1), lanes);
    for (int32_t o = 0; o < n_out; o += 4) {
        int32_t a, b, c, d;
        COLUMN_DOT(a);
        COLUMN_DOT(b);
        COLUMN_DOT(c);
        COLUMN_DOT(d);
        const int32x4_t acc = vaddq_s32(et_pack4(a, b, c, d), vld1q_s32(start + o));
        vstrbq_s32(y + o, et_requantize4(acc, vld1q_s32(multiplier + o), vldrbq_s32(shift + o),
                                         zero_point));
    }
}

/* All pixels of an image, one after the other; 0 vectors where columns stay in memory. */
ET_INLINE void image(const int8_t *x, const int8_t *w, const int32_t *start, int32_t zero_point,
                     const et_output *output, int8_t *y, const et_window *v, int8_t *column,
                     const int32_t vectors) {
    const int32_t row = v->kernel_width * v->n_in, n = v->kernel_height * row;
    for (int32_t p = 0; p < v->out_height; p++)
        for (int32_t q = 0; q < v->out_width; q++, y += v->n_out) {
            const int32_t i = p * v->stride_down - v->top, j = q * v->stride_right - v->left;
            const int8_t *from = x + (i * v->width + j) * v->n_in;
            if (i < 0 || j < 0 || i + v->kernel_height > v->height ||
                j + v->kernel_width > v->width) {
                const et_view at = et_look(v, p, q);
                gather(column, x, zero_point, v, &at);
            } else {
                int8_t *to = column;
                for (const int8_t *end = column + n; to != end; from += v->width * v->n_in)
                    to = copy(to, from, row);
            }
            if (vectors != 0)
                one_pixel(column, w, start, output, y, n, v->n_out, vectors);
            else
                et_rows_mve(column, w, start, output, y, n, v->n_out);
        }
}

/* The same, four at a time, where a pixel sees at most 16 bytes. */
static void image_of_four(const int8_t *x, const int8_t *w, const int32_t *start,
                          int32_t zero_point, const et_output *output, int8_t *y,
                          const et_window *v, int8_t *columns) {
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    const int32_t pixels = v->out_height * v->out_width;
    const int whole = v->kernel_height * v->kernel_width * v->stride_down * v->stride_right == 1 &&
                      v->height * v->width == pixels; /* each pixel sees just itself */
    for (int32_t first = 0; first < pixels; first += PIXELS) {
        const int32_t from = et_min(first, pixels - PIXELS); /* the last four may overlap */
        const int8_t *at[PIXELS];
        for (int32_t i = 0; i < PIXELS; i++) {
            at[i] = whole ? x + (from + i) * n : columns + i * n;
            if (whole)
                continue;
            const et_view view = et_look(v, (from + i) / v->out_width, (from + i) % v->out_width);
            gather(columns + i * n, x, zero_point, v, &view);
        }
        if (n == SHORT)
            four_pixels(at, w, start, output, y + from * v->n_out, SHORT, v->n_out);
        else
            four_pixels(at, w, start, output, y + from * v->n_out, n, v->n_out);
    }
}

int et_conv2d_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                   const et_output *output, int8_t *y, const et_window *window, void *scratch) {
    const et_window *v = window;
    if (scratch == NULL || !et_fits_mve(output, v->n_out))
        return 0;
    if (v->groups != 1)
        return et_depthwise_fast(x, w, start, x_zero_point, output, y, v, scratch);
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    const int32_t pixels = v->out_height * v->out_width;
    if (n <= SHORT && pixels >= PIXELS)
        image_of_four(x, w, start, x_zero_point, output, y, v, scratch);
    else if (v->n_out % 4 != 0 || n <= SHORT || n > SHORT * COLUMN_MAX)
        image(x, w, start, x_zero_point, output, y, v, scratch, 0);
    else if (n > 4 * SHORT)
        image(x, w, start, x_zero_point, output, y, v, scratch, 5);
    else if (n > 3 * SHORT)
        image(x, w, start, x_zero_point, output, y, v, scratch, 4);
    else if (n > 2 * SHORT)
        image(x, w, start, x_zero_point, output, y, v, scratch, 3);
    else
        image(x, w, start, x_zero_point, output, y, v, scratch, 2);
    et_activate_mve(output, y, pixels * v->n_out);
    return 1;
}

#endif
