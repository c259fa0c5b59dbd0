"""Files hold models bit for bit, and nothing that is in a file can do harm."""

import copy
import errno
import json
import os
import pickle
import random
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as safetensors_save

from edgetrain import files, fixed
from edgetrain.architectures import ARCHITECTURES, cnn, mlp
from edgetrain.errors import EdgetrainError, FileError
from edgetrain.files import check_writable, load, load_checkpoint, save, save_checkpoint
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.outputs import predict
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, MonoForward
from edgetrain.settings import Settings
from edgetrain.state import State, trace

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


@pytest.fixture(scope="module")
def model():
    return rich(int8(drawn(EVERY_OPERATION)))


@pytest.fixture(scope="module")
def small():
    return int8(mlp((4,), 3, hidden=(5,)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


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


# --- what was saved is loaded ---


def architecture(name):
    options = {
        "mlp": {"hidden": (8, 4)}, "ds_cnn": {"channels": 4}, "resnet8": {"channels": 4},
        "mobilenet_v1": {"width": 0.05}, "autoencoder": {"hidden": 8, "code": 2},
    }.get(name, {})  # fmt: skip
    return ARCHITECTURES[name](SHAPES[name], 0 if name == "autoencoder" else 3, **options)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_comes_back_bit_for_bit(path, name):
    real = architecture(name)
    integer = int8(real, headroom=1.3)

    for model in (real, integer):
        save(model, path)
        assert_same(load(path), model)


def test_everything_that_a_model_can_have_comes_back(path, model):
    save(model, path)

    assert_same(load(path), model)


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "gelu", "silu", "hard_swish"])
def test_smooth_activations_come_back_with_their_tables(path, function):
    nodes = (
        Node("dense", "dense", (INPUT,), 4),
        Node("smooth", "activation", ("dense",), activation=function),
        Node("classifier", "dense", ("smooth",), 2),
    )
    model = int8(drawn(Graph((3,), nodes)))
    save(model, path)

    np.testing.assert_array_equal(load(path).scheme.tables["smooth"], model.scheme.tables["smooth"])


@pytest.mark.parametrize("task", ["classify", "regress", "reconstruct"])
def test_the_task_comes_back(path, task):
    real = mlp((3,), 3, hidden=(4,))
    for model in (int8(real, task=task), replace(real, task=task)):
        save(model, path)

        assert load(path).task == task


def test_a_loaded_model_predicts_the_same(path, model):
    x = np.random.default_rng(4).integers(-128, 128, (10, 8, 8, 2)).astype(np.int8)
    save(model, path)

    np.testing.assert_array_equal(predict(load(path), x, fixed), predict(model, x, fixed))


def test_special_float_weights_come_back(path):
    w = np.array([[-0.0, 1e-45, 3.4e38, -1.17e-38]], np.float32)
    model = FloatModel(
        Graph((4,), (Node("only", "dense", (INPUT,), 1),)),
        {"only": Weights(w, np.zeros(1, np.float32))},
    )
    save(model, path)

    assert load(path).params["only"].w.tobytes() == w.tobytes()


def test_weights_in_another_memory_order_come_back(path, small):
    params = {
        n: Weights(np.asfortranarray(w), np.repeat(b, 2)[::2]) for n, (w, b) in small.params.items()
    }
    save(replace(small, params=params), path)

    assert_same(load(path), small)


def test_equal_models_give_equal_bytes(tmp_path, model):
    def backwards(mapping):
        return dict(reversed(list(mapping.items())))

    scheme = replace(
        model.scheme,
        activations=backwards(model.scheme.activations),
        weights=backwards(model.scheme.weights),
    )
    other = replace(
        model, scheme=scheme, params=backwards(model.params), heads=backwards(model.heads),
        head_scales=backwards(model.head_scales),
    )  # fmt: skip
    save(model, tmp_path / "a")
    save(other, tmp_path / "b")
    save(load(tmp_path / "a"), tmp_path / "c")

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_saving_replaces_a_file_and_takes_text_for_a_path(path, small, model):
    save(small, path)
    save(model, str(path))

    assert_same(load(str(path)), model)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_saving_through_a_link_keeps_the_link(path, small):
    link = path.with_name("link")
    path.touch()
    link.symlink_to(path)

    save(small, link)

    assert link.is_symlink()
    assert_same(load(path), small)


