"""The importer as a backend of ONNX's own conformance suite, for every operator it claims."""

import functools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgetrain import reals
from edgetrain.model import FloatModel

onnx = pytest.importorskip("onnx", reason="the conformance suite comes with onnx")

from onnx import TensorProto, helper, numpy_helper, shape_inference  # noqa: E402
from onnx.backend import base  # noqa: E402
from onnx.backend.test.loader import load_model_tests  # noqa: E402
from onnx.backend.test.runner import Runner  # noqa: E402

from edgetrain.exporters.from_onnx import from_onnx  # noqa: E402

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")  # "real" would be downloaded
AT_LEAST = 94
"""Claimed tests with onnx 1.23; claims may grow, not shrink."""


class View:
    """What a claim may look at: one node, the ranks and shapes around it, its constants."""

    def __init__(self, node, model, shapes, constants):
        self.kind, self.outputs = node.op_type, len([o for o in node.output if o])
        self.attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.constants = [constants.get(name) for name in node.input]
        self.shapes = [shapes.get(name) for name in node.input]
        self.alone = len([n for n in model.graph.node if n.op_type != "Constant"]) == 1
        self.last = node.output[0] == model.graph.output[0].name
        readers = [n for n in model.graph.node if node.output[0] in n.input]
        self.joined = bool(readers) and all(
            n.op_type == "Mul" and node.input[0] in n.input for n in readers
        )

    def get(self, name, default):
        return self.attributes.get(name, default)

    @property
    def rank(self):
        return len(self.shapes[0] or ())

    @property
    def image(self):
        return self.rank in (3, 4)

    @property
    def undilated(self):
        return set(self.get("dilations", [1])) == {1}


def gemm(v):
    bias = v.constants[2] if len(v.constants) > 2 else np.zeros(1)
    fits = bias is not None and (bias.ndim < 2 or len(bias) == 1)
    return v.rank == 2 and v.constants[1] is not None and not v.get("transA", 0) and fits


def average_pool(v):
    return v.image and v.undilated


def clip(v):
    bounds = [None if c is None else float(c) for c in v.constants[1:]]
    low, high = ([*bounds, None, None])[:2]
    low, high = v.get("min", low), v.get("max", high)
    return v.image and low == 0 and high in (None, 6)


def a_channel(v):
    constants = [c for c in v.constants if c is not None]
    if not v.image or len(constants) != 1 or (v.kind == "Div" and v.constants[1] is None):
        return v.kind == "Add" and not constants and v.shapes[0] == v.shapes[1]
    shape = (1,) * (v.rank - constants[0].ndim) + constants[0].shape
    return all(size == 1 for i, size in enumerate(shape) if i != 1)


def reduce_mean(v):
    axes = v.get("axes", v.constants[1] if len(v.constants) > 1 else None)
    return v.image and axes is not None and {a % v.rank for a in axes} == set(range(2, v.rank))


def flatten(v):
    return v.rank > 1 and v.get("axis", 1) in (1, 1 - v.rank)


def reshape(v):
    shape = v.shapes[0] or (0,)
    size, target = int(np.prod(shape[1:])), v.constants[1]
    return target is not None and list(target) in ([shape[0], size], [shape[0], -1], [0, -1],
                                                   [-1, size])  # fmt: skip


def pad(v):
    fill = v.get("value", 0.0) if len(v.constants) < 3 else v.constants[2]
    return v.image and v.get("mode", b"constant") == b"constant" and not np.any(fill)


IN_A_NETWORK = ("after or before a layer", lambda v: not v.alone)
A_CHANNEL = ("one constant a channel, on images", a_channel)
CLAIMS = {
    "Conv": ("1-D and 2-D", lambda v: v.image and v.constants[1] is not None),
    "Gemm": ("transA=0, constant weights, one bias an output", gemm),
    "MatMul": (
        "(batch, features) by a constant matrix",
        lambda v: v.rank == 2 and v.constants[1] is not None and v.constants[1].ndim == 2,
    ),
    "BatchNormalization": (
        "inference, on images and signals",
        lambda v: v.image and not v.get("training_mode", 0),
    ),
    "AveragePool": ("1-D and 2-D, without dilation", average_pool),
    "MaxPool": (
        "1-D and 2-D, without dilation and indices",
        lambda v: v.image and v.undilated and v.outputs == 1,
    ),
    "GlobalAveragePool": ("1-D and 2-D", lambda v: v.image),
    "GlobalMaxPool": ("1-D and 2-D, up to 256 pixels", lambda v: v.image),
    "ReduceMean": ("over height and width", reduce_mean),
    "Relu": ("on images, and after layers", lambda v: v.image or not v.alone),
    "Clip": ("from 0, or from 0 to 6; where Relu is", clip),
    "Sigmoid": ("any", lambda v: v.rank > 1),
    "Tanh": ("any", lambda v: v.rank > 1),
    "HardSwish": ("any", lambda v: v.rank > 1),
    "Gelu": ('approximate="none"', lambda v: v.get("approximate", b"none") == b"none"),
    "Swish": ("alpha=1", lambda v: v.get("alpha", 1.0) == 1 and v.rank > 1),
    "HardSigmoid": ("as x * HardSigmoid(x)", lambda v: v.joined and not v.alone),
    "Mul": (
        "one constant a channel, on images; x * Sigmoid(x), x * HardSigmoid(x)",
        lambda v: a_channel(v) or (not v.alone and all(c is None for c in v.constants)),
    ),
    "Add": ("of two values, or one constant a channel", a_channel),
    "Sub": A_CHANNEL,
    "Div": A_CHANNEL,
    "Flatten": ("axis=1", flatten),
    "Reshape": ("to (batch, features)", reshape),
    "Softmax": ("last, after a layer", lambda v: v.last and not v.alone),
    "Pad": ("zeros around height and width", pad),
    "Squeeze": IN_A_NETWORK,
    "Unsqueeze": IN_A_NETWORK,
    "Transpose": IN_A_NETWORK,
    "Identity": IN_A_NETWORK,
    "Dropout": IN_A_NETWORK,
}
"""Operator → its limits in words and as a test; the table of the README."""


