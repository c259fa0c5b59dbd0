from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx
import onnxruntime

from edgetrain import fixed
from edgetrain.architectures import ARCHITECTURES
from edgetrain.arithmetic.activations import FUNCTIONS
from edgetrain.arithmetic.probabilities import reciprocal_q31
from edgetrain.exporters.onnx_writing import softmax as onnx_softmax
from edgetrain.exporters.onnx_writing.write import Writer
from edgetrain.exporters.to_onnx import to_onnx
from edgetrain.files_tests.cases import EVERY_OPERATION, drawn, int8
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.history import Training
from edgetrain.inference import output
from edgetrain.model import Model, Weights
from edgetrain.scheme import Quantization, Scheme

IMAGE = (7, 5, 4)


def conv(n_out, *window, activation="", source=INPUT, name="conv"):
    return Node(name, "conv2d", (source,), n_out, Window(*window), activation)


def pool(op, *window):
    return Node("pool", op, (INPUT,), 0, Window(*window))


SAME = ((3, 3), (1, 1), (1, 1, 1, 1))
LAYERS = {
    "dense": ((9,), Node("dense", "dense", (INPUT,), 4, activation="relu")),
    "grouped": (IMAGE, conv(6, *SAME, 2)),
    "depth multiplier": (IMAGE, conv(8, *SAME, 4, activation="relu")),
    "asymmetric": (IMAGE, conv(3, (3, 4), (2, 1), (0, 1, 2, 1))),
    "stride": (IMAGE, conv(3, (2, 3), (2, 2), (0, 0, 0, 0), activation="relu6")),
    "pointwise": (IMAGE, conv(5, (1, 1), (1, 1), (0, 0, 0, 0))),
    "average": (IMAGE, pool("average_pool", (2, 2), (2, 2), (0, 0, 0, 0))),
    "padded average": (IMAGE, pool("average_pool", (3, 2), (2, 1), (1, 1, 0, 1))),
    "padded max": (IMAGE, pool("max_pool", (3, 2), (2, 1), (1, 1, 0, 1))),
    "global": (IMAGE, Node("pool", "global_average_pool", (INPUT,))),
    "flatten": (IMAGE, Node("flat", "flatten", (INPUT,))),
    "flatten a channel": ((7, 5, 1), Node("flat", "flatten", (INPUT,))),
    "flatten a pixel": ((1, 1, 5), Node("flat", "flatten", (INPUT,))),
    "twice": (IMAGE, Node("sum", "add", (INPUT, INPUT), activation="relu6")),
} | {name: (IMAGE, Node("f", "activation", (INPUT,), activation=name)) for name in FUNCTIONS}
GRAPHS = {name: Graph(shape, (node,)) for name, (shape, node) in LAYERS.items()}
GRAPHS["every operation"] = EVERY_OPERATION
GRAPHS["add"] = Graph(
    IMAGE, (conv(4, *SAME), Node("output", "add", ("conv", INPUT), activation="relu"))
)
SHAPES = {
    "mlp": (5,), "cnn": (9, 7, 2), "ds_cnn": (13, 9, 3), "resnet8": (9, 7, 2),
    "mobilenet_v1": (17, 13, 3), "autoencoder": (6,),
}  # fmt: skip
NETWORKS = {name: drawn(graph) for name, graph in GRAPHS.items()}
NETWORKS |= {name: drawn(ARCHITECTURES[name](SHAPES[name], 6).graph) for name in ARCHITECTURES}


def session(contents, optimized=True):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    )
    return onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])


def run(contents, x, optimized=True):
    """Give images channels last, as ours, and take them so."""
    x = x.transpose(0, 3, 1, 2) if x.ndim == 4 else x
    (y,) = session(contents, optimized).run(None, {"input": np.ascontiguousarray(x)})
    return y.transpose(0, 2, 3, 1) if y.ndim == 4 else y


def codes(shape, count=20, seed=0):
    """Random samples, and the two that saturate."""
    drawn = np.random.default_rng(seed).integers(-128, 128, (count, *shape))
    ends = [np.full((1, *shape), end) for end in (-128, 127)]
    return np.concatenate([*ends, drawn]).astype(np.int8)


def written(model, **options):
    (contents,) = to_onnx(model, **options).values()
    onnx.checker.check_model(onnx.load_from_string(contents), full_check=True)
    return contents


