"""Which ONNX operators can be read, and what to use instead of some that cannot."""

from collections.abc import Callable

from edgetrain.exporters.onnx_reading.builder import Builder, Constant
from edgetrain.exporters.onnx_reading.elementwise import (
    CURVES,
    activation,
    add,
    batch_normalization,
    divide,
    multiply,
    subtract,
)
from edgetrain.exporters.onnx_reading.graph import Op
from edgetrain.exporters.onnx_reading.layers import conv, gemm, matmul
from edgetrain.exporters.onnx_reading.pools import (
    average_pool,
    global_average_pool,
    global_max_pool,
    max_pool,
    reduce_mean,
)
from edgetrain.exporters.onnx_reading.qdq import CURE, dequantize_linear, quantize_linear
from edgetrain.exporters.onnx_reading.values import Value
from edgetrain.exporters.onnx_reading.views import (
    cast,
    flatten,
    identity,
    pad,
    reshape,
    shape_of,
    softmax,
    squeeze,
    transpose,
    unsqueeze,
)

OPERATORS: dict[str, Callable[[Builder, Op], Value | Constant]] = {
    **dict.fromkeys(CURVES, activation),
    "Add": add,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": cast,
    "Conv": conv,
    "DequantizeLinear": dequantize_linear,
    "Div": divide,
    "Dropout": identity,
    "Flatten": flatten,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
    "Identity": identity,
    "LogSoftmax": softmax,
    "MatMul": matmul,
    "MaxPool": max_pool,
    "Mul": multiply,
    "Pad": pad,
    "QuantizeLinear": quantize_linear,
    "ReduceMean": reduce_mean,
    "Reshape": reshape,
    "Shape": shape_of,
    "Softmax": softmax,
    "Squeeze": squeeze,
    "Sub": subtract,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
"""Operator → what reads it; operators on constants alone are in `onnx_fold.FOLDED`."""

_ACTIVATION = "use Relu, Clip(0, 6), Sigmoid, Tanh, Gelu, HardSwish or x * Sigmoid(x)"
_NORMALIZATION = "use BatchNormalization, which is folded into the layer before it"
_FORMAT = f"export the QDQ format instead: {CURE}"
HINTS = {
    **dict.fromkeys(("Elu", "Selu", "Celu", "PRelu", "Mish", "Softsign", "ThresholdedRelu"),
                    _ACTIVATION),
    **dict.fromkeys(("LayerNormalization", "InstanceNormalization", "GroupNormalization",
                     "RMSNormalization", "LpNormalization", "LRN"), _NORMALIZATION),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger",
                     "DynamicQuantizeLinear"), _FORMAT),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Attention"),
                    "use convolutions over time (Conv, 1-D) instead of recurrent layers"),
    **dict.fromkeys(("ConvTranspose", "Resize", "Upsample", "DepthToSpace"),
                    "networks here only keep or shrink the size of an image"),
    "Concat": "branches can be joined by Add only",
    "Split": "branches can read a whole value only",
    "Slice": "branches can read a whole value only",
    "Gather": "branches can read a whole value only",
    "ReduceMax": "use MaxPool or GlobalMaxPool",
    "ReduceSum": "use ReduceMean",
    "LpPool": "use AveragePool or MaxPool",
    "GlobalLpPool": "use GlobalAveragePool",
    "ArgMax": "end with the logits or Softmax",
    "Einsum": "use Gemm, MatMul or Conv",
}  # fmt: skip
"""Operator → the nearest thing that is supported."""


def hint(kind: str) -> str:
    """Say what to use instead of an operator.

    Example:
        >>> hint("ReduceSum")
        'use ReduceMean'
    """
    return HINTS.get(kind, "supported are " + ", ".join(sorted(OPERATORS)))
