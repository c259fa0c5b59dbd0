"""What was saved is loaded, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import ARCHITECTURES, mlp
from edgetrain.errors import FileError
from edgetrain.files import load, load_checkpoint, save, save_checkpoint
from edgetrain.files_tests.cases import SHAPES, assert_same, drawn, int8, trained
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Weights
from edgetrain.outputs import predict
from edgetrain.rules import Backprop
from edgetrain.settings import Settings
from edgetrain.state import State, trace

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
