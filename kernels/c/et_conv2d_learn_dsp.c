#include "et_tile_dsp.h"
#include "et_view.h"

#if defined(ET_DSP)

/* A weight gradient is a product over pixels: two output channels of the error meet two weights,
 * each with all that it multiplied. Some weights of a channel and some pixels at a time. */
enum { WEIGHTS = ET_LEARN_WEIGHTS, PIXELS = ET_LEARN_PIXELS };

/* Find what a tap reads at some pixels of a batch of results; NULL outside the image. */
ET_ALONE void look_up(const et_window *v, const int8_t *x, int32_t tap, int32_t first,
                      int32_t count, const int8_t **found) {
    const int32_t i = tap / v->kernel_width - v->top, j = tap % v->kernel_width - v->left;
    const int32_t image = v->height * v->width * v->n_in, step = v->stride_right * v->n_in;
    int32_t line = first / v->out_width, q = first % v->out_width;
    for (const int8_t **end = found + count; found != end; line++, q = 0) {
        const int32_t row = line % v->out_height * v->stride_down + i;
        const uint32_t width = row >= 0 && row < v->height ? (uint32_t)v->width : 0;
        int32_t column = q * v->stride_right + j;
        const int8_t *at = x + line / v->out_height * image + (row * v->width + column) * v->n_in;
        for (const int8_t **stop = found + et_min(v->out_width - q, (int32_t)(end - found));
             found != stop; at += step, column += v->stride_right)
            *found++ = (uint32_t)column < width ? at : NULL;
    }
}

/* Four channels of a place, less the zero point; NULL is a zero. */
ET_INLINE et_halves values_at(const int8_t *place, int32_t channel, uint32_t zero_points) {
    const et_halves nothing = {0, 0};
    if (place == NULL)
        return nothing;
    return et_split_less(et_load4(place + channel), zero_points);
}

/* Four channels at some places, as two pairs of vectors. */
ET_ALONE void pack_words(const int8_t *const *places, int32_t length, int32_t channel,
                         int32_t zero_point, uint32_t *to) {
    const uint32_t zero_points = (uint32_t)(zero_point & 0xffff) * 0x10001u;
    for (const uint32_t *end = to + length; to != end; to += 4, places += 4)
        et_pack4(values_at(places[0], channel, zero_points),
                 values_at(places[1], channel, zero_points),
                 values_at(places[2], channel, zero_points),
                 values_at(places[3], channel, zero_points), to, to + length);
}

/* One channel, as one vector of a pair. */
ET_ALONE void pack_bytes(const int8_t *const *places, int32_t length, int32_t channel,
                       int32_t zero_point, int16_t *to) {
    for (int32_t k = 0; k < length; k += 4, to += 8)
        for (int32_t i = 0; i < 4; i++) {
            const int8_t *place = places[k + i];
            to[i] = (int16_t)(place == NULL ? 0 : place[channel] - zero_point);
        }
}

/* What some weights of a channel, from one on, multiplied at some pixels; `known` tells for which
 * tap and pixels the places are known. */
ET_COLD
static void pack_values(const et_window *v, const int8_t *x, int32_t zero_point, int32_t weight,
                        int32_t weights, int32_t first, int32_t count, const int8_t **places,
                        int32_t *known, uint32_t *to) {
    const int32_t length = et_padded(count), taps = v->kernel_height * v->kernel_width;
    for (int32_t i = count; i < length; i++)
        places[i] = NULL;
    for (int32_t i = 0; i < weights;) {
        const int32_t tap = (weight + i) / v->n_in, channel = (weight + i) % v->n_in;
        if (*known != first * taps + tap)
            look_up(v, x, tap, first, count, places);
        *known = first * taps + tap;
        if (v->n_in % 4 == 0) {
            pack_words(places, length, channel, zero_point, to + i / 2 * length);
            i += 4;
        } else {
            int16_t *pair = (int16_t *)(void *)(to + i / 2 * length);
            pack_bytes(places, length, channel, zero_point, pair + i % 2 * 4);
            i++;
        }
    }
}

