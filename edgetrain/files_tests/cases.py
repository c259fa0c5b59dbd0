"""Models, and ways to damage their files."""

import json
from dataclasses import replace

import numpy as np
from safetensors.numpy import save as safetensors_save

from edgetrain import files, fixed
from edgetrain.files import save, save_checkpoint
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.quantize import quantize
from edgetrain.rules import MonoForward
from edgetrain.settings import Settings

SHAPES = {
    "mlp": (5,), "cnn": (8, 8, 1), "ds_cnn": (1, 40, 3), "resnet8": (8, 8, 2),
    "mobilenet_v1": (16, 16, 1), "autoencoder": (6,),
}  # fmt: skip
MIB = 1 << 20
HUGE = 2**24


def conv(name, source, n_out, activation="", groups=1):
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), groups)
    return Node(name, "conv2d", (source,), n_out, window, activation)


def pool(name, op, source):
    return Node(name, op, (source,), 0, Window((2, 2), (2, 2), (0, 0, 0, 0)))


EVERY_OPERATION = Graph((8, 8, 2), (
    conv("first", INPUT, 4, "relu6"),
    conv("depthwise", "first", 4, groups=4),
    Node("gelu", "activation", ("depthwise",), activation="gelu"),
    Node("sum", "add", ("gelu", "first"), activation="relu"),
    pool("average", "average_pool", "sum"),
    pool("largest", "max_pool", "average"),
    Node("flat", "flatten", ("largest",)),
    Node("hidden", "dense", ("flat",), 6),
    Node("tanh", "activation", ("hidden",), activation="tanh"),
    Node("classifier", "dense", ("tanh",), 3),
))  # fmt: skip


def drawn(graph, seed=0):
    rng = np.random.default_rng(seed)
    params = {
        node.name: Weights(
            rng.normal(0, 0.4, graph.weight_shape(node)).astype(np.float32),
            rng.normal(0, 0.1, node.n_out).astype(np.float32),
        )
        for node in graph.trainable
    }
    return FloatModel(graph, params)


def int8(model, **options):
    x = np.random.default_rng(1).uniform(-1, 1, (20, *model.graph.input_shape))
    return quantize(model, x.astype(np.float32), **options)


def rich(model):
    """The model with everything a model can have: heads, a history, text of all kinds."""
    rng = np.random.default_rng(2)
    names = ("first", "sum")
    heads = {
        name: Weights(
            rng.integers(-127, 128, (3, 4)).astype(np.int8),
            rng.integers(-(2**20), 2**20, 3).astype(np.int32),
        )
        for name in names
    }
    scales = {"first": 0.1 + 0.2, "sum": 2.0**-20}
    history = ('mono_forward "w16"', "ünïcode \U0001f600 \x00 / \\", "")
    return replace(model, heads=heads, head_scales=scales, history=history)


def assert_same(a, b):
    assert type(a) is type(b)
    assert (a.graph, a.task) == (b.graph, b.task)
    assert_same_weights(a.params, b.params)
    if isinstance(a, Model):
        assert a.scheme.activations == b.scheme.activations
        assert set(a.scheme.weights) == set(b.scheme.weights)
        for name, scales in a.scheme.weights.items():
            assert scales.dtype == b.scheme.weights[name].dtype
            assert scales.tobytes() == b.scheme.weights[name].tobytes()
        assert_same_weights(a.heads, b.heads)
        assert dict(a.head_scales) == dict(b.head_scales)
        assert a.history == b.history


def assert_same_weights(a, b):
    assert set(a) == set(b)
    for name, weights in a.items():
        for one, other in zip(weights, b[name], strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert one.tobytes() == other.tobytes()


def trained(model, settings=None):
    """A model and a state in the middle of a run."""
    rule = MonoForward(
        settings=settings or Settings(learning_rate=0.1, weights="w16", momentum=0.5)
    )
    state, rng = rule.init(model), np.random.default_rng(3)
    for _ in range(3):
        x = rng.integers(-128, 128, (4, *model.graph.input_shape)).astype(np.int8)
        model, state, _ = rule.step(model, state, x, rng.integers(0, 3, 4), fixed)
    return model, state


def take_apart(content):
    """Split a file into its header, the description in it, and the bytes of its tensors."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    found = json.loads(header.pop("__metadata__")[files.ENTRY])
    return header, found, content[8 + length :]


def put_together(header, found, data):
    entry = found if isinstance(found, str) else json.dumps(found)
    whole = json.dumps({**header, "__metadata__": {files.ENTRY: entry}}).encode()
    return len(whole).to_bytes(8, "little") + whole + data


def saved(path, model, state=None):
    if state is None:
        save(model, path)
    else:
        save_checkpoint(path, model, state, {"seed": 1, "nested": [1, {"a": None}]})
    return path.read_bytes()


def named(found, name):
    return next(node for node in found["nodes"] if node["name"] == name)


def set_(*keys, value):
    def edit(header, found, tensors):
        place = found
        for key in keys[:-1]:
            place = named(found, key[1:]) if isinstance(key, str) and key[0] == "@" else place[key]
        place[keys[-1]] = value

    return edit


def drop(*keys):
    def edit(header, found, tensors):
        place = found
        for key in keys[:-1]:
            place = named(found, key[1:]) if isinstance(key, str) and key[0] == "@" else place[key]
        del place[keys[-1]]

    return edit


def tensor(name, change):
    def edit(header, found, tensors):
        tensors[name] = change(tensors[name])

    return edit


def filled(value, index=0):
    def change(array):
        array = array.copy()
        array.flat[index] = value
        return array

    return change


def lost(name):
    return lambda header, found, tensors: tensors.pop(name)


def added(name):
    return lambda header, found, tensors: tensors.update({name: np.zeros(2, np.int8)})


NAN, INFINITY = float("nan"), float("inf")


def edited(content, edit):
    """Apply an edit to description and tensors, and make a sound container of the result."""
    header, found, data = take_apart(content)
    stored = {
        name: np.frombuffer(
            data[slice(*entry["data_offsets"])], files.DTYPES[entry["dtype"]]
        ).reshape(entry["shape"])
        for name, entry in header.items()
    }
    edit(header, found, stored)
    return safetensors_save(stored, metadata={files.ENTRY: json.dumps(found)})
