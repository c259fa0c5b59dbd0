/* A layer's passes as one call each, from what never changes of it and so lies in flash.
 *
 * x, y, e and out are as the kernels of et_layers.h and et_learn.h have them, and so are sums and
 * scratch.
 *
 * Stack of a call at most: 304 bytes on a Cortex-M0, 656 on an M4, 808 on an M55 (gcc, -O2),
 * and where weights learn that of their update in et_updates.h.
 */
#ifndef ET_STEPS_H
#define ET_STEPS_H

#include "et_learn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A layer with weights. */
typedef struct {
    const int8_t *w;
    const int32_t *bias;     /* where weights never change, what et_start made of it */
    const et_output *output;
    const et_window *window; /* a dense layer uses n_in and n_out */
    int32_t x_zero_point;
} et_layer;

/* How a layer learns, and how errors flow back through it. */
typedef struct {
    const et_layer *layer;
    int32_t rows;                     /* samples of a batch; of a head on pixels these */
    et_update *update;
    int8_t *w;
    int32_t *b;
    const int32_t *w_rate, *b_rate;   /* multipliers of et_rates, and their shifts */
    const int8_t *w_shift, *b_shift;
    int32_t bias_limit;
    uint32_t tensor;                  /* its number, for et_stream_key */
    int16_t *master;                  /* and the rest as et_weights has them */
    int32_t *velocity, *velocity_unit;
    int32_t decay;
    const int16_t *ratio;             /* NULL where no error flows back, as are the rest */
    et_scale *scale;
    int32_t multiplier, shift, limit; /* of et_choose_scale */
} et_learner;

/* What a step is to all that learn in it. */
typedef struct {
    uint32_t seed, step;
    int32_t rate, batch; /* of et_rates */
} et_lesson;

/* y = the layer's result.
 *
 * start  int32 [n_out]   scratch; NULL where weights never change
 */
void et_dense_pass(const et_layer *layer, const int8_t *x, int8_t *y, int32_t batch,
                   int32_t *start, void *scratch);
void et_conv2d_pass(const et_layer *layer, const int8_t *x, int8_t *y, int32_t batch,
                    int32_t *start, void *scratch);
void et_depthwise_pass(const et_layer *layer, const int8_t *x, int8_t *y, int32_t batch,
                       int32_t *start, void *scratch);

/* acc = a dense layer's accumulators. */
void et_dense_pass_acc(const et_layer *layer, const int8_t *x, int32_t *acc, int32_t batch,
                       int32_t *start);

/* out = the error of a layer's input, of an error with an exponent; returns the exponent of out.
 *
 * step  number of the training step
 */
int32_t et_dense_back(const et_learner *learner, const int8_t *e, int32_t exponent, uint32_t step,
                      int32_t *sums, int8_t *out);
int32_t et_conv2d_back(const et_learner *learner, const int8_t *e, int32_t exponent, uint32_t step,
                       int32_t *sums, int8_t *out, void *scratch);
int32_t et_depthwise_back(const et_learner *learner, const int8_t *e, int32_t exponent,
                          uint32_t step, int32_t *sums, int8_t *out, void *scratch);

/* One step of weights and biases from an error with an exponent; returns the saturated updates. */
int32_t et_dense_step(const et_learner *learner, const et_lesson *lesson, const int8_t *x,
                      const int8_t *e, int32_t exponent, int32_t *sums);
int32_t et_conv2d_step(const et_learner *learner, const et_lesson *lesson, const int8_t *x,
                       const int8_t *e, int32_t exponent, int32_t *sums, void *scratch);
int32_t et_depthwise_step(const et_learner *learner, const et_lesson *lesson, const int8_t *x,
                          const int8_t *e, int32_t exponent, int32_t *sums, void *scratch);

/* What a step of et_learner is to the kernels: its weights, and the rates of these and biases. */
typedef struct {
    et_weights weights;
    et_rates rates, bias_rates;
} et_step;

et_step et_step_of(const et_learner *learner, const et_lesson *lesson, int32_t exponent);

#ifdef __cplusplus
}
#endif

#endif
