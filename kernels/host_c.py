"""The backend "c": the C99 kernels, compiled for this computer and called through ctypes.

It runs the very files that a device gets, so what holds here about results holds there. They are
compiled when it is first loaded, and kept in the user's cache folder. A replay is no work of a
device: it is that of the specification.
"""

from edgetrain.fixed import replay_int8
from edgetrain.kernels.host_c_elements import (
    add,
    average_pool,
    average_pool_grad,
    cross_entropy,
    global_average_pool,
    logits_q10,
    look_up,
    max_pool,
    max_pool_grad,
    max_pool_index,
    momentum,
    probabilities,
    random_signs,
    requantize,
    scale_error,
    squared_error,
    update_bias,
    update_int8,
    update_int16,
)
from edgetrain.kernels.host_c_layers import (
    conv2d,
    conv2d_acc,
    conv2d_grad_w,
    conv2d_grad_x,
    dense,
    dense_acc,
    dense_grad_w,
    dense_grad_x,
)

__all__ = [
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
    "global_average_pool",
    "logits_q10",
    "look_up",
    "max_pool",
    "max_pool_grad",
    "max_pool_index",
    "momentum",
    "probabilities",
    "random_signs",
    "replay_int8",
    "requantize",
    "scale_error",
    "squared_error",
    "update_bias",
    "update_int8",
    "update_int16",
]
