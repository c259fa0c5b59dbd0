"""The arithmetic specification: the only place where a rounding or a saturation is decided.

Every other implementation, compiled, generated or on a GPU, must equal these functions bit for
bit. They are written to be read, in NumPy, and exact: float BLAS is used where every partial sum
is provably a whole number that the format holds. So they are also the backend ``"numpy"``.

* rounding: scales as (multiplier, shift), `requantize`
* randomness: words, signs and permutations from a counter and a key
* layers: accumulators of dense and convolution, pools, add, tables
* losses: integer softmax, cross-entropy, squared error
* probabilities: the softmax of inference, int8 to int8
* gradients: weight gradients and errors
* updates: stochastic rounding, int8 weights, int16 masters, biases
* replays: the steps of a journal again
* activations: sigmoid, tanh, GELU, SiLU, hard-swish as 256-entry tables
"""

from edgetrain.arithmetic.activations import activation_table
from edgetrain.arithmetic.gradients import (
    average_pool_grad,
    conv2d_grad_w,
    conv2d_grad_x,
    dense_grad_w,
    dense_grad_x,
    max_pool_grad,
    max_pool_index,
)
from edgetrain.arithmetic.layers import (
    Window,
    add,
    average_pool,
    conv2d,
    conv2d_acc,
    dense,
    dense_acc,
    global_average_pool,
    look_up,
    max_pool,
)
from edgetrain.arithmetic.losses import (
    cross_entropy,
    log_softmax,
    logits_q10,
    scale_error,
    softmax,
    squared_error,
)
from edgetrain.arithmetic.probabilities import probabilities, softmax_multiplier
from edgetrain.arithmetic.randomness import (
    Key,
    mix32,
    permutation,
    random_below,
    random_signs,
    random_words,
    stream_key,
    stream_keys,
)
from edgetrain.arithmetic.replays import replay_int8
from edgetrain.arithmetic.rounding import (
    divide_by_power,
    quantize_multiplier,
    quantize_multipliers,
    requantize,
    rescale,
    saturate,
)
from edgetrain.arithmetic.updates import (
    masters,
    momentum,
    stochastic_steps,
    update_bias,
    update_int8,
    update_int16,
    visible,
)

__all__ = [
    "Key",
    "Window",
    "activation_table",
    "add",
    "average_pool",
    "average_pool_grad",
    "conv2d",
    "conv2d_acc",
    "conv2d_grad_w",
    "conv2d_grad_x",
    "cross_entropy",
    "dense",
    "dense_acc",
    "dense_grad_w",
    "dense_grad_x",
    "divide_by_power",
    "global_average_pool",
    "log_softmax",
    "logits_q10",
    "look_up",
    "masters",
    "max_pool",
    "max_pool_grad",
    "max_pool_index",
    "mix32",
    "momentum",
    "permutation",
    "probabilities",
    "quantize_multiplier",
    "quantize_multipliers",
    "random_below",
    "random_signs",
    "random_words",
    "replay_int8",
    "requantize",
    "rescale",
    "saturate",
    "scale_error",
    "softmax",
    "softmax_multiplier",
    "squared_error",
    "stochastic_steps",
    "stream_key",
    "stream_keys",
    "update_bias",
    "update_int8",
    "update_int16",
    "visible",
]
