#include "et_tile_mve.h"

#if defined(ET_HELIUM)

/* All errors that reach a pixel, by all taps and output channels, are a column of bytes: it meets
 * the weights of four input channels. Some channels at a time, their weights are turned into rows
 * and multiplied by their ratio, which fits in int16. With strides pixels are of several kinds, by
 * the rows and columns of the kernel that reach them. */
typedef struct {
    int32_t row, column; /* the first of these pixels */
    int32_t i, j;        /* the first tap that reaches them */
    et_window back;      /* how these taps, the last first, move over the errors */
} kind;

static kind kind_of(const et_window *v, int32_t row, int32_t column) {
    const int32_t down = v->stride_down, right = v->stride_right;
    const int32_t i = (row + v->top) % down, j = (column + v->left) % right;
    const int32_t height = et_max(v->kernel_height - i + down - 1, 0) / down;
    const int32_t width = et_max(v->kernel_width - j + right - 1, 0) / right;
    const kind found = {row, column, i, j,
                        {v->out_height, v->out_width, v->n_out, (v->height - row + down - 1) / down,
                         (v->width - column + right - 1) / right, v->n_in, height, width, 1, 1,
                         height - 1 - (row + v->top) / down, width - 1 - (column + v->left) / right,
                         1}};
    return found;
}

/* Four channels of weights times a ratio, and so on, each four `length` numbers behind. */
ET_INLINE void turn_channels(int16_t *to, const int8_t *w, int32_t ratio, int32_t length,
                             int32_t n) {
    __asm__ volatile("wlstp.32 lr,%[n],2f\n1:\n\tvldrb.s32 q0,[%[w]],#4\n\t"
                     "vmul.i32 q0,q0,%[ratio]\n\tvstrh.32 q0,[%[to],%q[apart],uxtw #1]\n\t"
                     "add %[to],%[to],%[length]\n\tletp lr,1b\n2:"
                     : [to] "+r"(to), [w] "+l"(w)
                     : [n] "r"(n), [ratio] "r"(ratio), [length] "r"(2 * length),
                       [apart] "w"(vidupq_n_u32(0, 8))
                     : "q0", "lr", "cc", "memory");
}

/* filters[channel / 4][place / 8][channel % 4][place % 8], a place being tap, the last first, and
 * output; from channel first on. */
static void turn_weights(const et_window *v, const kind *a, const int8_t *w, const int16_t *ratio,
                         int16_t *filters, int32_t first, int32_t columns) {
    const int32_t taps = a->back.kernel_height * a->back.kernel_width, n_out = v->n_out;
    const int32_t size = v->kernel_height * v->kernel_width * v->n_in;
    for (int32_t tap = 0; tap < taps; tap++) {
        const int32_t i = a->i + tap / a->back.kernel_width * v->stride_down;
        const int32_t j = a->j + tap % a->back.kernel_width * v->stride_right;
        const int8_t *from = w + (i * v->kernel_width + j) * v->n_in + first;
        int32_t place = (taps - 1 - tap) * n_out;
        for (int32_t o = 0; o < n_out; o++, place++, from += size)
            turn_channels(filters + place / 8 * 32 + place % 8, from, ratio[o],
                          (taps * n_out + 7) / 8 * 32, columns);
    }
}

/* Some channels of a pixel, from its column of k errors: ten instructions for 32 products, and for
 * four channels et_reduce4, but for lanes behind the last. */
