#include "et_tile_dsp.h"

#if defined(ET_DSP)

/* Four channels at a time and some rows at a time become planes of int16, a channel after the
 * other. Rows follow each other with just the zeros between them that a kernel of width 3 meets
 * left or right of the image, so that with stride 1 it is a sum over one long vector. */
enum { CHANNELS = 4, WIDTH = 3, ROWS_MAX = 5 };

ET_COLD
static int fits(const et_window *v) {
    return v->groups == v->n_in && v->n_in == v->n_out && v->n_in % CHANNELS == 0 &&
           v->kernel_width == WIDTH && v->kernel_height <= ROWS_MAX && v->stride_down == 1 &&
           v->stride_right == 1 && v->left < WIDTH && v->out_width <= v->left + v->width &&
           v->left + v->width < v->out_width + WIDTH;
}

/* An image, and how some rows of it lie in planes. */
typedef struct {
    int32_t height, width, n; /* n: channels */
    int32_t left;             /* column of the image's first in a plane */
    int32_t rows, pitch, size; /* of a plane, in int16 */
} sheet;

/* Rows of the distance that the kernel needs; what it reads behind the last row is 0. */
static int32_t pitch_of(const et_window *v) {
    const int32_t right = v->out_width + WIDTH - 1 - v->left - v->width;
    return v->width + et_max(v->left, right);
}

static int32_t size_of(int32_t rows, int32_t pitch) {
    return (rows * pitch + WIDTH - 1 + 3) / 4 * 4;
}

/* Fill the planes with rows from first on, less a zero point. What is outside the image is left: it
 * was cleared before. */
ET_ALONE void spread(const sheet *s, const int8_t *x, int32_t zero_point, int32_t first,
                     int16_t *to) {
    const uint32_t zero_points = (uint32_t)(zero_point & 0xffff) * 0x10001u;
    const int32_t top = et_max(first, 0), n = s->n, size = s->size, width = s->width;
    const int32_t gap = s->pitch - width;
    int32_t rows = et_min(first + s->rows, s->height) - top;
    x += top * width * n;
    to += (top - first) * s->pitch + s->left;
    for (; rows > 0; rows--, to += gap) {
        for (int16_t *stop = to + width / 2 * 2; to != stop; to += 2, x += 2 * n) {
            const et_halves a = et_split_less(et_load4(x), zero_points);
            const et_halves b = et_split_less(et_load4(x + n), zero_points);
            et_store4(to, et_pkhbt(a.even, b.even));
            et_store4(to + size, et_pkhbt(a.odd, b.odd));
            et_store4(to + 2 * size, et_pkhtb(b.even, a.even));
            et_store4(to + 3 * size, et_pkhtb(b.odd, a.odd));
        }
        if (width % 2 != 0) {
            const et_halves a = et_split_less(et_load4(x), zero_points);
            to[0] = (int16_t)a.even;
            to[size] = (int16_t)a.odd;
            to[2 * size] = (int16_t)(a.even >> 16);
            to[3 * size] = (int16_t)(a.odd >> 16);
            to++;
            x += n;
        }
    }
}

/* Clear planes before they are filled; with one strip each channel fills the same places. */
static void clear(const sheet *s, int16_t *planes) {
    et_word *p = (et_word *)(void *)planes;
    for (et_word *end = p + CHANNELS * s->size / 2; p != end; p += 2)
        p[0] = p[1] = 0;
}

#define LOAD(to, offset) "ldr %[" to "],[%[x],#" offset "]\n\t"
#define ADD(sum, errors, values) \
    "smlad %[" sum "],%[" errors "],%[" values "],%[" sum "]\n\t"
#define PAIR(errors, first, second, third) ADD("a", errors, first) ADD("b", errors, second) \
    ADD("c", errors, third)