class Importer(base.Backend, base.BackendRep):
    """ONNX's interface to a backend, around the float import."""

    def __init__(self, model):
        self.model = model

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        found = from_onnx(model, task="regress")
        assert isinstance(found, FloatModel)
        return cls(found)

    @classmethod
    def supports_device(cls, device):
        return device == "CPU"

    def run(self, inputs, **kwargs):
        """Run on ONNX's layout and return it."""
        (x,) = inputs
        graph = self.model.graph
        x = np.moveaxis(x, 1, -1).reshape(len(x), *graph.input_shape)
        y = reals.output(self.model, x)
        if graph.output.op == "flatten":
            y = y.reshape(len(y), *graph.shapes[graph.output.inputs[0]])
        return (np.moveaxis(y, -1, 1),)


def data_sets(case):
    """Return inputs and outputs of a test, from memory or its folder."""
    if case.data_sets is not None:
        return case.data_sets
    return [
        [_tensors(folder, what) for what in ("input", "output")]
        for folder in sorted(Path(case.model_dir).glob("test_data_set_*"))
    ]


def _tensors(folder, what):
    count = len(list(folder.glob(f"{what}_*.pb")))
    contents = [(folder / f"{what}_{i}.pb").read_bytes() for i in range(count)]
    return [numpy_helper.to_array(TensorProto.FromString(c)) for c in contents]


def bound(model, inputs):
    """Return the model with all inputs but the first as initializers."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {tensor.name for tensor in copy.graph.initializer}
    names = [i.name for i in copy.graph.input if i.name not in known]
    for name, value in list(zip(names, inputs, strict=True))[1:]:
        copy.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return copy


def claimed(model, x):
    """Whether every node of a model with its constants bound is within the claims."""
    if not isinstance(x, np.ndarray) or x.dtype != np.float32 or not 2 <= x.ndim <= 4:
        return False
    inferred = shape_inference.infer_shapes(model).graph
    known = [*inferred.input, *inferred.value_info, *inferred.output]
    shapes = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in known}
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    views = [View(n, model, shapes, constants) for n in model.graph.node if n.op_type in CLAIMS]
    return len(model.graph.output) == 1 and all(CLAIMS[v.kind][1](v) for v in views)


@functools.cache
def cases():
    """Return the claimed tests, how many there are of each operator, and how many outside."""
    found, within, outside = [], Counter(), 0
    for case in (c for kind in KINDS for c in load_model_tests(kind=kind)):
        model = case.model or onnx.load(Path(case.model_dir) / "model.onnx")
        kinds = {node.op_type for node in model.graph.node} - {"Constant"}
        if not kinds or not kinds <= set(CLAIMS):
            continue
        sets = data_sets(case)
        inputs = sets[0][0]
        plain = all(isinstance(value, (np.ndarray, np.generic)) for value in inputs)
        inside = plain and claimed(bound(model, inputs), inputs[0])
        outside += not inside
        if inside:
            within.update(kinds)
            found.append((case, model, sets))
    return found, within, outside


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # onnx makes its expected outputs with overflows
def test_every_claimed_test_passes(capsys):
    found, within, outside = cases()
    failed = {}
    for case, model, sets in found:
        try:
            for inputs, outputs in sets:
                (y,) = Importer.prepare(bound(model, inputs)).run([inputs[0]])
                wanted = outputs[0]
                Runner.assert_similar_outputs(
                    [wanted], [y.reshape(wanted.shape)], rtol=case.rtol, atol=case.atol
                )
        except Exception as error:
            failed[case.name] = str(error).strip()[:300]

    with capsys.disabled():
        print(f"\nconformance: {len(found) - len(failed)} passed of {len(found)} claimed")
        print(f"  {outside} tests of these operators alone are outside of the claimed limits")
        print("  by operator: " + ", ".join(f"{k} {n}" for k, n in sorted(within.items())))
    assert failed == {}
    assert len(found) >= AT_LEAST
    least = {"Conv": 26, "AveragePool": 17, "MaxPool": 15, "Gemm": 10, "BatchNormalization": 5}
    assert {kind: within[kind] for kind in least if within[kind] < least[kind]} == {}


def test_every_claim_is_an_operator_of_the_importer():
    from edgetrain.exporters.onnx_reading.operators import OPERATORS

    beside = {"QuantizeLinear", "DequantizeLinear"}  # in qdq_import_test.py
    inside = {"Cast", "Shape", "LogSoftmax", "Erf", "LeakyRelu", "Softplus"}  # parts of patterns
    assert set(OPERATORS) - set(CLAIMS) == beside | inside