@pytest.mark.parametrize("name", ["a b", "ünï", ".hidden", "x" * 200, "no_suffix"])
def test_any_name_will_do(tmp_path, small, name):
    save(small, tmp_path / name)

    assert_same(load(tmp_path / name), small)


# --- checkpoints ---


@pytest.mark.parametrize(
    "extra", [None, {}, {"seed": 7, "text": "ü", "nested": [{"x": None}, 0.1]}]
)
def test_a_checkpoint_comes_back(path, model, extra):
    model, state = trained(model)
    save_checkpoint(path, model, state, extra)

    found, found_state, found_extra = load_checkpoint(path)

    assert_same(found, model)
    assert trace(found, found_state) == trace(model, state)
    assert found_state.step == 3
    assert set(found_state.tensors) == set(state.tensors)
    for name, tensor in state.tensors.items():
        np.testing.assert_array_equal(found_state.tensors[name], tensor, strict=True)
    assert found_extra == (extra or {})


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8])
def test_state_of_every_integer_type_comes_back(path, small, dtype):
    limits = np.iinfo(dtype)
    tensors = {"a/b": np.array([limits.min, limits.max], dtype), "scalar": np.array(3, dtype)}
    save_checkpoint(path, small, State(2**40, tensors))

    _, state, _ = load_checkpoint(path)

    assert state.step == 2**40
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(state.tensors[name], tensor, strict=True)


def test_an_empty_state_comes_back(path, small):
    save_checkpoint(path, small, State())

    assert load_checkpoint(path)[1] == State()


def test_a_checkpoint_goes_on_with_the_same_bits(path, small):
    rule = Backprop(settings=Settings(learning_rate=0.1, momentum=0.75))
    x = np.random.default_rng(5).integers(-128, 128, (6, 4)).astype(np.int8)
    y = np.arange(6) % 3
    model, state, _ = rule.step(small, rule.init(small), x, y, fixed)
    save_checkpoint(path, model, state)
    found, found_state, _ = load_checkpoint(path)

    on, restarted = (
        rule.step(*pair, x, y, fixed) for pair in ((model, state), (found, found_state))
    )

    assert trace(*on[:2]) == trace(*restarted[:2])
    assert trace(*on[:2]) != trace(model, state)


def test_a_checkpoint_is_no_model_and_says_what_to_do(path, small):
    save_checkpoint(path, small, State(1))

    with pytest.raises(FileError, match=rf"is a checkpoint, .*--resume .*{path.name}"):
        load(path)


@pytest.mark.parametrize("kind", ["model", "float_model"])
def test_a_model_is_no_checkpoint_and_says_what_to_do(path, small, kind):
    save(small if kind == "model" else mlp((4,), 3), path)

    with pytest.raises(FileError, match=rf"is a {kind}, not a checkpoint: .*without --resume"):
        load_checkpoint(path)


