import math
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import autoencoder, cnn, ds_cnn, mlp, mobilenet_v1, resnet8
from edgetrain.backward import forward, sizes
from edgetrain.blocks import is_convolutional, plan, select, split
from edgetrain.errors import RuleError
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Weights
from edgetrain.quantize import quantize

POINT, PAIR = Window((1, 1), (1, 1), (0,) * 4), Window((2, 2), (2, 2), (0,) * 4)
SMOOTH = Graph((4, 4, 2), (
    Node("conv", "conv2d", (INPUT,), 3, POINT),
    Node("gelu", "activation", ("conv",), activation="gelu"),
    Node("average", "average_pool", ("gelu",), 0, PAIR),
    Node("point", "conv2d", ("average",), 5, POINT, "relu6"),
    Node("silu", "activation", ("point",), activation="silu"),
    Node("flat", "flatten", ("silu",)),
    Node("classifier", "dense", ("flat",), 3),
))  # fmt: skip
GRAPHS = {
    "mlp": mlp((6,), 3, hidden=(5, 4)).graph,
    "flattened mlp": mlp((2, 3, 1), 3, hidden=(5,)).graph,
    "cnn": cnn((8, 8, 1), 3, channels=(3, 4, 5)).graph,
    "ds_cnn": ds_cnn((10, 8, 1), 3, channels=4, blocks=3).graph,
    "signal": ds_cnn((1, 40, 2), 3, channels=4, blocks=2).graph,
    "resnet8": resnet8((8, 8, 3), 3, channels=3).graph,
    "mobilenet_v1": mobilenet_v1((32, 32, 3), 2, width=0.1).graph,
    "autoencoder": autoencoder((9,), hidden=7, code=2).graph,
    "smooth": SMOOTH,
}
CHOICES = ("auto", "layer", "residual", "network", 1, 2, 3)


def outputs(graph: Graph, choice) -> list[str]:
    return [block.output for block in split(graph, choice)]


def cases() -> list:
    found = []
    for name, graph in GRAPHS.items():
        most = len(split(graph, "residual"))
        for choice in CHOICES:
            if not isinstance(choice, int) or choice <= most:
                found.append(pytest.param(graph, choice, id=f"{name}-{choice}"))
    return found


@pytest.mark.parametrize(("graph", "choice"), cases())
def test_blocks_hold_every_node_once_and_one_value_crosses(graph, choice):
    blocks = split(graph, choice)

    assert tuple(node for block in blocks for node in block.nodes) == graph.nodes
    assert blocks[0].source == INPUT
    for before, after in pairwise(blocks):
        assert after.source == before.output == before.nodes[-1].name
    for block in blocks:
        made = {node.name for node in block.nodes}
        assert {name for n in block.nodes for name in n.inputs} - made == {block.source}
        assert any(node.has_weights for node in block.nodes)
    if isinstance(choice, int):
        assert len(blocks) == choice


@pytest.mark.parametrize(
    ("name", "choice", "ends"),
    [
        ("mlp", "layer", ["hidden1", "hidden2", "classifier"]),
        ("mlp", "auto", ["hidden1", "hidden2", "classifier"]),
        ("mlp", 2, ["hidden1", "classifier"]),
        ("flattened mlp", "layer", ["hidden1", "classifier"]),
        ("cnn", "layer", ["pool1", "pool2", "classifier"]),
        ("cnn", "auto", ["pool1", "classifier"]),
        ("resnet8", "residual", ["stem", "res1", "res2", "classifier"]),
        ("resnet8", "layer", ["stem", "res1", "res2", "classifier"]),
        ("resnet8", 2, ["res1", "classifier"]),
        ("resnet8", "auto", ["res1", "classifier"]),
        ("resnet8", "network", ["classifier"]),
        ("resnet8", ("res2", "stem"), ["stem", "res2", "classifier"]),
        ("ds_cnn", "residual",
         ["stem", "block1_pointwise", "block2_pointwise", "classifier"]),
        ("ds_cnn", "layer",
         ["stem", "block1_depthwise", "block1_pointwise", "block2_depthwise", "block2_pointwise",
          "block3_depthwise", "classifier"]),
        ("signal", "residual", ["stem", "block1_pointwise", "classifier"]),
        ("smooth", "layer", ["average", "classifier"]),
    ],
)  # fmt: skip
def test_where_networks_are_cut(name, choice, ends):
    assert outputs(GRAPHS[name], choice) == ends


def test_depthwise_and_pointwise_stay_together_in_residual_blocks_and_in_numbers():
    for name in ("ds_cnn", "signal", "mobilenet_v1"):
        graph = GRAPHS[name]
        for choice in ("residual", 2, 3):
            for block in split(graph, choice)[:-1]:
                assert not block.output.endswith("depthwise")


