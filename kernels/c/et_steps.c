#include "et_steps.h"

#include "et_random.h"

/* What the accumulators of a layer begin with. */
ET_COLD
static const int32_t *begin(const et_layer *layer, int32_t *start) {
    const et_window *v = layer->window;
    const int32_t n = v->kernel_height * v->kernel_width * (v->n_in / v->groups);
    if (start == NULL)
        return layer->bias;
    et_start(layer->w, layer->bias, layer->x_zero_point, v->n_out, n, start);
    return start;
}

ET_COLD
void et_dense_pass(const et_layer *layer, const int8_t *x, int8_t *y, int32_t batch,
                   int32_t *start, void *scratch) {
    et_dense(x, layer->w, begin(layer, start), layer->output, y, batch, layer->window->n_in,
             layer->window->n_out, scratch);
}

ET_COLD
void et_conv2d_pass(const et_layer *layer, const int8_t *x, int8_t *y, int32_t batch,
                    int32_t *start, void *scratch) {
    et_conv2d(x, layer->w, begin(layer, start), layer->x_zero_point, layer->output, y, batch,
              layer->window, scratch);
}

ET_COLD
void et_depthwise_pass(const et_layer *layer, const int8_t *x, int8_t *y, int32_t batch,
                       int32_t *start, void *scratch) {
    et_depthwise(x, layer->w, begin(layer, start), layer->x_zero_point, layer->output, y, batch,
                 layer->window, scratch);
}

ET_COLD
void et_dense_pass_acc(const et_layer *layer, const int8_t *x, int32_t *acc, int32_t batch,
                       int32_t *start) {
    et_dense_acc(x, layer->w, begin(layer, start), acc, batch, layer->window->n_in,
                 layer->window->n_out);
}

ET_COLD
static et_scaling scaling_of(const et_learner *learner, int32_t exponent) {
    return et_choose_scale(learner->scale, learner->multiplier, learner->shift, exponent,
                           learner->limit);
}

ET_COLD
static int32_t watched(const et_learner *learner, const et_scaling *scaling, int32_t peak,
                       uint32_t step) {
    et_watch_peak(learner->scale, scaling->exponent, peak, step);
    return scaling->exponent;
}

ET_COLD
int32_t et_dense_back(const et_learner *learner, const int8_t *e, int32_t exponent, uint32_t step,
                      int32_t *sums, int8_t *out) {
    const et_window *v = learner->layer->window;
    const et_scaling scaling = scaling_of(learner, exponent);
    const int32_t peak = et_dense_error(e, learner->layer->w, learner->ratio, &scaling, sums, out,
                                        learner->rows, v->n_in, v->n_out);
    return watched(learner, &scaling, peak, step);
}

ET_COLD
int32_t et_conv2d_back(const et_learner *learner, const int8_t *e, int32_t exponent, uint32_t step,
                       int32_t *sums, int8_t *out, void *scratch) {
    const et_scaling scaling = scaling_of(learner, exponent);
    const int32_t peak =
        et_conv2d_error(e, learner->layer->w, learner->ratio, &scaling, sums, out, learner->rows,
                        learner->layer->window, scratch);
    return watched(learner, &scaling, peak, step);
}

ET_COLD
int32_t et_depthwise_back(const et_learner *learner, const int8_t *e, int32_t exponent,
                          uint32_t step, int32_t *sums, int8_t *out, void *scratch) {
    const et_scaling scaling = scaling_of(learner, exponent);
    const int32_t peak =
        et_depthwise_error(e, learner->layer->w, learner->ratio, &scaling, sums, out,
                           learner->rows, learner->layer->window, scratch);
    return watched(learner, &scaling, peak, step);
}

ET_COLD
et_step et_step_of(const et_learner *learner, const et_lesson *lesson, int32_t exponent) {
    const int32_t realign =
        learner->velocity == NULL ? 0 : et_realign(learner->velocity_unit, exponent);
    const et_key key = et_stream_key(lesson->seed, lesson->step, learner->tensor, ET_ROUND);
    const et_step found = {
        {learner->update, learner->w, key, learner->master, learner->velocity, learner->decay,
         realign},
        {learner->w_rate, learner->w_shift, exponent, lesson->rate, lesson->batch},
        {learner->b_rate, learner->b_shift, exponent, lesson->rate, lesson->batch},
    };
    return found;
}

ET_COLD
static void learn_biases(const et_learner *learner, const et_step *step, const int8_t *e) {
    const et_window *v = learner->layer->window;
    et_bias_learn(e, learner->b, &step->bias_rates, learner->bias_limit,
                  learner->rows * v->out_height * v->out_width, v->n_out);
}

ET_COLD
int32_t et_dense_step(const et_learner *learner, const et_lesson *lesson, const int8_t *x,
                      const int8_t *e, int32_t exponent, int32_t *sums) {
    const et_layer *layer = learner->layer;
    const et_step step = et_step_of(learner, lesson, exponent);
    learn_biases(learner, &step, e);
    return et_dense_learn(x, e, layer->x_zero_point, &step.weights, &step.rates, sums,
                          learner->rows, layer->window->n_in, layer->window->n_out);
}

ET_COLD
int32_t et_conv2d_step(const et_learner *learner, const et_lesson *lesson, const int8_t *x,
                       const int8_t *e, int32_t exponent, int32_t *sums, void *scratch) {
    const et_layer *layer = learner->layer;
    const et_step step = et_step_of(learner, lesson, exponent);
    learn_biases(learner, &step, e);
    return et_conv2d_learn(x, e, layer->x_zero_point, &step.weights, &step.rates, sums,
                           learner->rows, layer->window, scratch);
}

ET_COLD
int32_t et_depthwise_step(const et_learner *learner, const et_lesson *lesson, const int8_t *x,
                          const int8_t *e, int32_t exponent, int32_t *sums, void *scratch) {
    const et_layer *layer = learner->layer;
    const et_step step = et_step_of(learner, lesson, exponent);
    learn_biases(learner, &step, e);
    return et_depthwise_learn(x, e, layer->x_zero_point, &step.weights, &step.rates, sums,
                              learner->rows, layer->window, scratch);
}
