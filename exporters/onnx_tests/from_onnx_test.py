"""What ONNX's reference evaluator computes, the imported network computes too."""

import numpy as np
import pytest

from edgetrain import reals
from edgetrain.model import FloatModel

onnx = pytest.importorskip("onnx", reason="the ONNX importer needs onnx")

from onnx import helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from edgetrain.exporters.from_onnx import from_onnx  # noqa: E402
from edgetrain.exporters.onnx_tests.net import Net  # noqa: E402

F32, I64 = (lambda *v: np.array(v, np.float32)), (lambda *v: np.array(v, np.int64))
ONE = lambda v: np.float32(v)  # noqa: E731


def image(*shape):
    net = Net(*(shape or (3, 7, 10)))
    net.conv(4, net.shape[0], *([3] * (len(net.shape) - 1)), strides=[2] * (len(net.shape) - 1))
    return net


def line(net, *nodes):
    """Append nodes: (kind, *inputs, attributes)."""
    for kind, *inputs in nodes:
        attributes = inputs.pop() if inputs and isinstance(inputs[-1], dict) else {}
        net.add(kind, *inputs, **attributes)
    return net


def nhwc_input():
    net = line(Net(9, 7, 3), ("Transpose", {"perm": [0, 3, 1, 2]}))
    net.conv(4, 3, 3, 3, auto_pad="SAME_UPPER", strides=[2, 2])
    line(net, ("Transpose", {"perm": [0, 2, 3, 1]}), ("Reshape", I64(-1, 80)))
    net.gemm(3, 80)
    return net


def nhwc_input_of_one_channel():
    net = line(Net(9, 7, 1), ("Reshape", I64(-1, 1, 9, 7)))
    net.conv(4, 1, 3, 3)
    return line(net, ("Flatten",))


def nhwc_mean():
    net = line(Net(9, 7, 3), ("Sub", F32(0.1, 0.2, 0.3)), ("Transpose", {"perm": [0, 3, 1, 2]}))
    net.conv(4, 3, 3, 3)
    line(net, ("Transpose", {"perm": [0, 2, 3, 1]}))
    return line(net, ("ReduceMean", {"axes": [1, 2], "keepdims": 0}))


def flat_input():
    net = line(Net(63), ("Reshape", I64(0, 1, 9, 7)))
    net.conv(4, 1, 3, 3)
    return line(net, ("Flatten",))


def view_by_shape():
    net = image()
    line(net, ("Shape",), ("Gather", I64(0)[0], {"axis": 0}), ("Unsqueeze", I64(0)))
    line(net, ("Concat", I64(-1), {"axis": 0}))
    net.add("Reshape", net.last, source="conv0")
    net.gemm(3, 48)
    return net


def old_autoencoder():
    net = Net(6)
    for n_in, n_out in ((6, 4), (4, 6)):
        net.matmul(n_out, n_in)
        net.add("Add", F32(*range(n_out)))
        net.batch_norm(n_out)
        net.add("Relu")
    return net


def scale_before_dense():
    net = line(image(), ("Relu",), ("Flatten",))
    net.add("Mul", net.rng.normal(size=(1, 48)).astype(np.float32))
    net.batch_norm(48)
    net.gemm(3, 48)
    return net


def residual_of_flat_values():
    net = Net(5)
    start = net.gemm(4, 5)
    net.gemm(4, 4)
    return line(net, ("Add", start), ("Relu",))


def hard_swish_by_hand():
    net = image()
    start = net.last
    line(net, ("Add", ONE(3)), ("Clip", ONE(0), ONE(6)), ("Mul", start), ("Div", ONE(6)))
    net.conv(2, 4, 1, 1)
    return net


def joined(kind, **attributes):
    net = image()
    start = net.last
    net.add(kind, **attributes)
    return line(net, ("Mul", start))


def gelu_by_hand():
    net = image()
    start = net.last
    line(net, ("Div", ONE(np.sqrt(2))), ("Erf",), ("Add", ONE(1)))
    return line(net, ("Mul", start), ("Mul", ONE(0.5)))