/* sums[0..2] += e times x at its own place and at the next two; n is a multiple of 8. */
ET_ALONE void correlate(const int16_t *e, const int16_t *x, int32_t n, int32_t sums[WIDTH]) {
    const int16_t *end = e + n;
    int32_t a = sums[0], b = sums[1], c = sums[2];
    uint32_t s, t, u, v, w = et_load4((const int8_t *)x);
    __asm__ volatile("1:\n\tldrd %[s],%[t],[%[e]],#8\n\t" LOAD("u", "2") LOAD("v", "4")
                     PAIR("s", "w", "u", "v") LOAD("u", "6") LOAD("w", "8")
                     PAIR("t", "v", "u", "w") "ldrd %[s],%[t],[%[e]],#8\n\t"
                     LOAD("u", "10") LOAD("v", "12") PAIR("s", "w", "u", "v")
                     LOAD("u", "14") "ldr %[w],[%[x],#16]!\n\t" PAIR("t", "v", "u", "w")
                     "cmp %[e],%[end]\n\tbne 1b"
                     : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [e] "+r"(e), [x] "+r"(x),
                       [w] "+r"(w), [s] "=&r"(s), [t] "=&r"(t), [u] "=&r"(u), [v] "=&r"(v)
                     : [end] "r"(end)
                     : "cc", "memory");
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
}

/* sums[channel][tap of the kernel] += what one image says. */
ET_COLD
static void one_image(const et_window *v, const int8_t *x, const int8_t *e, int32_t zero_point,
                      int32_t channel, int16_t *scratch, int32_t *sums) {
    const int32_t pitch = pitch_of(v), rows = ET_STRIP_ROWS(v->out_height, pitch);
    const int32_t n = (rows * pitch + 7) / 8 * 8, deep = rows + v->kernel_height - 1;
    const sheet errors = {v->out_height, v->out_width, v->n_out, 0, rows, pitch, n};
    const sheet values = {v->height, v->width, v->n_in, v->left, deep, pitch, size_of(deep, pitch)};
    int16_t *e_planes = scratch, *x_planes = e_planes + CHANNELS * n;
    for (int32_t first = 0; first < v->out_height; first += rows) {
        if (channel == 0 || rows < v->out_height) {
            clear(&errors, e_planes);
            clear(&values, x_planes);
        }
        spread(&errors, e, 0, first, e_planes);
        spread(&values, x, zero_point, first - v->top, x_planes);
        for (int32_t c = 0; c < CHANNELS; c++)
            for (int32_t i = 0; i < v->kernel_height; i++)
                correlate(e_planes + c * n, x_planes + c * values.size + i * pitch, n,
                          sums + (c * v->kernel_height + i) * WIDTH);
    }
}

ET_COLD
int32_t et_depthwise_learn_fast(const int8_t *x, const int8_t *e, int32_t x_zero_point,
                                const et_weights *weights, const et_rates *rates, int32_t batch,
                                const et_window *window, void *scratch) {
    const et_window *v = window;
    const int32_t taps = v->kernel_height * WIDTH;
    int32_t saturated = 0;
    if (scratch == NULL || !fits(v))
        return -1;
    for (int32_t o = 0; o < v->n_out; o += CHANNELS) {
        int32_t sums[CHANNELS * ROWS_MAX * WIDTH];
        __builtin_memset(sums, 0, (size_t)(CHANNELS * taps) * sizeof *sums);
        for (int32_t n = 0; n < batch; n++)
            one_image(v, x + n * v->height * v->width * v->n_in + o,
                      e + n * v->out_height * v->out_width * v->n_out + o, x_zero_point, o + n,
                      scratch, sums);
        for (int32_t c = 0; c < CHANNELS; c++)
            saturated += weights->update(weights, sums + c * taps, et_rate(rates, o + c, 32),
                                         (uint32_t)((o + c) * taps), taps);
    }
    return saturated;
}

/* Weights of a row of the kernel, times their ratio: the first two, and the third. */
typedef struct {
    uint32_t pair, last;
} taps3;

/* acc[k] = sum of kernel rows times x, k in [0, n); n is a multiple of 4. */
ET_INLINE void convolve(const int16_t *x, int32_t pitch, const taps3 *weights, int32_t height,
                        int32_t n, int32_t *acc) {
    for (const int32_t *end = acc + n; acc != end; acc += 4, x += 4) {
        const int16_t *at = x;
        const taps3 *row = weights;
        int32_t a = 0, b = 0, c = 0, d = 0;
        uint32_t pair, last, s, t, u;
        for (int32_t i = 0; i < height; i++)
            __asm__ volatile("ldrd %[pair],%[last],[%[row]],#8\n\tldr %[s],[%[at]]\n\t"
                             "ldr %[t],[%[at],#4]\n\tldr %[u],[%[at],#8]\n\t"
                             "smlad %[a],%[s],%[pair],%[a]\n\tldr %[s],[%[at],#2]\n\t"
                             "smlad %[c],%[t],%[pair],%[c]\n\tsmlad %[b],%[s],%[pair],%[b]\n\t"
                             "ldr %[s],[%[at],#6]\n\tsmlabb %[a],%[t],%[last],%[a]\n\t"
                             "smlatb %[b],%[t],%[last],%[b]\n\tsmlad %[d],%[s],%[pair],%[d]\n\t"
                             "smlabb %[c],%[u],%[last],%[c]\n\tsmlatb %[d],%[u],%[last],%[d]\n\t"
                             "add %[at],%[at],%[step]"
                             : [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d), [at] "+r"(at),
                               [row] "+r"(row), [pair] "=&r"(pair), [last] "=&r"(last),
                               [s] "=&r"(s), [t] "=&r"(t), [u] "=&r"(u)
                             : [step] "r"(2 * pitch)
                             : "memory");
        acc[0] = a;
        acc[1] = b;
        acc[2] = c;
        acc[3] = d;
    }
}

