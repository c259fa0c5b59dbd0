import numpy as np
import pytest

from edgetrain.errors import ModelError
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, OPERATIONS, Graph, Node

THREE = Window((3, 3), (1, 1), (1, 1, 1, 1))
IMAGE, FEATURES = (8, 6, 4), (12,)


def node(op: str, name: str = "mine", inputs=(INPUT,), **options) -> Node:
    return Node(name, op, inputs, **options)


@pytest.mark.parametrize(
    ("shape", "made", "result"),
    [
        (FEATURES, node("dense", n_out=5), (5,)),
        (IMAGE, node("flatten"), (192,)),
        (FEATURES, node("flatten"), (12,)),
        (IMAGE, node("global_average_pool"), (4,)),
        (IMAGE, node("activation", activation="gelu"), IMAGE),
        (FEATURES, node("activation", activation="tanh"), FEATURES),
        (IMAGE, node("add", inputs=(INPUT, INPUT)), IMAGE),
        (FEATURES, node("add", inputs=(INPUT, INPUT), activation="relu6"), FEATURES),
        (IMAGE, node("conv2d", n_out=7, window=THREE), (8, 6, 7)),
        (IMAGE, node("conv2d", n_out=8, window=THREE._replace(groups=4)), (8, 6, 8)),
        (IMAGE, node("conv2d", n_out=1, window=Window((8, 6), (1, 1), (0,) * 4)), (1, 1, 1)),
        (IMAGE, node("conv2d", n_out=2, window=Window((3, 2), (2, 3), (0, 1, 2, 0))), (4, 3, 2)),
        (IMAGE, node("max_pool", window=Window((2, 2), (2, 2), (0,) * 4)), (4, 3, 4)),
        (IMAGE, node("average_pool", window=Window((3, 3), (2, 2), (1, 1, 1, 1))), (4, 3, 4)),
    ],
    ids=lambda value: f"{value.op}" if isinstance(value, Node) else None,
)
def test_operations_make_these_shapes(shape, made, result):
    graph = Graph(shape, (made,))
    assert graph.shapes == {INPUT: shape, "mine": result}
    assert graph.output_size == np.prod(result)


