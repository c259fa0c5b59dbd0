#include "et_tile_dsp.h"
#include "et_view.h"

#if defined(ET_DSP)

/* Two channels of weights meet two pixels, each with all errors that reach it: a product over taps
 * and output channels. Some channels at a time, their weights are transposed and multiplied by
 * their ratio, which fits in int16. */
typedef struct {
    const et_window *window;
    int32_t taps, length; /* length: of the vectors that make one sum */
} product;

/* filters[pair of channels][length / 4][channel of the pair][4], from channel first on */
ET_ALONE void transpose(const product *k, const int8_t *w, const int16_t *ratio, int16_t *filters,
                        int32_t first, int32_t columns) {
    const int32_t n_in = k->window->n_in, n_out = k->window->n_out, step = 2 * k->length;
    for (int32_t tap = 0; tap < k->taps; tap++)
        for (int32_t o = 0; o < n_out; o++) {
            const int32_t place = tap * n_out + o, factor = ratio[o];
            const int8_t *from = w + (o * k->taps + tap) * n_in + first;
            /* et_sxtb16 takes the numbers of a quad in the order 0, 2, 1, 3. */
            int16_t *to = filters + place / 4 * 8 + (place & 1) * 2 + (place >> 1 & 1);
            for (const int8_t *end = from + columns; from != end; from += 4, to += 2 * step) {
                const et_halves wide = et_split(et_load4(from));
                to[0] = (int16_t)((int16_t)wide.even * factor);
                to[4] = (int16_t)((int16_t)wide.odd * factor);
                to[step] = (int16_t)(((int32_t)wide.even >> 16) * factor);
                to[step + 4] = (int16_t)(((int32_t)wide.odd >> 16) * factor);
            }
        }
}

/* The error of the output that reads a pixel by a tap; NULL outside. */
static const int8_t *reader(const et_window *v, const int8_t *e, int32_t pixel, int32_t i,
                            int32_t j) {
    const int32_t p = pixel / v->width + v->top - i, q = pixel % v->width + v->left - j;
    const int inside = p >= 0 && p < v->out_height && q >= 0 && q < v->out_width;
    return inside ? e + (p * v->out_width + q) * v->n_out : NULL;
}

/* What reaches a pixel and the next one, as a pair. */
ET_ALONE void gather(const et_window *v, const int8_t *e, int32_t pixel, uint32_t *to) {
    static const int8_t nothing[4] = {0, 0, 0, 0};
    for (int32_t i = 0; i < v->kernel_height; i++)
        for (int32_t j = 0; j < v->kernel_width; j++) {
            const int8_t *a = reader(v, e, pixel, i, j), *b = reader(v, e, pixel + 1, i, j);
            const int32_t a_step = a == NULL ? 0 : 4, b_step = b == NULL ? 0 : 4;
            a = a == NULL ? nothing : a;
            b = b == NULL ? nothing : b;
            for (const uint32_t *end = to + v->n_out; to != end; to += 4, a += a_step, b += b_step) {
                const et_halves x = et_split(et_load4(a)), y = et_split(et_load4(b));
                to[0] = x.even;
                to[1] = x.odd;
                to[2] = y.even;
                to[3] = y.odd;
            }
        }
}

/* Some channels of two pixels; returns the peak with theirs. */
ET_ALONE int32_t multiply(const uint32_t *filter, const uint32_t *pair, int32_t length,
                          int32_t columns, const et_scaling *scaling, int8_t *y, int32_t pitch,
                          int32_t peak) {
    const et_factor factor = et_factor_of(scaling);
    for (const int8_t *end = y + columns; y != end; filter += length) {
        const et_sums4 sums = et_tile(filter, pair, length, (et_sums4){0, 0, 0, 0});
        const int32_t p = et_rescale_dsp(sums.p, factor), q = et_rescale_dsp(sums.q, factor);
        const int32_t u = et_rescale_dsp(sums.u, factor), s = et_rescale_dsp(sums.v, factor);
        if (__builtin_expect((et_about(p) | et_about(q) | et_about(u) | et_about(s)) >= peak, 0))
            peak = et_peak(et_peak(et_peak(et_peak(peak, p), q), u), s);
        y[pitch] = et_saturate_dsp(q);
        *y++ = et_saturate_dsp(p);
        ET_HIDE(y);
        y[pitch] = et_saturate_dsp(s);
        *y++ = et_saturate_dsp(u);
    }
    return peak;
}

ET_COLD
int32_t et_conv2d_error_fast(const int8_t *e, const int8_t *w, const int16_t *ratio,
                             const et_scaling *scaling, int8_t *out, const et_window *window,
                             void *scratch) {
    const et_window *v = window;
    const int32_t taps = v->kernel_height * v->kernel_width, pixels = v->height * v->width;
    const product k = {v, taps, et_padded(taps * v->n_out)};
    const int32_t most = ET_ERROR_COLUMNS(taps * v->n_out);
    uint32_t *pair = scratch, *filters = pair + k.length;
    int32_t peak = 0;
    if (scratch == NULL || v->groups != 1 || v->stride_down != 1 || v->stride_right != 1 ||
        v->n_in % 4 != 0 || v->n_out % 4 != 0 || pixels < 2 || !et_error_fits(scaling))
        return -1;
    __builtin_memset(pair, 0, (size_t)k.length * sizeof *pair);
    for (int32_t first = 0; first < v->n_in; first += most) {
        const int32_t columns = et_min(most, v->n_in - first);
        transpose(&k, w, ratio, (int16_t *)(void *)filters, first, columns);
        for (int32_t at = 0; at < pixels; at += 2) {
            const int32_t from = et_min(at, pixels - 2); /* the last two may overlap */
            gather(v, e, from, pair);
            peak = multiply(filters, pair, k.length, columns, scaling,
                            out + from * v->n_in + first, v->n_in, peak);
        }
    }
    et_finish_errors(out, pixels * v->n_in, peak);
    return peak;
}

#endif
