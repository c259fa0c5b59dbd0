/* Forward-Forward: how good a layer finds a label, and what it learns from that.
 *
 * Goodness is Q10. A slope is Q15: how a loss changes with a goodness.
 *
 * Stack of a call at most: 144 bytes on a Cortex-M0, 144 on an M4, 216 on an M55 (gcc, -O2).
 */
#ifndef ET_GOODNESS_H
#define ET_GOODNESS_H

#include "et_learn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Samples whose first features, one a class, tell a label.
 *
 * x           int8  [batch][features]   in
 * y           int32 [batch]             in, a class, or -1 for none; NULL: each a tenth of a label
 * zero_point  of x, what the classes get that are not y; y gets 127
 * out         int8  [batch][features]   out; may be x itself
 * classes     at most features
 */
void et_embed_labels(const int8_t *x, const int32_t *y, int32_t zero_point, int8_t *out,
                     int32_t batch, int32_t features, int32_t classes);

/* Accumulators of a layer whose input tells a label, from those of the same input without one.
 *
 * base   int32 [n_out]         in, of et_dense_acc where no class is told
 * w      int8  [n_out][n_in]   in
 * label  [0, n_in)
 * acc    int32 [n_out]         out; may be base itself
 */
void et_tell_label(const int32_t *base, const int8_t *w, int32_t label, int32_t x_zero_point,
                   int32_t *acc, int32_t n_in, int32_t n_out);

/* y = x at a length that is the same for every row: a root mean square of 32 codes.
 *
 * x           int8 [rows][n]   in, not below zero_point
 * zero_point  of x and y
 * y           int8 [rows][n]   out; may be x itself
 *
 * Time: a division of 32 by 32 bits a number.
 */
void et_normalize(const int8_t *x, int32_t zero_point, int8_t *y, int32_t rows, int32_t n);

/* goodness = (sum of squares) * multiplier * 2^(shift - 31), at most 2^20 - 1.
 *
 * x                  int8  [rows][n]   in; n at most 66051
 * multiplier, shift  as et_rescale; (sum of squares) * 2^shift must stay below 2^32
 * goodness           int32 [rows]      out
 */
void et_goodness(const int8_t *x, int32_t zero_point, int32_t multiplier, int32_t shift,
                 int32_t *goodness, int32_t rows, int32_t n);

/* Slopes of the loss of pairs.
 *
 * goodness   int32 [2][batch]   in and out: of right labels, then of wrong ones; their slopes
 * symmetric  whether both are compared with each other, not each with the threshold
 * threshold  Q10, in [0, 2^20]
 */
void et_pair_slopes(int32_t *goodness, int32_t symmetric, int32_t threshold, int32_t batch);

/* Slopes of the loss of a right and a wrong class, 0 for all others.
 *
 * goodness              int32 [batch][classes]   in and out: of every class; their slopes
 * y, wrong              int32 [batch]            in, different classes
 * symmetric, threshold  as et_pair_slopes
 */
void et_class_slopes(int32_t *goodness, const int32_t *y, const int32_t *wrong, int32_t symmetric,
                     int32_t threshold, int32_t batch, int32_t classes);

/* Draws a wrong label for every sample, in proportion to weights.
 *
 * weights  int32 [batch][classes]   in, Q15, the right label's is not read; NULL: all alike
 * y        int32 [batch]            in, the right labels
 * key      stream of et_stream_key(seed, step, 0, ET_CONTRAST)
 * wrong    int32 [batch]            out
 * classes  [2, 2^15]
 */
void et_wrong_labels(const int32_t *weights, const int32_t *y, et_key key, int32_t *wrong,
                     int32_t batch, int32_t classes);

/* A channel a class: an auxiliary 1x1 convolution with ReLU; Q4, with the zero point -128.
 *
 * x                  int8  [rows][n_in]      in, rows are the pixels of all samples
 * w, start           of the convolution, from et_start
 * multiplier, shift  from its accumulators to Q10
 * sums               int32 [classes]         scratch
 * channels           int8  [rows][classes]   out
 */
void et_class_channels(const int8_t *x, const int8_t *w, const int32_t *start, int32_t multiplier,
                       int32_t shift, int32_t *sums, int8_t *channels, int32_t rows, int32_t n_in,
                       int32_t classes);

/* goodness = mean square of every class's channel.
 *
 * channels  int8  [batch][pixels][classes]   in; at most 66051 pixels
 * goodness  int32 [batch][classes]           out
 */
void et_class_goodness(const int8_t *channels, int32_t *goodness, int32_t batch, int32_t pixels,
                       int32_t classes);

/* Error of what made a goodness: slope * (x - zero_point), scaled to int8.
 *
 * x       int8  [batch][pixels][classes]   in; a layer is the pixels of one class
 * slopes  int32 [batch][classes]           in
 * e       int8  [batch][pixels][classes]   out; may be x itself
 *
 * Returns the largest magnitude before saturation.
 */
int32_t et_goodness_error(const int8_t *x, int32_t zero_point, const int32_t *slopes,
                          const et_scaling *scaling, int8_t *e, int32_t batch, int32_t pixels,
                          int32_t classes);

/* How far every class is behind the best one: 127 for the best, one less for each 1/16 of goodness
 * that is begun, -128 for all from 255/16 on.
 *
 * goodness  int32 [classes]   in
 * y         int8  [classes]   out
 */
void et_goodness_codes(const int32_t *goodness, int8_t *y, int32_t classes);

#ifdef __cplusplus
}
#endif

#endif