def test_numbered_blocks_have_about_equal_work():
    graph = mobilenet_v1((96, 96, 3), 2).graph
    for count in (2, 3, 4):
        work = [sum(map(graph.node_macs, b.nodes)) for b in split(graph, count)]
        assert sum(work) == graph.macs
        assert max(work) < 1.25 * graph.macs / count


def test_more_blocks_than_there_are_places_to_cut_are_refused():
    graph = GRAPHS["resnet8"]
    assert len(split(graph, 4)) == 4
    with pytest.raises(RuleError, match="at most 4 blocks, got 5"):
        split(graph, 5)


@pytest.mark.parametrize("choice", ["blocks", 0, -1, 1.5, None])
def test_an_unknown_way_to_cut_is_refused_with_the_known_ones(choice):
    with pytest.raises(RuleError, match=r"'auto', 'layer', 'residual', 'network', a number"):
        split(GRAPHS["resnet8"], choice)


@pytest.mark.parametrize("name", ["res1_a", "res2_skip", "nothing", "classifier", INPUT])
def test_a_cut_that_a_value_bypasses_is_refused_with_those_that_are_possible(name):
    with pytest.raises(RuleError, match=rf"\['stem', 'res1', 'res2', 'res3', 'pool'\].*'{name}'"):
        split(GRAPHS["resnet8"], (name,))


def test_a_number_of_layers_or_names_say_what_learns():
    graph = GRAPHS["resnet8"]
    names = [node.name for node in graph.trainable]

    assert select(graph, "all") == set(names)
    assert select(graph, 0) == set()
    assert select(graph, 2) == {"res3_skip", "classifier"}
    assert select(graph, len(names)) == set(names)
    assert select(graph, ("stem", "res2_b")) == {"stem", "res2_b"}


@pytest.mark.parametrize("train", [-1, 99, ("stem", "pool"), (), "stem", 1.0, ("nothing",)])
def test_layers_that_cannot_learn_are_refused(train):
    with pytest.raises(RuleError, match=r"train must be 'all'.* up to 10, or some of \['stem'"):
        select(GRAPHS["resnet8"], train)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("bits", [1, 3, 4, 8])
@pytest.mark.parametrize(("graph", "choice"), cases())
def test_the_plan_forecasts_exactly_what_the_runtime_keeps(graph, choice, bits, batch):
    model = small_model(graph)
    x = model.quantize_input(np.ones((batch, *graph.input_shape), np.float32))
    for train in ("all", 2, 0):
        source = x
        for block in split(graph, choice):
            current = plan(block, select(graph, train), bits)
            source, kept = forward(model, current, source, fixed)
            found = {key: n for key, n in sizes(kept).items() if key != f"value/{INPUT}"}
            assert found == current.kept_bytes(graph, batch)
            assert not (train == 0 and found)


@cache
def small_model(graph: Graph):
    rng = np.random.default_rng(0)
    params = {
        n.name: Weights(
            rng.normal(size=graph.weight_shape(n)).astype(np.float32),
            np.zeros(n.n_out, np.float32),
        )
        for n in graph.trainable
    }
    x = rng.normal(size=(2, *graph.input_shape)).astype(np.float32)
    return quantize(FloatModel(graph, params), x)


def test_a_plan_keeps_inputs_of_what_learns_and_masks_on_the_way():
    graph = GRAPHS["cnn"]
    (block,) = split(graph, "network")
    everything = plan(block, select(graph, "all"), 3)
    first = plan(block, frozenset({"conv1"}), 3)
    last = plan(block, select(graph, 1), 3)

    assert everything.values == (INPUT, "pool1", "pool2", "pool")
    assert everything.masks == ("conv1", "conv2", "conv3")
    assert everything.indices == ("pool1", "pool2")
    assert first.values == (INPUT,)
    assert first.masks == everything.masks
    assert (last.values, last.masks, last.indices) == (("pool",), (), ())
    assert last.active == {"classifier"}


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_a_plan_counts_bits_of_masks_and_codes(bits):
    graph = SMOOTH
    (block,) = split(graph, "network")
    kept = plan(block, select(graph, "all"), bits).kept_bytes(graph, 3)

    assert is_convolutional(graph)
    assert kept["code/gelu"] == math.ceil(3 * 48 * bits / 8)
    assert kept["code/silu"] == math.ceil(3 * 20 * bits / 8)
    assert kept["mask/point"] == math.ceil(3 * 20 / 8)
    assert kept["value/average"] == 3 * 12
