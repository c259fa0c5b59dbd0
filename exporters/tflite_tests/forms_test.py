"""Files of other converters: the forms that are understood, and those that are refused."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.errors import FileError, ModelError
from edgetrain.exporters.from_tflite import from_tflite
from edgetrain.exporters.tflite_tests.interpreters import run
from edgetrain.exporters.tflite_tests.networks import NETWORKS, codes, drawn, quantized
from edgetrain.exporters.tflite_tests.surgery import OPERATORS, TYPES, File
from edgetrain.exporters.to_tflite import to_tflite
from edgetrain.graph import INPUT, Node
from edgetrain.inference import output
from edgetrain.model import FloatModel, Model
from edgetrain.quantize import quantize
from edgetrain.reals import output as float_output


def int8_file(name="conv same", seed=0):
    model = quantized(name, seed)
    return model, File(to_tflite(model)["model.tflite"])


def float_file(name="dense"):
    model, x = drawn(*NETWORKS[name], 0)
    return model, x, File(to_tflite(model)["model.tflite"])


def with_border(file, kind, outside):
    """Let an int8 file read and give another type."""
    start, end = file.graph.inputs[0], file.graph.outputs[0]
    old = [file.graph.tensors[i] for i in (start, end)]
    scales = [(t.quantization.scale[0], t.quantization.zeroPoint[0] + outside) for t in old]
    quantized_types = kind != TYPES.FLOAT32
    first, last = (
        file.tensor(name, list(t.shape), kind, *(scale if quantized_types else ()))
        for name, t, scale in zip(("first", "last"), old, scales, strict=True)
    )
    file.operator("QUANTIZE", [first], [start], 0)
    file.operator(
        "QUANTIZE" if quantized_types else "DEQUANTIZE", [end], [last], len(file.graph.operators)
    )
    file.graph.inputs, file.graph.outputs = [first], [last]
    file.model.signatureDefs = None
    return bytes(file)


@pytest.mark.parametrize(("kind", "shift"), [(TYPES.FLOAT32, 0), (TYPES.UINT8, 128)])
def test_another_type_at_the_border_is_left_out(kind, shift):
    model, file = int8_file()
    content = with_border(file, kind, shift)
    x = codes(model, 8, 0)
    found = from_tflite(content)
    np.testing.assert_array_equal(output(found, x, fixed), output(model, x, fixed))
    assert found.scheme.activations[INPUT] == model.scheme.activations[INPUT]
    if kind == TYPES.UINT8:
        given = run("litert_ref", content, (x.astype(np.int16) + 128).astype(np.uint8))
        np.testing.assert_array_equal(given.astype(np.int16) - 128, output(model, x, fixed))


def test_float16_weights_are_read():
    model, _, file = float_file()
    weights = file.graph.operators[0].inputs[1]
    tensor = file.graph.tensors[weights]
    half = model.params["fc"].w.astype(np.float16)
    stored = file.tensor("half", list(tensor.shape), TYPES.FLOAT16, data=half)
    tensor.buffer = 0
    file.operator("DEQUANTIZE", [stored], [weights], 0)
    found = from_tflite(bytes(file))
    np.testing.assert_array_equal(found.params["fc"].w, half.astype(np.float32))


def test_a_missing_bias_is_zero():
    model, file = int8_file("dense")
    file.graph.operators[0].inputs = [*file.graph.operators[0].inputs[:2], -1]
    assert not from_tflite(bytes(file)).params["fc"].b.any()
    assert model.params["fc"].b.any()


def test_padding_before_a_convolution_is_folded():
    _, file = int8_file("conv padded unevenly")
    assert len(file.graph.operators) == 2
    assert from_tflite(bytes(file)).graph.nodes[0].moving.padding == (1, 0, 2, 1)


def test_operators_that_the_output_does_not_need_are_dropped():
    _, file = int8_file("add")
    file.graph.outputs = [file.graph.operators[0].outputs[0]]
    assert [n.op for n in from_tflite(bytes(file)).graph.nodes] == ["conv2d"]


def test_names_are_readable_and_unique():
    _, file = int8_file("add")
    for operator, name in zip(file.graph.operators, ("net/Relu;net/BN", "net/relu"), strict=True):
        file.graph.tensors[operator.outputs[0]].name = name
    assert [n.name for n in from_tflite(bytes(file)).graph.nodes] == ["net_relu", "net_relu_2"]


def test_what_the_file_says_about_itself_comes_back():
    model, _ = drawn((4,), (Node("fc", "dense", (INPUT,), 3),), 0, softmax=True)
    int8 = quantize(model, np.ones((4, 4), np.float32))
    trained = Model(int8.scheme, int8.params, task="regress", history=("made", "tuned"))
    found = from_tflite(to_tflite(trained)["model.tflite"])
    assert (found.task, found.history) == ("regress", ("made", "tuned"))
    assert from_tflite(to_tflite(trained)["model.tflite"], task="classify").task == "classify"
    with pytest.raises(ValueError, match="task"):
        from_tflite(to_tflite(trained)["model.tflite"], task="guess")


def test_every_buffer_is_aligned():
    content = to_tflite(quantized("conv grouped", 0))["model.tflite"]
    for buffer in File(content).model.buffers[1:]:
        assert content.find(bytes(buffer.data)) % 16 == 0


def option(file, name, value, position=0):
    setattr(file.graph.operators[position].builtinOptions, name, value)


def tensor_of(file, position, operator=0):
    return file.graph.tensors[file.graph.operators[operator].inputs[position]]


def unknown(file, op):
    file.model.operatorCodes[0].builtinCode = getattr(OPERATORS, op)
    file.model.operatorCodes[0].deprecatedBuiltinCode = min(getattr(OPERATORS, op), 127)


REFUSED = {
    "dilation": (lambda f: option(f, "dilationHFactor", 2), "CONV_2D must have dilation 1"),
    "tanh": (lambda f: option(f, "fusedActivationFunction", 4), "NONE, RELU or RELU6"),
    "concatenation": (lambda f: unknown(f, "CONCATENATION"), "CONCATENATION .*nearest.* ADD"),
    "unheard of": (lambda f: unknown(f, "WHERE"), "WHERE is not supported.*CONV_2D"),
    "zero point of weights": (
        lambda f: setattr(tensor_of(f, 1).quantization, "zeroPoint", [1] * 6), "zero points 0",
    ),
    "axis of scales": (
        lambda f: setattr(tensor_of(f, 1).quantization, "quantizedDimension", 1), "on axis 0",
    ),
    "type": (lambda f: setattr(tensor_of(f, 0), "type", TYPES.INT16), "INT16.*full-integer"),
    "open height": (
        lambda f: setattr(tensor_of(f, 0), "shapeSignature", [-1, -1, 5, 4]), "fixed sizes",
    ),
    "two inputs": (lambda f: setattr(f.graph, "inputs", [0, 1]), "one input, got 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_supported_is_refused(case):
    change, message = REFUSED[case]
    _, file = int8_file()
    change(file)
    with pytest.raises(ModelError, match=message):
        from_tflite(bytes(file))


def test_weights_of_minus_128_are_refused():
    _, file = int8_file("dense")
    buffer = file.model.buffers[tensor_of(file, 1).buffer]
    buffer.data = np.full(len(buffer.data), 128, np.uint8)
    with pytest.raises(ModelError, match=r"\[-127, 127\]"):
        from_tflite(bytes(file))


def test_a_pool_that_changes_the_scale_is_refused():
    _, file = int8_file("max pool")
    file.graph.tensors[file.graph.outputs[0]].quantization.scale = [0.5]
    with pytest.raises(ModelError, match="must keep scale"):
        from_tflite(bytes(file))


def test_an_operator_after_the_softmax_is_refused():
    model, _ = drawn((4,), (Node("fc", "dense", (INPUT,), 3),), 0, softmax=True)
    file = File(to_tflite(model)["model.tflite"])
    end = file.graph.outputs[0]
    more = file.tensor("more", [1, 3], TYPES.FLOAT32)
    file.operator("TANH", [end], [more], len(file.graph.operators))
    file.graph.outputs = [more]
    with pytest.raises(ModelError, match="must be the last"):
        from_tflite(bytes(file))


def test_requantizing_in_the_middle_is_refused():
    _, file = int8_file("add")
    first = file.graph.operators[0].outputs[0]
    between = file.tensor("between", [1, 7, 5, 4], TYPES.FLOAT32)
    again = file.tensor("again", [1, 7, 5, 4], TYPES.INT8, 0.1, 3)
    file.operator("DEQUANTIZE", [first], [between], 1)
    file.operator("QUANTIZE", [between], [again], 2)
    file.graph.operators[3].inputs = [again, 0]
    with pytest.raises(ModelError, match="first or the last"):
        from_tflite(bytes(file))


def test_weights_of_int8_in_a_float_network_are_refused():
    _, _, file = float_file()
    tensor = tensor_of(file, 1)
    tensor.type = TYPES.INT8
    file.model.buffers[tensor.buffer].data = np.ones(13 * 7, np.uint8)
    with pytest.raises(ModelError, match="needs FLOAT32 constants"):
        from_tflite(bytes(file))


def test_a_float_model_keeps_its_numbers():
    model, x, file = float_file("conv grouped")
    found = from_tflite(bytes(file))
    assert isinstance(found, FloatModel)
    np.testing.assert_array_equal(float_output(found, x), float_output(model, x))


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", b"\x1c\0\0\0TFL3", b"\x08\0\0\0TFL3" + b"\xff" * 64]
)
def test_what_is_no_file_is_refused(content):
    with pytest.raises(FileError):
        from_tflite(content)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileError, match=r"none\.tflite cannot be read"):
        from_tflite(tmp_path / "none.tflite")