# --- files that cannot be written ---


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullDisk:
    """A file that takes some bytes and then none."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        full()


def break_fsync(monkeypatch):
    monkeypatch.setattr(files.os, "fsync", full)


def break_write(monkeypatch):
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r": FullDisk(original(self, mode)))


def break_rename(monkeypatch):
    monkeypatch.setattr(Path, "replace", full)


@pytest.mark.parametrize("breakage", [break_fsync, break_write, break_rename])
@pytest.mark.parametrize("existed", [True, False])
def test_a_full_disk_leaves_everything_as_it_was(
    path, small, model, monkeypatch, breakage, existed
):
    if existed:
        save(small, path)
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}

    with monkeypatch.context() as patch:
        breakage(patch)
        with pytest.raises(FileError, match=r"No space left on device; nothing was changed"):
            save(model, path)
        with pytest.raises(FileError, match="No space left"):
            save_checkpoint(path, small, State())

    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before
    save(model, path)
    assert_same(load(path), model)


def test_an_interruption_leaves_everything_as_it_was(path, small, model, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    save(small, path)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(model, path)

    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert_same(load(path), small)


def unwritable(folder):
    (folder / "file").write_text("a file")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    return [
        folder,  # a folder
        folder / "file" / "below",
        folder / "missing" / "model",
        folder / "pipe",
        folder / "loop",
        folder / "loop" / "model",
        folder / ("x" * 300),
        folder / "nul\0",
        "",
        "/dev/null",
        "/proc/model",
    ]


@pytest.mark.parametrize("index", range(11))
def test_places_that_cannot_be_written(tmp_path, small, index):
    place = unwritable(tmp_path)[index]
    before = sorted(p.name for p in tmp_path.rglob("*"))

    for write in (lambda: save(small, place), lambda: check_writable(place)):
        with pytest.raises(FileError, match="cannot be written"):
            write()

    assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("index", range(10))  # the last place, below /proc, is only missing
def test_places_that_cannot_be_read(tmp_path, index):
    place = unwritable(tmp_path)[index]

    for read in (load, load_checkpoint):
        with pytest.raises(FileError, match="cannot be read"):
            read(place)


def test_checking_changes_nothing(path, small):
    check_writable(path)
    assert list(path.parent.iterdir()) == []

    save(small, path)
    before = path.read_bytes()
    check_writable(path)

    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_weights_of_another_type_are_not_saved(path, small):
    wide = {n: Weights(w.astype(np.int32), b) for n, (w, b) in small.params.items()}

    with pytest.raises(FileError, match="must be int8, got int32"):
        save(replace(small, params=wide), path)

    assert not path.exists()


# --- foreign files ---


class Trap:
    """Its pickle opens a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_is_refused_and_not_loaded(path):
    trap = path.with_name("trap")
    path.write_bytes(pickle.dumps(Trap(trap)))

    for read in (load, load_checkpoint):
        with pytest.raises(FileError, match="not a safetensors file"):
            read(path)
    assert not trap.exists()

    pickle.loads(path.read_bytes()).close()  # the trap does work
    assert trap.exists()


def test_a_pickle_inside_an_npz_is_refused(path):
    np.savez(path.with_suffix(".npz"), w=np.array([Trap(path)], dtype=object))

    with pytest.raises(FileError, match="not a safetensors file"):
        load(path.with_suffix(".npz"))
    assert not path.exists()


def test_safetensors_of_others_are_refused(path):
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(safetensors_save({"w": np.zeros(3, np.float32)}, metadata=metadata))
        with pytest.raises(FileError, match=path.name):
            load(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\x02" + b"\0" * 7 + b"{}", b"\xff" * 64])
def test_almost_nothing_is_refused(path, content):
    path.write_bytes(content)

    with pytest.raises(FileError, match=path.name):
        load(path)


def test_a_file_that_is_too_large_is_not_read(path, monkeypatch):
    with path.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)  # a hole, no real bytes

    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="larger than"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


# --- edited files: each line is one lie ---


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