BAD = {
    "unknown operation": (FEATURES, node("convolution"), "op must be one of"),
    "unknown input": (FEATURES, node("flatten", inputs=("later",)), "no earlier node.*'later'"),
    "itself": (FEATURES, node("flatten", inputs=("mine",)), "no earlier node is named 'mine'"),
    "name of the input": (FEATURES, node("flatten", INPUT), "another value has this name"),
    "one input of an add": (FEATURES, node("add"), "add reads 2"),
    "two inputs of a dense": (FEATURES, node("dense", inputs=(INPUT, INPUT), n_out=1), "reads 1"),
    "no input": (FEATURES, node("flatten", inputs=()), "flatten reads 1"),
    "smooth and fused": (FEATURES, node("dense", n_out=1, activation="gelu"), "activation must"),
    "no function": (FEATURES, node("activation"), "activation must be one of"),
    "relu as a function": (FEATURES, node("activation", activation="relu"), "got 'relu'"),
    "dense without outputs": (FEATURES, node("dense"), "n_out must be at least 1, got 0"),
    "conv without outputs": (IMAGE, node("conv2d", window=THREE), "n_out must be at least 1"),
    "dense of an image": (IMAGE, node("dense", n_out=1), "dense reads 1-dimensional samples"),
    "conv of features": (FEATURES, node("conv2d", n_out=1, window=THREE), "reads 3-dimensional"),
    "mean of features": (FEATURES, node("global_average_pool"), "reads 3-dimensional"),
    "conv without window": (IMAGE, node("conv2d", n_out=1), "conv2d needs a window"),
    "pool without window": (IMAGE, node("max_pool"), "max_pool needs a window"),
    "kernel too large": (
        IMAGE, node("conv2d", n_out=1, window=Window((9, 1), (1, 1), (0,) * 4)), "does not fit"),
    "stride of nothing": (
        IMAGE, node("conv2d", n_out=1, window=Window((1, 1), (0, 1), (0,) * 4)), "does not fit"),
    "negative padding": (
        IMAGE, node("conv2d", n_out=1, window=Window((1, 1), (1, 1), (0, 0, -1, 0))), "not fit"),
    "groups that do not divide": (
        IMAGE, node("conv2d", n_out=4, window=THREE._replace(groups=3)), "groups must divide 4"),
    "groups and outputs": (
        IMAGE, node("conv2d", n_out=6, window=THREE._replace(groups=4)), "and 6 output"),
    "no groups": (IMAGE, node("conv2d", n_out=4, window=THREE._replace(groups=0)), "got 0"),
    "pool of padding": (
        IMAGE, node("max_pool", window=Window((2, 2), (1, 1), (2, 0, 0, 0))), "a pool needs"),
    "pool too large": (
        (40, 40, 1), node("max_pool", window=Window((20, 20), (1, 1), (0,) * 4)), "at most 256"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_node_that_does_not_fit_is_named(name):
    shape, made, message = BAD[name]
    with pytest.raises(ModelError, match=message) as raised:
        Graph(shape, (made,))
    assert f"node {made.name!r}" in str(raised.value)


def test_the_second_of_two_nodes_with_one_name_is_refused():
    with pytest.raises(ModelError, match="'mine': another value has this name already"):
        Graph(FEATURES, (node("flatten"), node("flatten")))


def test_an_add_of_two_shapes_is_refused():
    nodes = (node("dense", "small", n_out=3), node("add", inputs=("small", INPUT)))
    with pytest.raises(ModelError, match=r"'mine'.* one shape, got \(3,\) and \(12,\)"):
        Graph(FEATURES, nodes)


@pytest.mark.parametrize("shape", [(), (3, 4), (1, 2, 3, 4), (0,), (4, 0, 1), (-1,)])
def test_an_input_that_is_no_sample_is_refused(shape):
    with pytest.raises(ModelError, match="input_shape must be"):
        Graph(shape, (node("flatten"),))


def test_a_graph_without_nodes_is_refused():
    with pytest.raises(ModelError, match="at least one node"):
        Graph(FEATURES, ())


def test_counts_of_parameters_and_multiplications():
    graph = Graph(IMAGE, (
        node("conv2d", "wide", n_out=6, window=THREE),
        node("conv2d", "grouped", ("wide",), n_out=9, window=THREE._replace(groups=3)),
        node("max_pool", "pool", ("grouped",), window=Window((2, 2), (2, 2), (0,) * 4)),
        node("flatten", "flat", ("pool",)),
        node("dense", "classifier", ("flat",), n_out=5),
    ))  # fmt: skip
    weights = {"wide": 6 * 9 * 4, "grouped": 9 * 9 * 2, "classifier": 5 * 4 * 3 * 9}
    shapes = {n.name: graph.weight_shape(n) for n in graph.trainable}

    assert shapes == {"wide": (6, 3, 3, 4), "grouped": (9, 3, 3, 2), "classifier": (5, 108)}
    assert [graph.fan_in(n) for n in graph.trainable] == [36, 18, 108]
    assert graph.parameters == sum(weights.values()) + 6 + 9 + 5
    macs = [graph.node_macs(n) for n in graph.nodes]
    assert macs == [48 * weights["wide"], 48 * weights["grouped"], 0, 0, weights["classifier"]]
    assert graph.macs == sum(macs)


def test_who_reads_a_value():
    skip = node("add", "sum", (INPUT, "mine"))
    graph = Graph(FEATURES, (node("flatten"), skip, node("dense", "last", ("sum",), n_out=2)))

    assert [n.name for n in graph.consumers(INPUT)] == ["mine", "sum"]
    assert [n.name for n in graph.consumers("last")] == []
    assert graph.by_name["sum"] == skip
    assert graph.output.name == "last"
    assert [n.name for n in graph.trainable] == ["last"]


def test_graphs_are_values():
    one, same = (Graph(FEATURES, (node("dense", n_out=2),)) for _ in range(2))

    assert one == same
    assert hash(one) == hash(same)
    assert one != Graph(FEATURES, (node("dense", n_out=3),))
    assert eval(repr(one), {"Graph": Graph, "Node": Node}) == one
    assert len(set(OPERATIONS)) == len(OPERATIONS)
