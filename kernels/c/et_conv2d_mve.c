#include "et_mve.h"

#if defined(ET_HELIUM)

enum { PIXELS = 4, SHORT = 16, COLUMN_MAX = 5 };

/* Four pixels that see at most 16 bytes each, through all channels: lanes are pixels. */
ET_INLINE void four_pixels(const int8_t *const at[PIXELS], const int8_t *w, const int32_t *start,
                           const et_output *output, int8_t *y, int32_t n, int32_t n_out) {
    const mve_pred16_t bytes = vctp8q((uint32_t)n);
    const int8x16_t a = n == SHORT ? vld1q_s8(at[0]) : vld1q_z_s8(at[0], bytes);
    const int8x16_t b = n == SHORT ? vld1q_s8(at[1]) : vld1q_z_s8(at[1], bytes);
    const int8x16_t c = n == SHORT ? vld1q_s8(at[2]) : vld1q_z_s8(at[2], bytes);
    const int8x16_t d = n == SHORT ? vld1q_s8(at[3]) : vld1q_z_s8(at[3], bytes);
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

/* What pixels see, where it is more than 16 bytes. */
typedef struct {
    const et_window *window;
    const int8_t *x;
    int8_t *strip;           /* rows under the kernel, padded; NULL with a kernel of 1 x 1 */
    int8_t *column;          /* room for what one pixel sees */
    const uint32_t *offsets; /* in the strip, of each word of a column; NULL: not whole words */
    int32_t pitch, n;        /* bytes of a row of the strip, and of a column */
    int32_t zero_point;
} source;

/* Bring the rows under the kernel into the strip, whose padding is there already; returns what
 * the first pixel of row p sees. */
static const int8_t *rows_of(const source *s, int32_t p) {
    const et_window *v = s->window;
    const int32_t next = v->width * v->n_in, left = v->left * v->n_in;
    const int32_t row = p * v->stride_down - v->top;
    if (s->strip == NULL)
        return s->x + row * next;
    for (int32_t i = 0; i < v->kernel_height; i++) {
        int8_t *to = s->strip + i * s->pitch;
        if (row + i < 0 || row + i >= v->height)
            et_repeat(to, s->zero_point, s->pitch);
        else
            et_copy(to + left, s->x + (row + i) * next, et_clip(s->pitch - left, 0, next));
    }
    return s->strip;
}

/* What a pixel sees in one piece. */
ET_INLINE const int8_t *column_of(const source *s, const int8_t *at) {
    if (s->strip == NULL)
        return at;
    int8_t *to = s->column;
    const int32_t row = s->window->kernel_width * s->window->n_in;
    for (const int8_t *end = to + s->n; to != end; at += s->pitch)
        to = et_copy(to, at, row);
    return s->column;
}

/* One channel of a pixel whose column lies in registers; the last vector overlaps the one
 * before. */
#define COLUMN_DOT(sum)                                  \
    do {                                                 \
        int8x16_t v;                                     \
        ET_NEXT16(v, w);                                 \
        sum = vmladavq_s8(column[0], v);                 \
        _Pragma("GCC unroll 4")                          \
        for (int32_t k = 1; k < vectors - 1; k++) {      \
            ET_NEXT16(v, w);                             \
            sum = vmladavaq_s8(sum, column[k], v);       \
        }                                                \
        w += back;                                       \
        ET_NEXT16(v, w);                                 \
        sum = vmladavaq_s8(sum, column[vectors - 1], v); \
    } while (0)

/* One pixel that sees more than 16 and at most 16 * vectors bytes, through a multiple of four
 * channels. */
ET_INLINE void one_pixel(const source *s, const int8_t *at, const int8_t *w, const int32_t *start,
                         const et_output *output, int8_t *y, int32_t n_out,
                         const int32_t vectors) {
    const int32_t back = s->n - 16 * vectors; /* how far the last vector overlaps, negative */
    const mve_pred16_t fresh = vpnot(vctp8q((uint32_t)-back));
    const int32_t *multiplier = output->multiplier, zero_point = output->zero_point;
    const int8_t *shift = output->shift;
    int8x16_t column[COLUMN_MAX];
    if (s->offsets != NULL) {
        const uint32_t *offsets = s->offsets;
        _Pragma("GCC unroll 4")
        for (int32_t k = 0; k < vectors - 1; k++, offsets += 4)
            column[k] = vreinterpretq_s8_u32(
                vldrwq_gather_offset_u32((const uint32_t *)(const void *)at, vld1q_u32(offsets)));
        column[vectors - 1] = vreinterpretq_s8_u32(vldrwq_gather_offset_z_u32(
            (const uint32_t *)(const void *)at, vld1q_u32(offsets), fresh));
    } else {
        const int8_t *from = column_of(s, at);
        _Pragma("GCC unroll 4")
        for (int32_t k = 0; k < vectors - 1; k++)
            ET_NEXT16(column[k], from);
        column[vectors - 1] = vld1q_z_s8(from + back, fresh);
    }
    for (int32_t left = n_out; left > 0; left -= 4) {
        int32_t a, b, c, d;
        COLUMN_DOT(a);
        COLUMN_DOT(b);
        COLUMN_DOT(c);
        COLUMN_DOT(d);
        const int32x4_t acc = vaddq_s32(et_pack4(a, b, c, d), vld1q_s32(start));
        vstrbq_s32(y, et_requantize4(acc, vld1q_s32(multiplier), vldrbq_s32(shift), zero_point));
        start += 4, multiplier += 4, shift += 4, y += 4;
    }
}

/* Pixels of an image, one after the other; 0 vectors where columns stay in memory. */
ET_INLINE void image(const source *s, const int8_t *w, const int32_t *start,
                     const et_output *output, int8_t *y, const int32_t vectors) {
    const et_window *v = s->window;
    const int32_t n_out = v->n_out, step = v->stride_right * v->n_in;
    for (int32_t p = 0; p < v->out_height; p++) {
        const int8_t *at = rows_of(s, p);
        for (int32_t left = v->out_width; left > 0; left--, at += step, y += n_out)
            if (vectors != 0)
                one_pixel(s, at, w, start, output, y, n_out, vectors);
            else
                et_rows_mve(column_of(s, at), w, start, output, y, s->n, n_out);
    }
}

/* Where the words of a column lie in the strip; the last vector ends with the column. */
static void set_offsets(uint32_t *offsets, const source *s) {
    const int32_t row = s->window->kernel_width * s->window->n_in;
    for (int32_t first = 0; first < s->n; first += 16)
        for (int32_t i = 0; i < 16; i += 4) {
            const int32_t byte = et_min(first, s->n - 16) + i;
            *offsets++ = (uint32_t)(byte / row * s->pitch + byte % row);
        }
}

/* Where what four pixels see lies, or is brought, from number `from` on. */
static void find_four(const int8_t *at[PIXELS], const int8_t *x, int32_t zero_point,
                      const et_window *v, int8_t *columns, int32_t from, int point) {
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    int32_t p = from / v->out_width, q = from % v->out_width;
    for (int32_t i = 0; i < PIXELS; i++) {
        if (point) {
            at[i] = x + (p * v->stride_down * v->width + q * v->stride_right) * n;
        } else {
            const et_view view = et_look(v, p, q);
            at[i] = columns + i * n;
            et_gather(columns + i * n, x, zero_point, v, &view);
        }
        if (++q == v->out_width)
            q = 0, p++;
    }
}

/* Pixels four at a time, where each sees at most 16 bytes. */
static void image_of_four(const int8_t *x, const int8_t *w, const int32_t *start,
                          int32_t zero_point, const et_output *output, int8_t *y,
                          const et_window *v, int8_t *columns, int point) {
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    const int32_t pixels = v->out_height * v->out_width;
    const int alone = point && v->stride_right == 1 && v->out_width == v->width &&
                      v->stride_down == 1; /* each pixel sees just itself */
    for (int32_t first = 0; first < pixels; first += PIXELS) {
        const int32_t from = et_min(first, pixels - PIXELS); /* the last four may overlap */
        const int8_t *at[PIXELS];
        if (alone)
            for (int32_t i = 0; i < PIXELS; i++)
                at[i] = x + (from + i) * n;
        else
            find_four(at, x, zero_point, v, columns, from, point);
        if (n == SHORT)
            four_pixels(at, w, start, output, y + from * v->n_out, SHORT, v->n_out);
        else
            four_pixels(at, w, start, output, y + from * v->n_out, n, v->n_out);
    }
}

int et_conv2d_fast(const int8_t *x, const int8_t *w, const int32_t *start, int32_t x_zero_point,
                   const et_output *output, int8_t *y, const et_window *window, void *scratch) {
    const et_window *v = window;
    if (scratch == NULL || v->groups != 1 || !et_fits_mve(output, v->n_out))
        return 0;
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    const int32_t pixels = v->out_height * v->out_width;
    const int32_t columns = (v->out_width - 1) * v->stride_right + v->kernel_width;
    const int point = v->kernel_height * v->kernel_width == 1 && v->top == 0 && v->left == 0 &&
                      columns <= v->width && (v->out_height - 1) * v->stride_down < v->height;
    if (n <= SHORT && pixels >= PIXELS) {
        image_of_four(x, w, start, x_zero_point, output, y, v, scratch, point);
        et_activate_mve(output, y, pixels * v->n_out);
        return 1;
    }
    int8_t *column = scratch, *strip = column + (n + 15) / 16 * 64;
    uint32_t *offsets = (uint32_t *)scratch + (n + 15) / 16 * 4;
    source s = {v, x, point ? NULL : strip, column, NULL, columns * v->n_in, n, x_zero_point};
    if (!point)
        et_repeat(strip, x_zero_point, v->kernel_height * s.pitch);
    if (!point && v->n_in % 4 == 0 && n > SHORT) {
        set_offsets(offsets, &s);
        s.offsets = offsets;
    }
    if (v->n_out % 4 != 0 || n <= SHORT || n > SHORT * COLUMN_MAX)
        image(&s, w, start, output, y, 0);
    else if (n > 4 * SHORT)
        image(&s, w, start, output, y, 5);
    else if (n > 3 * SHORT)
        image(&s, w, start, output, y, 4);
    else if (n > 2 * SHORT)
        image(&s, w, start, output, y, 3);
    else
        image(&s, w, start, output, y, 2);
    et_activate_mve(output, y, pixels * v->n_out);
    return 1;
}

#endif
