"""Models to TensorFlow Lite files: int8 or float32, for LiteRT and TensorFlow Lite Micro."""

from collections.abc import Callable

from edgetrain.errors import ModelError
from edgetrain.exporters.metadata import metadata
from edgetrain.exporters.names import check_file_name
from edgetrain.exporters.tflite_writing.exporting import Exporting
from edgetrain.exporters.tflite_writing.write import Writer
from edgetrain.graph import INPUT, Node
from edgetrain.model import FloatModel, Model

FUSED = {"": 0, "relu": 1, "relu6": 3}
FUNCTIONS = {"sigmoid": "LOGISTIC", "tanh": "TANH", "hard_swish": "HARD_SWISH", "gelu": "GELU"}
POOLS = {"average_pool": "AVERAGE_POOL_2D", "max_pool": "MAX_POOL_2D"}


def to_tflite(model: FloatModel | Model, name: str = "model") -> dict[str, bytes]:
    """Export a model as a TensorFlow Lite file.

    An int8 model keeps its integers and scales. TensorFlow Lite Micro, CMSIS-NN and the reference
    kernels of tflite-runtime give the bytes of `edgetrain.inference.output`; other kernels round
    otherwise and differ by at most 1 in a layer. A smooth activation may differ by 1 everywhere.

    Args:
        model: to export; heads of `edgetrain.make_heads` stay behind.
        name: of the model: letters, digits, ``_``, ``-`` and dots.

    Returns:
        ``{"NAME.tflite": contents}``. The file has the signature "serving_default" with "input"
        and "output", the batch is open, images are (batch, height, width, channels).

    Raises:
        ValueError: if the name is not one.
        ModelError: if TensorFlow Lite has no operator for a node; it names the node.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> files = to_tflite(mlp((4,), 2), "tiny")
        >>> files["tiny.tflite"][4:8]
        b'TFL3'
    """
    check_file_name(name)
    export = Exporting(model, Writer(isinstance(model, Model)))
    start = export.value(INPUT, export.graph.input_shape, "input")
    for node in export.graph.nodes:
        WRITERS[node.op](export, node)
    end = export.tensors[export.graph.output.name]
    if model.softmax:
        end = export.softmax(end)
    return {f"{name}.tflite": export.writer.finish(start, end, metadata(model, name))}


def _convolution(export: Exporting, node: Node) -> None:
    window, channels = node.moving, export.graph.shapes[node.inputs[0]][2]
    source, padding = export.padded(node)
    depthwise = window.groups == channels and channels > 1
    op, options = ("DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions") if depthwise else (
        "CONV_2D", "Conv2DOptions",
    )  # fmt: skip
    more = {"depthMultiplier": node.n_out // channels} if depthwise else {}
    export.writer.operator(
        op, [source, *export.parameters(node, depthwise)], export.result(node), options,
        padding=padding, strideH=window.stride[0], strideW=window.stride[1],
        fusedActivationFunction=FUSED[node.activation], **more,
    )  # fmt: skip


def _dense(export: Exporting, node: Node) -> None:
    export.writer.operator(
        "FULLY_CONNECTED", [*export.read(node), *export.parameters(node, False)],
        export.result(node), "FullyConnectedOptions",
        fusedActivationFunction=FUSED[node.activation],
    )  # fmt: skip


def _pool(export: Exporting, node: Node) -> None:
    source, padding = export.padded(node)
    (height, width), (down, right) = node.moving.kernel, node.moving.stride
    export.writer.operator(
        POOLS[node.op], [source], export.result(node), "Pool2DOptions",
        padding=padding, filterHeight=height, filterWidth=width, strideH=down, strideW=right,
    )  # fmt: skip


def _global_pool(export: Exporting, node: Node) -> None:
    axes = export.constant(f"{node.name}/axes", [1, 2])
    export.writer.operator(
        "MEAN", [*export.read(node), axes], export.result(node), "ReducerOptions", keepDims=False
    )


def _add(export: Exporting, node: Node) -> None:
    fused = FUSED[node.activation]
    export.writer.operator(
        "ADD", export.read(node), export.result(node), "AddOptions", fusedActivationFunction=fused
    )


def _flatten(export: Exporting, node: Node) -> None:
    size = export.graph.shapes[node.name][0]
    shape = export.constant(f"{node.name}/shape", [-1, size])
    export.writer.operator(
        "RESHAPE", [*export.read(node), shape], export.result(node), "ReshapeOptions",
        newShape=[-1, size],
    )  # fmt: skip


def _function(export: Exporting, node: Node) -> None:
    if node.activation not in FUNCTIONS:
        raise ModelError(
            f"node {node.name!r}: TensorFlow Lite has no operator for {node.activation}, "
            f"only for {', '.join(FUNCTIONS)}: export to ONNX"
        )
    options = {"gelu": "GeluOptions", "hard_swish": "HardSwishOptions"}.get(node.activation, "")
    op = FUNCTIONS[node.activation]
    export.writer.operator(op, export.read(node), export.result(node), options)


WRITERS: dict[str, Callable[[Exporting, Node], None]] = {
    "dense": _dense,
    "conv2d": _convolution,
    "average_pool": _pool,
    "max_pool": _pool,
    "global_average_pool": _global_pool,
    "add": _add,
    "flatten": _flatten,
    "activation": _function,
}