/* Four channels of the error at some pixels, as two pairs. */
ET_ALONE void pack_errors(const int8_t *e, int32_t n_out, int32_t count, uint32_t *to) {
    const et_halves nothing = {0, 0};
    const int32_t length = et_padded(count), whole = count / 4 * 4;
    const uint32_t *end = to + length;
    for (const uint32_t *stop = to + whole; to != stop; to += 4, e += 4 * n_out)
        et_pack4(et_split(et_load4(e)), et_split(et_load4(e + n_out)),
                 et_split(et_load4(e + 2 * n_out)), et_split(et_load4(e + 3 * n_out)), to,
                 to + length);
    for (int32_t left = count - whole; to != end; to += 4, left = 0)
        et_pack4(left > 0 ? et_split(et_load4(e)) : nothing,
                 left > 1 ? et_split(et_load4(e + n_out)) : nothing,
                 left > 2 ? et_split(et_load4(e + 2 * n_out)) : nothing, nothing, to,
                 to + length);
}

/* sums[2][WEIGHTS], or 0, plus two channels' errors times what some weights multiplied. */
ET_ALONE void multiply(const uint32_t *errors, const uint32_t *values, int32_t length,
                       int32_t weights, int is_first, int32_t *sums) {
    int32_t *next = sums + WEIGHTS;
    for (const int32_t *end = sums + (weights + 1) / 2 * 2; sums != end; sums += 2, next += 2) {
        et_sums4 all = {0, 0, 0, 0};
        if (!is_first)
            all = (et_sums4){sums[0], sums[1], next[0], next[1]};
        all = et_tile(errors, values, length, all);
        sums[0] = all.p;
        sums[1] = all.q;
        next[0] = all.u;
        next[1] = all.v;
        values += length;
        ET_HIDE(sums);
    }
}

ET_COLD
int32_t et_conv2d_learn_fast(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                             const et_weights *weights, const et_rates *rates, int32_t batch,
                             const et_window *window, void *scratch) {
    const et_window *v = window;
    const int32_t pixels = batch * v->out_height * v->out_width, once = pixels <= PIXELS;
    const int32_t n = v->kernel_height * v->kernel_width * v->n_in;
    const int32_t most = et_min(et_padded(pixels), PIXELS);
    uint32_t *values = scratch, *errors = values + most * WEIGHTS / 2;
    const int8_t **places = (const int8_t **)(void *)(errors + 2 * most);
    int32_t *sums = (int32_t *)(void *)(places + most), saturated = 0, known = -1;
    if (scratch == NULL || v->groups != 1 || v->n_out % 4 != 0 || pixels < 4)
        return -1;
    for (int32_t weight = 0; weight < n; weight += WEIGHTS) {
        const int32_t some = et_min(WEIGHTS, n - weight);
        for (int32_t first = 0; first < pixels; first += PIXELS) {
            const int32_t count = et_min(PIXELS, pixels - first), last = first + count == pixels;
            pack_values(v, x, x_zero_point, weight, some, first, count, places, &known, values);
            for (int32_t o = 0; o < v->n_out; o += 4) {
                int32_t *rows = sums + (once ? 0 : o * WEIGHTS);
                pack_errors(e + first * v->n_out + o, v->n_out, count, errors);
                multiply(errors, values, et_padded(count), some, first == 0, rows);
                multiply(errors + et_padded(count), values, et_padded(count), some, first == 0,
                         rows + 2 * WEIGHTS);
                for (int32_t i = o; last && i < o + 4; i++, rows += WEIGHTS)
                    saturated += weights->update(weights, rows, et_rate(rates, i, 32),
                                                 (uint32_t)(i * n + weight), some);
            }
        }
    }
    return saturated;
}

#endif
