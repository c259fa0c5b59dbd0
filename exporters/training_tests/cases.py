"""Networks, rules and options whose written steps are compared with the rules."""

import numpy as np

from edgetrain.architectures import Builder, cnn, ds_cnn, mlp, resnet8
from edgetrain.arithmetic.layers import Window
from edgetrain.graph import Node
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward
from edgetrain.settings import Settings

SEED = 0xDEADBEEF
WINDOW = Window((2, 2), (2, 2), (0, 0, 0, 0))


def mixed(shape, n_out):
    """One of every operation that a network may have."""
    net = Builder(shape)
    net.conv("stem", 4, (3, 3), activation="relu6")
    start = net.append(Node("smooth", "activation", (net.last,), activation="gelu"))
    around = Window((3, 3), (1, 1), (1, 1, 1, 1), 2)
    net.append(Node("grouped", "conv2d", (start,), 4, around, "relu"))
    net.append(Node("sum", "add", ("grouped", start), activation="relu"))
    net.append(Node("mean", "average_pool", ("sum",), 0, WINDOW))
    net.conv("wide", 8, (3, 3), depthwise=True)
    net.append(Node("most", "max_pool", (net.last,), 0, WINDOW))
    net.dense("classifier", n_out, "")
    return net.model(0)


NETWORKS = {
    "mlp": (mlp, (20,), {"hidden": (16, 12)}),
    "cnn": (cnn, (6, 6, 1), {"channels": (3, 3)}),
    "ds_cnn": (ds_cnn, (13, 6, 1), {"channels": 8, "blocks": 3}),
    "resnet": (resnet8, (8, 8, 3), {"channels": 4}),
    "mixed": (mixed, (8, 8, 2), {}),
}
RULES = {
    "mono_forward": MonoForward(warmup=2),
    "by heads, a layer a block": MonoForward(warmup=0, blocks="layer"),
    "backprop": Backprop(),
    "last layer": Backprop(settings=Settings(train=1)),
    "no layer": Backprop(settings=Settings(train=0)),
    "activity": ForwardGradient(),
    "weight": ForwardGradient(space="weight"),
    "weight, two passes": ForwardGradient(space="weight", head="same", queries=2),
    "forward_forward": ForwardForward(),
}
OPTIONS = {
    "w16": MonoForward(settings=Settings(weights="w16")),
    "momentum": MonoForward(settings=Settings(momentum=0.875), warmup=2),
    "both": ForwardGradient(settings=Settings(weights="w16", momentum=0.5), space="weight"),
    "linear": MonoForward(settings=Settings(schedule="linear", steps=5)),
    "steps": MonoForward(settings=Settings(schedule="steps", steps=4)),
    "clip": Backprop(settings=Settings(error_clip=0.01)),
    "saturates": Backprop(settings=Settings(learning_rate=2.0)),
    "value": ForwardGradient(space="weight", estimate="value", head="same"),
    "sign": ForwardGradient(estimate="sign", queries=2),
    "threshold": ForwardForward(goodness_loss="threshold", negatives="random"),
}


WINDOWS = [
    Window((3, 3), (1, 1), (1, 1, 1, 1)),
    Window((3, 3), (2, 2), (0, 1, 0, 1)),
    Window((5, 4), (2, 2), (4, 5, 1, 1)),
    Window((1, 1), (2, 2), (0, 0, 0, 0)),
    Window((1, 1), (1, 1), (0, 0, 0, 0)),
    Window((2, 3), (1, 2), (1, 0, 2, 1)),
    Window((1, 2), (1, 3), (0, 0, 0, 0)),
]
GROUPS = [(4, 1, 6), (4, 4, 4), (4, 4, 8), (4, 2, 6), (1, 1, 3)]  # channels, groups, outputs
POOLS = [
    Window((2, 2), (2, 2), (0, 0, 0, 0)),
    Window((3, 3), (2, 2), (1, 1, 1, 1)),
    Window((2, 3), (1, 1), (0, 1, 2, 1)),
]


def network(name, task="classify"):
    build, shape, more = NETWORKS[name]
    x = np.random.default_rng(0).normal(size=(16, *shape)).astype(np.float32)
    return quantize(build(shape, 5, **more), x, task=task)