ET_ALONE void multiply(const int8_t *column, const int16_t *filters, int32_t k, int32_t columns,
                       et_reducer *reducer, int8_t *y) {
    register int32_t a __asm__("r4");
    register int32_t b __asm__("r6");
    register int32_t c __asm__("r8");
    register int32_t d __asm__("r10");
    const int32x4_t multiplier = vdupq_n_s32(reducer->multiplier);
    const int32x4_t shift = vdupq_n_s32(reducer->shift);
    const int32x4_t most = vdupq_n_s32(127), sign = vdupq_n_s32(reducer->sign);
    const int8_t *x;
    uint32_t peak = reducer->peak;
    __asm__ volatile(
        "1:\n\tmov %[a],#0\n\tmov %[b],#0\n\tmov %[c],#0\n\tmov %[d],#0\n\t"
        "ldr %[x],%[column]\n\t"
        "dlstp.16 lr,%[k]\n2:\n\t"
        "vldrb.s16 q0,[%[x]],#8\n\tvldrh.u16 q1,[%[p],#16]\n\tvldrh.u16 q2,[%[p],#32]\n\t"
        "vldrh.u16 q3,[%[p],#48]\n\tvmladava.s16 %[b],q0,q1\n\tvldrh.u16 q1,[%[p]],#64\n\t"
        "vmladava.s16 %[c],q0,q2\n\tvmladava.s16 %[d],q0,q3\n\tvmladava.s16 %[a],q0,q1\n\t"
        "letp lr,2b\n\t"
        "vmov q0[2],q0[0],%[a],%[c]\n\tvmov q0[3],q0[1],%[b],%[d]\n\t"
        "vqrdmulh.s32 q0,q0,%q[multiplier]\n\tvshl.u32 q1,q0,%q[sign]\n\tvsub.i32 q0,q0,q1\n\t"
        "vrshl.s32 q0,q0,%q[shift]\n\tvneg.s32 q1,%q[most]\n\t"
        "vctp.32 %[left]\n\tvpstttt\n\tvmaxavt.s32 %[peak],q0\n\t"
        "vmint.s32 q0,q0,%q[most]\n\tvmaxt.s32 q0,q0,q1\n\tvstrbt.32 q0,[%[y]],#4\n\t"
        "subs %[left],%[left],#4\n\tbgt 1b"
        : [a] "=&r"(a), [b] "=&r"(b), [c] "=&r"(c), [d] "=&r"(d), [x] "=&l"(x), [y] "+l"(y),
          [p] "+r"(filters), [left] "+r"(columns), [peak] "+r"(peak)
        : [column] "m"(column), [k] "r"(k), [multiplier] "w"(multiplier), [shift] "w"(shift),
          [most] "w"(most), [sign] "w"(sign)
        : "q0", "q1", "q2", "q3", "lr", "cc", "memory");
    reducer->peak = peak;
}

/* The errors of pixels of one kind, `most` channels at a time. */
static void one_kind(const et_window *v, const kind *a, const int8_t *e, const int8_t *w,
                     const int16_t *ratio, et_reducer *reducer, int8_t *out, int32_t most,
                     int16_t *filters, int8_t *column) {
    const et_window *back = &a->back;
    const int32_t k = back->kernel_height * back->kernel_width * v->n_out;
    const int point = et_is_point(v);
    for (int32_t first = 0; first < v->n_in; first += most) {
        const int32_t columns = et_min(most, v->n_in - first);
        turn_weights(v, a, w, ratio, filters, first, columns);
        for (int32_t p = 0; p < back->out_height; p++) {
            const int32_t row = a->row + p * v->stride_down;
            int8_t *to = out + (row * v->width + a->column) * v->n_in + first;
            for (int32_t q = 0; q < back->out_width; q++, to += v->stride_right * v->n_in) {
                const int8_t *from = e + (p * v->width + q) * v->n_out;
                if (!point) {
                    const et_view at = et_look(back, p, q);
                    et_gather(column, e, 0, back, &at);
                    from = column;
                }
                if (k > 0)
                    multiply(from, filters, k, columns, reducer, to);
                else
                    et_repeat(to, 0, columns);
            }
        }
    }
}

int32_t et_conv2d_error_fast(const int8_t *e, const int8_t *w, const int16_t *ratio,
                             const et_scaling *scaling, int8_t *out, const et_window *window,
                             void *scratch) {
    const et_window *v = window;
    const int32_t k = v->kernel_height * v->kernel_width * v->n_out;
    const int32_t most = ET_ERROR_COLUMNS(k);
    int16_t *filters = scratch;
    int8_t *column = (int8_t *)(filters + (k + 7) / 8 * 8 * ((et_min(most, v->n_in) + 3) / 4 * 4));
    et_reducer reducer = et_reducer_of(scaling->multiplier, scaling->shift);
    if (scratch == NULL || v->groups != 1)
        return -1;
    for (int32_t row = 0; row < v->stride_down; row++)
        for (int32_t first = 0; first < v->stride_right; first++) {
            const kind a = kind_of(v, row, first);
            one_kind(v, &a, e, w, ratio, &reducer, out, most, filters, column);
        }
    return (int32_t)reducer.peak;
}

#endif