def lying_headers(content):
    """A sound file with one lie in its first eight bytes or its safetensors header."""
    header, found, data = take_apart(content)
    length = int.from_bytes(content[:8], "little")
    lengths = [0, 1, length - 1, length + 1, len(content), len(content) - 8, 2**24, 2**24 + 1]
    for lie in (*lengths, 2**31, 2**32, 2**63, 2**64 - 1):
        yield lie.to_bytes(8, "little") + content[8:]
    name = next(iter(header))
    start, end = header[name]["data_offsets"]
    lies = (
        [
            {"data_offsets": offsets}
            for offsets in (
                [end, start],
                [start, 2**63],
                [-1, end],
                [start, end + 1],
                [start],
                "0",
                [0, 0],
            )
        ]
        + [
            {"shape": shape}
            for shape in (
                [2**63],
                [2**32, 2**32],
                [-1],
                [0],
                [],
                [10**30],
                [1] * 1000,
                "4",
                [1.5],
                None,
            )
        ]
        + [
            {"dtype": dtype}
            for dtype in ("F16", "BF16", "BOOL", "U64", "F8_E4M3", "object", 3, None)
        ]
    )
    for lie in lies:
        yield put_together({**header, name: {**header[name], **lie}}, found, data)
    yield put_together({**header, name: None}, found, data)
    yield put_together({**header, "more": header[name]}, found, data)
    yield put_together(header, found, data + b"\0")
    yield put_together(header, "{" * 100_000, data)
    yield put_together(header, '{"version":' * 100_000, data)
    yield put_together(header, "[" * 100_000 + "]" * 100_000, data)
    yield put_together(header, '{"version": ' + "9" * 10_000 + "}", data)
    yield put_together(header, "null", data)
    yield put_together(header, '"\\ud800"', data)
    for metadata in (None, 3, [], {files.ENTRY: None}, {files.ENTRY: found}, {files.ENTRY: ""}):
        whole = json.dumps({**header, "__metadata__": metadata}).encode()
        yield len(whole).to_bytes(8, "little") + whole + data
    for whole in (b"[" * 50_000, b"{}", b"[]", b"null", b"\xff\xfe{\0}\0", b'"' * 9):
        yield len(whole).to_bytes(8, "little") + whole + data


def test_every_lie_in_the_header_is_found(path, model):
    lies = list(lying_headers(saved(path, model)))
    assert len(lies) > 40

    for lie in lies:
        path.write_bytes(lie)
        with pytest.raises(FileError, match=path.name):
            load(path)


def test_a_file_of_a_great_many_tensors_is_refused(path, small):
    header, found, data = take_apart(saved(path, small))
    empty = {"dtype": "I8", "shape": [0], "data_offsets": [len(data), len(data)]}
    header |= {f"t{i}": empty for i in range(files.MAX_TENSORS)}
    path.write_bytes(put_together(header, found, data))

    with pytest.raises(FileError, match="declares"):
        load(path)


# --- fuzz: any bytes give a sound model or an error of ours, soon and in little memory ---

NASTY = [
    None, True, 0, -1, 1, 2, 3, 127, 128, -129, 1.0, 0.5, -0.5, 1e-300, 1e-40, 1e30, 1e38, 1e300,
    NAN, INFINITY, HUGE, HUGE + 1, 2**31, 2**64, 10**400, "", INPUT, "first", "classifier", "dense",
    "conv2d", "flatten", "add", "activation", "global_average_pool", "relu", "tanh", "\ud800",
    [], {}, [0, 0], [1, 1], [HUGE] * 2, [0] * 4, [HUGE] * 4, [[]], ["first", "first"], {"a": 1},
    "x" * 5000,
]  # fmt: skip