def pre_activation():
    net = image()
    start = net.last
    net.batch_norm(4)
    net.add("Relu")
    net.conv(4, 4, 3, 3, pads=[1, 1, 1, 1])
    return line(net, ("Add", start))


def relu_of_one_branch():
    net = image()
    start = net.last
    return line(net, ("Relu",), ("Add", start))


def dense_of_a_pixel():
    net = line(image(), ("Relu",), ("GlobalAveragePool",))
    net.conv(5, 4, 1, 1)
    net.add("Relu")
    net.conv(3, 5, 1, 1)
    return line(net, ("Flatten",))


def signal_as_image():
    net = line(Net(2, 30), ("Unsqueeze", I64(2)))
    net.conv(4, 2, 1, 5)
    return line(net, ("Squeeze", I64(2)), ("MaxPool", {"kernel_shape": [4], "strides": [3]}))


def padded_pool(relu):
    net = line(image(), *([("Relu",)] if relu else []))
    line(net, ("Pad", I64(0, 0, 1, 0, 0, 0, 1, 1)))
    return line(net, ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}))


def convolution(*kernel, channels=3, **attributes):
    sizes = (11, 8)[: len(kernel)]
    net = Net(channels, *sizes)
    net.conv(6, channels // attributes.get("group", 1), *kernel, **attributes)
    return net


def after(*nodes, shape=()):
    return line(image(*shape), *nodes)


CONV, ACT, AVG = "conv2d", "activation", "average_pool"
POOL = {"kernel_shape": [2, 2]}
NETS = {
    "nhwc input": (nhwc_input, f"{CONV} flatten dense"),
    "nhwc input, one channel": (nhwc_input_of_one_channel, f"{CONV} flatten"),
    "nhwc mean": (nhwc_mean, f"{CONV} {CONV} global_average_pool"),
    "flat input": (flat_input, f"{CONV} flatten"),
    "view by shape": (view_by_shape, f"{CONV} flatten dense"),
    "old autoencoder": (old_autoencoder, "dense+relu dense+relu"),
    "scale before dense": (scale_before_dense, f"{CONV}+relu flatten dense"),
    "flat residual": (residual_of_flat_values, "dense dense add+relu"),
    "hard swish": (hard_swish_by_hand, f"{CONV} {ACT}+hard_swish {CONV}"),
    "silu": (lambda: joined("Sigmoid"), f"{CONV} {ACT}+silu"),
    "x * hard sigmoid": (
        lambda: joined("HardSigmoid", alpha=1 / 6, beta=0.5), f"{CONV} {ACT}+hard_swish"),
    "gelu": (gelu_by_hand, f"{CONV} {ACT}+gelu"),
    "pre-activation": (pre_activation, f"{CONV} {CONV}+relu {CONV} add"),
    "relu of one branch": (relu_of_one_branch, f"{CONV} {CONV}+relu add"),
    "dense of a pixel": (dense_of_a_pixel, f"{CONV}+relu global_average_pool dense+relu dense"),
    "signal as image": (signal_as_image, f"{CONV} max_pool"),
    "pad, relu, pool": (lambda: padded_pool(True), f"{CONV}+relu max_pool"),
    "pad, pool": (lambda: padded_pool(False), f"{CONV} {CONV} max_pool"),
    "pad, conv": (lambda: line(Net(3, 5, 6), ("Pad", I64(0, 0, 2, 0, 0, 0, 0, 1)), (
        "Conv", np.ones((2, 3, 2, 2), np.float32), {"pads": [1, 0, 0, 0]})), CONV),
    "same upper": (lambda: convolution(4, 3, auto_pad="SAME_UPPER", strides=[2, 3]), CONV),
    "same lower": (lambda: convolution(4, 3, auto_pad="SAME_LOWER", strides=[2, 3]), CONV),
    "pads": (lambda: convolution(4, 3, pads=[1, 2, 0, 3], strides=[2, 1]), CONV),
    "1-D": (lambda: convolution(4, pads=[3, 1], strides=[2], group=3), CONV),
    "groups": (lambda: convolution(3, 2, channels=4, group=2), CONV),
    "dilated": (lambda: convolution(3, 2, dilations=[2, 3], pads=[2, 2, 2, 2]), CONV),
    "relu after pools": (lambda: after(("MaxPool", POOL), ("MaxPool", POOL), ("Relu",)),
                         f"{CONV}+relu max_pool max_pool"),
    "relu, mean, relu": (lambda: after(("Relu",), ("AveragePool", POOL), ("Relu",)),
                         f"{CONV}+relu {AVG}"),
    "mean, relu": (lambda: after(("AveragePool", POOL), ("Relu",)), f"{CONV} {AVG} {CONV}+relu"),
    "relu, relu6": (lambda: after(("Relu",), ("Clip", ONE(0), ONE(6))), f"{CONV}+relu6"),
    "relu6, relu": (lambda: after(("Clip", ONE(0), ONE(6)), ("Relu",)), f"{CONV}+relu6"),
    "clip to any": (lambda: after(("Clip",), ("Tanh",)), f"{CONV} {ACT}+tanh"),
    "scale, shift": (lambda: after(("Mul", ONE(2)), ("Sub", F32(1, 2, 3, 4).reshape(4, 1, 1)),
                                   ("Div", ONE(3)), ("Relu",)), f"{CONV}+relu"),
    "constant first": (lambda: reversed_constant(), CONV),
    "ceil": (lambda: after(("AveragePool", {**POOL, "strides": [2, 2], "ceil_mode": 1})),
             f"{CONV} {AVG}"),
    "counted": (lambda: after(("AveragePool", {**POOL, "pads": [1, 0, 1, 1],
                                               "count_include_pad": 1})), f"{CONV} {CONV} {AVG}"),
    "whole": (lambda: after(("AveragePool", {"kernel_shape": [3, 4]})),
              f"{CONV} average_pool"),
    "maximum": (lambda: after(("GlobalMaxPool",), ("Flatten",)), f"{CONV} max_pool flatten"),
    "mean": (lambda: after(("ReduceMean", {"axes": [-1, 2]})), f"{CONV} global_average_pool"),
    "1-D mean": (lambda: after(("ReduceMean", {"axes": [2]}), shape=(2, 9)),
                 f"{CONV} global_average_pool"),
    "to one row": (lambda: after(("Identity",), ("Dropout",), ("Cast", {"to": 1}), ("Reshape",
                   I64(0, 4, -1)), ("Reshape", I64(0, -1))), f"{CONV} flatten"),
}  # fmt: skip


def reversed_constant():
    net = image()
    name = net.constant(F32(1, 2, 3, 4).reshape(1, 4, 1, 1))
    net.nodes.append(helper.make_node("Sub", [name, net.last], ["difference"], "difference"))
    net.last = "difference"
    return net


def ours(model, x):
    """Return our output in ONNX's layout."""
    x = np.moveaxis(x, 1, -1) if x.ndim == 4 and x.shape[1:] != model.graph.input_shape else x
    x = x.transpose(0, 2, 1) if x.ndim == 3 else x
    y = reals.output(model, np.ascontiguousarray(x).reshape(-1, *model.graph.input_shape))
    last = model.graph.output
    if last.op == "flatten":
        y = y.reshape(len(y), *model.graph.shapes[last.inputs[0]])
    return np.moveaxis(y, -1, 1)


@pytest.mark.parametrize("name", NETS)
def test_networks_compute_the_same(name):
    make, ops = NETS[name]
    net = make()
    x = net.rng.normal(size=(2, *net.shape)).astype(np.float32)
    graph = net.model()
    (wanted,) = ReferenceEvaluator(graph).run(None, {"x": x})

    model = from_onnx(graph, task="regress")

    assert isinstance(model, FloatModel)
    found = [n.op + (f"+{n.activation}" if n.activation else "") for n in model.graph.nodes]
    assert " ".join(found) == ops
    np.testing.assert_allclose(ours(model, x).reshape(wanted.shape), wanted, rtol=1e-4, atol=2e-5)
