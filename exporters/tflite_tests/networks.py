"""Small int8 networks, one an operator and its variants."""

import numpy as np

from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.quantize import quantize

IMAGE = (7, 5, 4)


def conv(n_out, kernel, stride=(1, 1), padding=(0, 0, 0, 0), groups=1, activation=""):
    window = Window(kernel, stride, padding, groups)
    return Node("conv", "conv2d", (INPUT,), n_out, window, activation)


def pool(op, kernel, stride, padding=(0, 0, 0, 0)):
    return Node("pool", op, (INPUT,), 0, Window(kernel, stride, padding))


NETWORKS = {
    "dense": ((13,), (Node("fc", "dense", (INPUT,), 7),)),
    "dense relu": ((13,), (Node("fc", "dense", (INPUT,), 7, activation="relu"),)),
    "dense relu6": ((13,), (Node("fc", "dense", (INPUT,), 7, activation="relu6"),)),
    "dense of an image": ((3, 2, 2), (
        Node("flat", "flatten", (INPUT,)), Node("fc", "dense", ("flat",), 5),
    )),
    "conv valid": (IMAGE, (conv(3, (3, 2)),)),
    "conv same": (IMAGE, (conv(6, (3, 3), padding=(1, 1, 1, 1), activation="relu"),)),
    "conv 1x1": (IMAGE, (conv(8, (1, 1), activation="relu6"),)),
    "conv stride 2, same": (IMAGE, (conv(3, (3, 3), (2, 2), (1, 1, 1, 1)),)),
    "conv stride 2, as torch pads": ((8, 6, 3), (conv(3, (3, 3), (2, 2), (1, 1, 1, 1)),)),
    "conv padded unevenly": (IMAGE, (conv(3, (2, 3), (1, 2), (1, 0, 2, 1)),)),
    "conv of one channel": ((9, 4, 1), (conv(8, (3, 3), (2, 1)),)),
    "conv grouped": (IMAGE, (conv(6, (3, 3), padding=(1, 1, 1, 1), groups=2),)),
    "conv of a signal": ((1, 20, 3), (conv(5, (1, 5), (1, 2), (0, 0, 2, 2)),)),
    "depthwise": (IMAGE, (conv(4, (3, 3), (1, 1), (1, 1, 1, 1), 4, "relu"),)),
    "depthwise stride 2": ((8, 8, 4), (conv(4, (3, 3), (2, 2), (0, 1, 0, 1), 4),)),
    "depthwise twice the channels": (IMAGE, (conv(8, (3, 3), (1, 1), (1, 1, 1, 1), 4),)),
    "average pool": (IMAGE, (pool("average_pool", (3, 2), (2, 1)),)),
    "average pool same": (IMAGE, (pool("average_pool", (3, 3), (1, 1), (1, 1, 1, 1)),)),
    "max pool": (IMAGE, (pool("max_pool", (2, 2), (2, 2)),)),
    "max pool same": (IMAGE, (pool("max_pool", (3, 3), (2, 2), (1, 1, 1, 1)),)),
    "max pool as torch pads": ((8, 8, 2), (pool("max_pool", (3, 3), (2, 2), (1, 1, 1, 1)),)),
    "global pool": (IMAGE, (Node("mean", "global_average_pool", (INPUT,)),)),
    "add": (IMAGE, (
        conv(4, (1, 1)), Node("sum", "add", ("conv", INPUT)),
    )),
    "add relu": (IMAGE, (
        conv(4, (1, 1), activation="relu"), Node("sum", "add", (INPUT, "conv"), activation="relu"),
    )),
    "add relu6": (IMAGE, (
        conv(4, (1, 1)), Node("sum", "add", ("conv", INPUT), activation="relu6"),
    )),
    "add of a value to itself": (IMAGE, (Node("sum", "add", (INPUT, INPUT)),)),
}  # fmt: skip
FUNCTIONS = ("sigmoid", "tanh", "hard_swish", "gelu")


def drawn(input_shape, nodes, seed, softmax=False, sd=1.0):
    """Draw parameters and a scale for everything, so that outputs fill int8."""
    rng = np.random.default_rng(seed)
    graph = Graph(input_shape, nodes)
    params = {
        node.name: Weights(
            rng.normal(0, rng.uniform(0.1, 1), graph.weight_shape(node)).astype(np.float32),
            rng.normal(0, 0.3, node.n_out).astype(np.float32),
        )
        for node in graph.trainable
    }
    x = rng.normal(rng.uniform(-1, 1), sd, (64, *input_shape)).astype(np.float32)
    return FloatModel(graph, params, softmax=softmax), x


def quantized(name, seed) -> Model:
    model, x = drawn(*NETWORKS[name], seed)
    return quantize(model, x)


def codes(model, count, seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (count, *model.graph.input_shape)).astype(np.int8)
    x[0], x[1] = 127, -128
    return x