def places(value):
    """Every (container, key) of a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(pairs):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


def edit_json(rng, value):
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(list(places(value)))
        nasty = copy.deepcopy(rng.choice(NASTY))
        action = rng.random()
        if action < 0.15:
            del container[key]
        elif action < 0.3:
            _, other = rng.choice(list(places(value)))
            new = json.loads(json.dumps(rng.choice(list(places(value)))[0]))
            container[key] = new if rng.random() < 0.5 else other
        elif action < 0.4 and isinstance(container, list):
            container.insert(rng.randint(0, len(container)), nasty)
        elif action < 0.5 and isinstance(container[key], int | float):
            container[key] = container[key] * rng.choice([2, -1, 0.5, 1 + 1e-9, 1000, 1e-6])
        else:
            container[key] = nasty


def flip_bits(rng, content, _):
    changed = bytearray(content)
    header = 8 + int.from_bytes(content[:8], "little")
    end = len(content) if rng.random() < 0.5 else header
    for _ in range(rng.choice([1, 1, 1, 2, 8, 64])):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def splice(rng, content, other):
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


def remove_or_repeat(rng, content, _):
    start, end = sorted(rng.randrange(len(content)) for _ in range(2))
    return content[:start] + content[start:end] * rng.choice([0, 2]) + content[end:]


def lie_in_the_length(rng, content, _):
    return (
        rng.choice([rng.randrange(len(content)), rng.getrandbits(64), 2**24]).to_bytes(8, "little")
        + content[8:]
    )


def edit_description(rng, content, _):
    header, found, data = take_apart(content)
    edit_json(rng, found)
    return put_together(header, found, data)


def edit_header(rng, content, _):
    header, found, data = take_apart(content)
    edit_json(rng, header)
    return put_together(header, found, data)


def overwrite_numbers(rng, content, _):
    """Scales and biases of all kinds, in a sound container."""
    header, found, data = take_apart(content)
    changed = bytearray(data)
    entry = rng.choice(list(header.values()))
    start, end = entry["data_offsets"]
    number = rng.choice(
        [b"\0" * 8, b"\xff" * 8, b"\x80" * 8, b"\0\0\0\0\0\0\xf0\x7f", b"\x01" + b"\0" * 7]
    )
    for _ in range(rng.randint(1, 4)):
        at = start + rng.randrange(max(end - start, 1)) // 8 * 8
        changed[at : at + 8] = number
    return put_together(header, found, bytes(changed[: len(data)]))


def swap_tensors(rng, content, _):
    header, found, data = take_apart(content)
    names = list(header)
    a, b = rng.choice(names), rng.choice(names)
    header[a], header[b] = header[b], header[a]
    return put_together(header, found, data)


MUTATIONS = (
    flip_bits, splice, remove_or_repeat, lie_in_the_length, edit_description, edit_description,
    edit_description, edit_header, overwrite_numbers, swap_tensors,
)  # fmt: skip


def assert_sound(path, found):
    """What was loaded can be saved, loaded again, and run."""
    again = path.with_name("again")
    model = found[0] if isinstance(found, tuple) else found
    save(model, again)
    assert_same(load(again), model)
    graph = model.graph
    windows = [sum(n.window.padding) for n in graph.nodes if n.window]
    small = max(np.prod(shape) for shape in graph.shapes.values()) < 2**16
    if isinstance(model, Model) and small and max(windows, default=0) < 100:
        outputs = predict(model, np.zeros((1, *graph.input_shape), np.int8), fixed)
        assert (outputs.shape, outputs.dtype) == ((1, graph.output_size), np.int32)


@pytest.fixture(scope="module")
def originals(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("originals") / "model"
    heads_only = Settings(learning_rate=0.1)
    return [
        saved(path, model),
        saved(path, *trained(model, heads_only)),
        saved(path, drawn(EVERY_OPERATION)),
        saved(path, int8(cnn((6, 6, 1), 3, channels=(3, 4)))),
    ]


@pytest.fixture
def harmless(path):
    """Return a function that reads bytes and says whether they were accepted."""
    spent, tracing = [0.0], tracemalloc.is_tracing()

    def read(content):
        path.write_bytes(content)
        accepted = False
        started = time.process_time()
        for reader in (load, load_checkpoint):
            try:
                found = reader(path)
            except EdgetrainError as error:
                assert path.name in str(error)  # noqa: PT017
            else:
                accepted = True
                assert_sound(path, found)
        spent.append(time.process_time() - started)
        return accepted

    tracemalloc.start(1)
    yield read
    peak = tracemalloc.get_traced_memory()[1]
    if not tracing:
        tracemalloc.stop()
    assert peak < 64 * MIB
    assert max(spent) < 5  # seconds; most take a millisecond


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_mutated_files_do_no_harm(originals, harmless, seed):
    rng = random.Random(seed)
    accepted = 0

    for _ in range(500):
        content, other = rng.sample(originals, 2)
        accepted += harmless(rng.choice(MUTATIONS)(rng, content, other))

    assert 20 < accepted < 450  # neither all refused nor all accepted: the fuzz reaches deep


@pytest.mark.slow
def test_truncated_files_are_refused(originals, harmless):
    content = originals[0]
    header = 8 + int.from_bytes(content[:8], "little")
    lengths = {*range(0, len(content), 7), *range(10), *range(header - 9, header + 9)}

    assert not any(harmless(content[:length]) for length in lengths)
    assert harmless(content)


def test_random_bytes_are_refused(harmless):
    rng = random.Random(9)

    assert not any(harmless(rng.randbytes(rng.randrange(200))) for _ in range(300))
