"""Every lie in a file is found."""

import numpy as np
import pytest

from edgetrain.architectures import cnn, mlp
from edgetrain.errors import FileError
from edgetrain.files import load, load_checkpoint
from edgetrain.files_tests.cases import (
    HUGE,
    INFINITY,
    NAN,
    added,
    assert_same,
    drawn,
    drop,
    edited,
    filled,
    int8,
    lost,
    saved,
    set_,
    tensor,
    trained,
)
from edgetrain.graph import INPUT, Graph, Node

LIES = {
    "unknown op": set_("@first", "op", value="eval"),
    "op of another type": set_("@first", "op", value=["conv2d"]),
    "version 2": set_("version", value=2),
    "no version": drop("version"),
    "text for a version": set_("version", value="1"),
    "unknown kind": set_("kind", value="pickle"),
    "list for a kind": set_("kind", value=["model"]),
    "kind of another file": set_("kind", value="float_model"),
    "no nodes": set_("nodes", value=[]),
    "nodes missing": drop("nodes"),
    "nodes as text": set_("nodes", value="nodes"),
    "a number for a node": set_("nodes", 0, value=3),
    "two nodes of one name": set_("@gelu", "name", value="first"),
    "a node named as the input": set_("@gelu", "name", value=INPUT),
    "a cycle": set_("@first", "inputs", value=["classifier"]),
    "a node that reads itself": set_("@first", "inputs", value=["first"]),
    "an unknown input": set_("@gelu", "inputs", value=["nobody"]),
    "no inputs": set_("@gelu", "inputs", value=[]),
    "many inputs": set_("@gelu", "inputs", value=["first"] * 1000),
    "an add of one": set_("@sum", "inputs", value=["gelu"]),
    "an add of two shapes": set_("@sum", "inputs", value=["gelu", INPUT]),
    "input of another type": set_("@gelu", "inputs", value=[None]),
    "unknown activation": set_("@gelu", "activation", value="exec"),
    "fused gelu": set_("@first", "activation", value="gelu"),
    "negative n_out": set_("@first", "n_out", value=-4),
    "no n_out": set_("@first", "n_out", value=0),
    "huge n_out": set_("@first", "n_out", value=HUGE),
    "more than huge n_out": set_("@first", "n_out", value=2**80),
    "real n_out": set_("@first", "n_out", value=4.0),
    "true n_out": set_("@first", "n_out", value=True),
    "no stride": set_("@first", "stride", value=[0, 0]),
    "no vertical stride": set_("@first", "stride", value=[0, 1]),
    "no horizontal stride of a pool": set_("@average", "stride", value=[2, 0]),
    "negative stride": set_("@first", "stride", value=[-1, 1]),
    "one stride": set_("@first", "stride", value=[1]),
    "stride missing": drop("@first", "stride"),
    "no kernel": set_("@first", "kernel", value=[0, 0]),
    "kernel missing": drop("@first", "kernel"),
    "huge kernel": set_("@first", "kernel", value=[HUGE, HUGE]),
    "huge pool": set_("@average", "kernel", value=[HUGE, HUGE]),
    "huge padding": set_("@first", "padding", value=[HUGE] * 4),
    "negative padding": set_("@first", "padding", value=[-1, 1, 1, 1]),
    "padding wider than a pool": set_("@average", "padding", value=[2, 0, 0, 0]),
    "no groups": set_("@first", "groups", value=0),
    "true groups": set_("@first", "groups", value=True),
    "groups that divide nothing": set_("@first", "groups", value=3),
    "huge input": set_("input_shape", value=[HUGE, HUGE, 2]),
    "empty input": set_("input_shape", value=[0, 8, 2]),
    "negative input": set_("input_shape", value=[-8, 8, 2]),
    "flat input": set_("input_shape", value=[8, 8]),
    "no input shape": set_("input_shape", value=[]),
    "deep input": set_("input_shape", value=[1] * 64),
    "scale is NaN": set_("activations", "first", value=[NAN, 0]),
    "scale is infinite": set_("activations", "first", value=[INFINITY, 0]),
    "scale is negative": set_("activations", "first", value=[-0.1, 0]),
    "scale is 0": set_("activations", "first", value=[0.0, 0]),
    "scale is text": set_("activations", "first", value=["0.1", 0]),
    "scale is whole": set_("activations", "first", value=[1, 0]),
    "scale has no integer form": set_("activations", "first", value=[1e-37, 0]),
    "scale is tiny": set_("activations", "first", value=[1e-300, 0]),
    "zero point too low": set_("activations", "first", value=[0.1, -129]),
    "zero point too high": set_("activations", "first", value=[0.1, 128]),
    "real zero point": set_("activations", "first", value=[0.1, 0.5]),
    "no zero point": set_("activations", "first", value=[0.1]),
    "a pool of another scale": set_("activations", "average", value=[0.5, 0]),
    "no scale": drop("activations", "first"),
    "no input scale": drop("activations", INPUT),
    "scale of nobody": set_("activations", "nobody", value=[0.1, 0]),
    "no scales": set_("activations", value=None),
    "no heads": drop("heads"),
    "heads not named": set_("heads", value={}),
    "head of nobody": set_("heads", value={"nobody": 0.5, "first": 0.5, "sum": 0.5}),
    "head scale is NaN": set_("heads", "first", value=NAN),
    "head scale is negative": set_("heads", "first", value=-1.0),
    "unknown task": set_("task", value="sing"),
    "list for a task": set_("task", value=["classify"]),
    "no task": drop("task"),
    "no history": drop("history"),
    "numbers for a history": set_("history", value=[1]),
    "text for a history": set_("history", value="history"),
    "weight of -128": tensor("node/first/w", filled(-128)),
    "last weight of -128": tensor("node/classifier/w", filled(-128, -1)),
    "head weight of -128": tensor("head/first/w", filled(-128)),
    "wrong w dtype": tensor("node/first/w", lambda a: a.astype(np.int16)),
    "unsigned w": tensor("node/first/w", lambda a: a.view(np.uint8)),
    "wrong b dtype": tensor("node/first/b", lambda a: a.astype(np.int64)),
    "real b": tensor("node/first/b", lambda a: a.astype(np.float32)),
    "wrong scale dtype": tensor("node/first/scale", lambda a: a.astype(np.float32)),
    "wrong head dtype": tensor("head/first/w", lambda a: a.astype(np.float32)),
    "bool w": tensor("node/first/w", lambda a: a.astype(bool)),
    "half scale": tensor("node/first/scale", lambda a: a.astype(np.float16)),
    "w transposed": tensor("node/classifier/w", lambda a: np.ascontiguousarray(a.T)),
    "w flat": tensor("node/first/w", lambda a: a.reshape(-1)),
    "b too long": tensor("node/first/b", lambda a: np.zeros(5, np.int32)),
    "b empty": tensor("node/first/b", lambda a: np.zeros(0, np.int32)),
    "largest bias": tensor("node/first/b", filled(2**31 - 1)),
    "smallest bias": tensor("node/first/b", filled(-(2**31))),
    "largest head bias": tensor("head/first/b", filled(-(2**31))),
    "weight scale is NaN": tensor("node/first/scale", filled(NAN)),
    "weight scale is infinite": tensor("node/first/scale", filled(INFINITY)),
    "weight scale is negative": tensor("node/first/scale", filled(-0.5)),
    "weight scale is 0": tensor("node/first/scale", filled(0.0)),
    "weight scale has no integer form": tensor("node/first/scale", filled(1e300)),
    "w missing": lost("node/first/w"),
    "scale missing": lost("node/first/scale"),
    "head missing": lost("head/sum/b"),
    "one tensor more": added("node/first/c"),
    "weights for an activation": added("node/gelu/w"),
    "state in a model": added("state/x"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found(path, model, lie):
    path.write_bytes(edited(saved(path, model), LIES[lie]))

    with pytest.raises(FileError, match=path.name) as caught:
        load(path)

    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "edits",
    [
        [set_("input_shape", value=[HUGE, HUGE, 1])],
        [set_("@conv1", "padding", value=[HUGE] * 4)],
        [
            set_("@conv1", "padding", value=[HUGE] * 4),
            set_("@conv1", "stride", value=[HUGE] * 2),
            set_("@pool1", "kernel", value=[1, 1]),
        ],
    ],
)
def test_images_that_no_machine_can_hold_are_refused(path, edits):
    def edit(*args):
        for change in edits:
            change(*args)

    content = saved(path, int8(cnn((8, 8, 1), 3, channels=(2, 2))))  # of weights for any size
    path.write_bytes(edited(content, edit))

    with pytest.raises(FileError, match=r"at most|padding"):
        load(path)


def test_an_input_that_no_machine_can_hold_is_refused(path):
    nodes = (Node("pool", "global_average_pool", (INPUT,)), Node("last", "dense", ("pool",), 2))
    content = saved(path, drawn(Graph((2, 2, 3), nodes)))
    path.write_bytes(edited(content, set_("input_shape", value=[HUGE, HUGE, 3])))

    with pytest.raises(FileError, match="at most"):
        load(path)


def test_an_activation_of_huge_numbers_loads_without_a_warning(path, model):
    path.write_bytes(edited(saved(path, model), set_("activations", "depthwise", 0, value=1e38)))

    assert load(path).scheme.activations["depthwise"].scale == 1e38


def test_an_edit_without_a_lie_is_no_error(path, model):
    path.write_bytes(edited(saved(path, model), lambda *_: None))

    assert_same(load(path), model)


@pytest.mark.parametrize(
    "edit",
    [
        set_("step", value=-1),
        set_("step", value=2**63),
        set_("step", value=1.5),
        drop("step"),
        drop("state"),
        set_("state", value=None),
        set_("state", value=[1]),
        set_("state", value=["nobody"]),
        set_("state", value=["exponents", "exponents"]),
        set_("state", value=[]),
        set_("extra", value=[]),
        drop("extra"),
        lost("state/exponents"),
        added("state/more"),
        tensor("state/exponents", lambda a: a.astype(np.float32)),
        tensor("node/first/w", filled(-128)),
    ],
)
def test_a_lie_in_a_checkpoint_is_found(path, model, edit):
    path.write_bytes(edited(saved(path, *trained(model)), edit))

    with pytest.raises(FileError, match=path.name):
        load_checkpoint(path)


@pytest.mark.parametrize("value", [NAN, INFINITY, -INFINITY])
def test_real_weights_that_are_not_finite_are_refused(path, value):
    content = saved(path, mlp((3,), 2, hidden=(4,)))
    path.write_bytes(edited(content, tensor("node/hidden1/w", filled(value))))

    with pytest.raises(FileError, match="finite"):
        load(path)