def assert_exact(model, x):
    contents, wanted = written(model), output(model, x, fixed)
    for optimized in (True, False):
        for count in (len(x), 3, 1, 0):
            y = run(contents, x[:count], optimized)
            np.testing.assert_array_equal(y, wanted[:count], strict=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_exact_gives_our_bytes(name):
    model = int8(NETWORKS[name])
    x = codes(model.graph.input_shape)
    assert len(np.unique(output(model, x, fixed))) > 10
    assert_exact(model, x)


def dense(scales, biases, zero_point=0, activation=""):
    """A layer whose accumulators are its one input plus a bias."""
    scales = np.asarray(scales, np.float64)
    graph = Graph((1,), (Node("dense", "dense", (INPUT,), len(scales), activation=activation),))
    ends = {INPUT: Quantization(1.0, 0), "dense": Quantization(1.0, zero_point)}
    w = np.ones((len(scales), 1), np.int8)
    return Model(
        Scheme(graph, ends, {"dense": scales}),
        {"dense": Weights(w, np.asarray(biases, np.int32))},
    )


def test_exact_rounds_every_tie_as_we_do():
    x = np.arange(-128, 128, dtype=np.int8).reshape(-1, 1)
    model = dense(2.0 ** -np.arange(8), [0] * 8)
    acc = x.astype(np.int64)
    shift = model.scheme.requantize["dense"][1].astype(np.int64)
    half = np.where(shift < 0, 1 << np.maximum(-shift - 1, 0), 0)
    ties_up = (((acc * 2**30 + 2**30) >> 31) + half) >> np.maximum(-shift, 0)
    assert (ties_up != output(model, x, fixed)).any()
    assert_exact(model, x)


@pytest.mark.parametrize("zero_point", [-128, 0, 100])
def test_exact_rounds_near_ties_of_any_scale(zero_point):
    rng = np.random.default_rng(zero_point + 128)
    scales = 2.0 ** rng.uniform(-20, -1, 600)
    biases = np.rint((rng.integers(-140, 140, 600) + 0.5) / scales)
    assert_exact(dense(scales, biases, zero_point), np.arange(-3, 4, dtype=np.int8).reshape(-1, 1))


@pytest.mark.parametrize("activation", ["", "relu", "relu6"])
def test_exact_holds_from_the_smallest_to_the_largest_scale(activation):
    scales = np.float64([1e-12, 2.0**-32, 2.0**-31, 3e-9, 1e-5, 0.3, 1.0, 1.7, 40, 3000, 2.0**22])
    x = np.arange(-128, 128, dtype=np.int8).reshape(-1, 1)
    for end in (0, 2**30, -(2**30)):
        biases = np.where(scales < 1, end, 1)
        assert_exact(dense(scales, biases, 3, activation), x)


def logits(classes, scale):
    graph = Graph((classes,), (Node("logits", "flatten", (INPUT,)),))
    ends = dict.fromkeys((INPUT, "logits"), Quantization(scale, 5))
    return Model(Scheme(graph, ends, {}), {}, softmax=True)


@pytest.mark.parametrize("scale", [0.004, 0.0625, 0.17, 1.0, 20.0])
@pytest.mark.parametrize("classes", [1, 2, 10, 300, 4095])
def test_exact_softmax_gives_our_bytes(classes, scale):
    wide, narrow = codes((classes,), 200), codes((classes,), 200, 1) // 16
    assert_exact(logits(classes, scale), np.concatenate([wide, narrow]).astype(np.int8))


def test_a_softmax_follows_a_network():
    model = int8(replace(drawn(EVERY_OPERATION), softmax=True))
    assert_exact(model, codes(model.graph.input_shape))


def test_the_reciprocal_of_a_softmax_is_ours():
    x = np.random.default_rng(0).integers(0, 2**30, (1, 5000)) * 2  # the fraction of 1 + x, Q31
    x[0, :3] = 0, 2, 2**31 - 2
    graph = Graph((5000,), (Node("reciprocal", "flatten", (INPUT,)),))
    write = Writer("reciprocal")
    result = onnx_softmax.reciprocal(write, INPUT)
    contents = write.file(result, graph, np.int64, {"name": "reciprocal"})
    np.testing.assert_array_equal(run(contents, (x + 2**31) // 2), reciprocal_q31(x))


@pytest.mark.parametrize("form", ["exact", "qdq", "float"])
def test_old_runtimes_read_the_file(form):
    float_model = drawn(EVERY_OPERATION)
    model = onnx.load_from_string(
        written(float_model if form == "float" else int8(float_model), form=form)
    )
    assert model.ir_version <= 10
    assert [(entry.domain, 18 <= entry.version <= 21) for entry in model.opset_import] == [
        ("", True)
    ]
    ours = {node.name for node in EVERY_OPERATION.nodes} | {"codes", "result", "input"}
    assert {node.name.split("/")[0] for node in model.graph.node} <= ours
    assert ours - {"codes", "result", "input"} <= {node.name for node in model.graph.node}
    assert all(value.type.tensor_type.shape.dim[0].dim_param == "batch"
               for value in (*model.graph.input, *model.graph.output))  # fmt: skip


def properties(contents):
    model = onnx.load_from_string(contents)
    assert (model.graph.name, model.producer_name) == ("net", "edgetrain")
    return {entry.key: entry.value for entry in model.metadata_props}


def test_the_file_says_where_the_model_comes_from():
    model = int8(drawn(EVERY_OPERATION))
    training = Training("mono_forward", 200, "1a2b3c4d")
    found = properties(written(replace(model, history=("made", str(training))), name="net"))
    assert (found["rule"], found["steps"], found["trace"]) == ("mono_forward", "200", "1a2b3c4d")
    assert found["history"] == f"made\n{training}"
    ends = [model.scheme.activations[name] for name in (INPUT, "classifier")]
    for end, wanted in zip(("input", "output"), ends, strict=True):
        assert float(found[f"{end}_scale"]) == wanted.scale
        assert int(found[f"{end}_zero_point"]) == wanted.zero_point


def test_probabilities_have_their_own_scale():
    found = properties(written(replace(int8(drawn(EVERY_OPERATION)), softmax=True), name="net"))
    assert (found["output_scale"], found["output_zero_point"]) == ("0.00390625", "-128")


def test_the_same_model_gives_the_same_file():
    assert to_onnx(int8(drawn(EVERY_OPERATION))) == to_onnx(int8(drawn(EVERY_OPERATION)))


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "-rf", "a b", "a\n", "ü"])
def test_rejects_what_is_no_name_of_a_file(name):
    with pytest.raises(ValueError, match="name must be"):
        to_onnx(drawn(EVERY_OPERATION), name)


def test_rejects_a_form_the_model_does_not_have():
    with pytest.raises(ValueError, match="one of exact, qdq, got 'float'"):
        to_onnx(int8(drawn(EVERY_OPERATION)), form="float")
    with pytest.raises(ValueError, match="one of float, got 'qdq'"):
        to_onnx(drawn(EVERY_OPERATION), form="qdq")