ET_ALONE void convolve_rows(const int16_t *x, int32_t pitch, const taps3 *weights, int32_t height,
                            int32_t n, int32_t *acc) {
    if (height == 3)
        convolve(x, pitch, weights, 3, n, acc);
    else
        convolve(x, pitch, weights, height, n, acc);
}

/* Rows of sums of one channel become errors; returns the peak with theirs. */
ET_ALONE int32_t finish(const int32_t *acc, int32_t pitch, int32_t rows, const et_window *v,
                        const et_scaling *scaling, int8_t *to, int32_t peak) {
    const et_factor factor = et_factor_of(scaling);
    const int32_t n = v->n_in, width = v->width;
    for (const int32_t *end = acc + rows * pitch; acc != end; acc += pitch - width)
        for (const int32_t *stop = acc + width; acc != stop; to += n) {
            const int32_t d = et_rescale_dsp(*acc++, factor);
            if (__builtin_expect(et_about(d) >= peak, 0))
                peak = et_peak(peak, d);
            *to = et_saturate_dsp(d);
        }
    return peak;
}

/* The weights of a channel: its last is met first. */
ET_COLD
static void turn(const int8_t *w, int32_t height, int32_t factor, taps3 *weights) {
    for (w += height * WIDTH; height > 0; height--, weights++, w -= WIDTH) {
        weights->pair = et_pkhbt((uint32_t)(w[-1] * factor), (uint32_t)(w[-2] * factor));
        weights->last = (uint32_t)(w[-3] * factor);
    }
}

ET_COLD
int32_t et_depthwise_error_fast(const int8_t *e, const int8_t *w, const int16_t *ratio,
                                const et_scaling *scaling, int8_t *out, const et_window *window,
                                void *scratch) {
    const et_window *v = window;
    const et_window back = {v->out_height, v->out_width, v->n_out, v->height, v->width, v->n_in,
                            v->kernel_height, v->kernel_width, 1, 1,
                            v->kernel_height - 1 - v->top, WIDTH - 1 - v->left, v->groups};
    const int32_t pitch = pitch_of(&back), most = ET_STRIP_ROWS(v->height, pitch);
    const int32_t deep = most + v->kernel_height - 1, n = (most * pitch + 3) / 4 * 4;
    const sheet errors = {back.height, back.width, back.n_in, back.left, deep, pitch,
                          size_of(deep, pitch)};
    int32_t *acc = scratch, peak = 0;
    int16_t *planes = (int16_t *)(void *)(acc + n);
    if (scratch == NULL || !fits(v) || !et_error_fits(scaling))
        return -1;
    for (int32_t o = 0; o < v->n_out; o += CHANNELS)
        for (int32_t first = 0; first < v->height; first += most) {
            if (o == 0 || most < v->height)
                clear(&errors, planes);
            spread(&errors, e + o, 0, first - back.top, planes);
            for (int32_t c = o; c < o + CHANNELS; c++) {
                taps3 weights[ROWS_MAX];
                turn(w + c * v->kernel_height * WIDTH, v->kernel_height, ratio[c], weights);
                convolve_rows(planes + (c - o) * errors.size, pitch, weights, v->kernel_height, n,
                              acc);
                peak = finish(acc, pitch, et_min(most, v->height - first), v, scaling,
                              out + first * v->width * v->n_in + c, peak);
            }
        }
    et_finish_errors(out, v->height * v->width * v->n_in, peak);
    return peak;
}

#endif
