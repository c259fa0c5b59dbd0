"""The backend "triton" beside its parity: compiled for a GPU, fused layers, what is missing."""

import importlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from edgetrain import fixed, kernels
from edgetrain.architectures import mlp
from edgetrain.errors import BackendError, DeviceMemoryError
from edgetrain.fixed import Key, Window
from edgetrain.fleet import replay_many
from edgetrain.journal import pack_frame, read_journal, weights_trace
from edgetrain.journal_header import header
from edgetrain.quantize import quantize
from edgetrain.replay import replay
from edgetrain.replay_steps import steps_again
from edgetrain.rules import ForwardGradient
from edgetrain.settings import Settings
from edgetrain.state import trace

torch = pytest.importorskip("torch", reason="torch is not installed")
triton = pytest.importorskip("triton", reason="triton is not installed")
FAMILY = "edgetrain.kernels.gpu_triton"
HOPPER = 90
"""Compute capability of an H100."""
SLOPES = np.array([[[1], [-1], [0], [1], [1]]], np.int32)
SCALE = (2**30, -3, 1, -100, 100)


@pytest.fixture
def backend():
    try:
        return kernels.load("triton")
    except BackendError as error:
        pytest.skip(str(error))


@pytest.fixture
def compiled(monkeypatch):
    """The backend as on a machine with a GPU, except that a launch compiles and does not run."""
    if os.environ.get("TRITON_INTERPRET") or torch.cuda.is_available():
        pytest.skip("the backend runs here by itself")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = set(sys.modules)
    module = importlib.import_module(FAMILY)
    family = [
        importlib.import_module(FAMILY + name) for name in ("_launch", "_calls", "_replay", "")
    ]
    found = {}

    def launch(kernel, grid, *args, **constants):
        found[kernel.__name__] = ptx(kernel, args, constants)

    monkeypatch.setattr(family[0], "DEVICE", "cpu")
    for part in family:
        monkeypatch.setattr(part, "launch", launch)
    yield module, found
    for name in set(sys.modules) - before:
        if name.startswith(FAMILY):
            del sys.modules[name]
            vars(kernels).pop(name.rpartition(".")[2], None)


def ptx(kernel, args, constants):
    """Compile a kernel for a GPU as a launch would; return its assembly."""
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages")
               if name in constants}  # fmt: skip
    given = dict(zip(kernel.arg_names, args, strict=False))
    ones = {name: 1 for name, value in given.items() if isinstance(value, int) and value == 1}
    known = constants | ones  # a launch makes constants of ones
    types = {name: triton.runtime.jit.mangle_type(value) for name, value in given.items()}
    types |= dict.fromkeys(known, "constexpr")
    places = {(kernel.arg_names.index(name),): value for name, value in known.items()}
    source = triton.compiler.ASTSource(kernel, types, places)
    target = triton.backends.compiler.GPUTarget("cuda", HOPPER, 32)
    return triton.compile(source, target, {"enable_fp_fusion": False, **options}).asm["ptx"]


def layer(groups):
    """Return tensors of a small convolution."""
    window = Window((3, 2), (2, 1), (1, 0, 1, 0), groups)
    rng = np.random.default_rng(groups)
    x = rng.integers(-128, 128, (2, 7, 6, 4)).astype(np.int8)
    w = rng.integers(-127, 128, (8, 3, 2, 4 // groups)).astype(np.int8)
    b = rng.integers(-999, 999, 8).astype(np.int32)
    e = rng.integers(-127, 128, (2, *window.output_size(7, 6), 8)).astype(np.int8)
    return window, x, w, b, e


@pytest.mark.slow
def test_every_kernel_compiles_for_a_gpu_and_products_use_its_tensor_cores(compiled):
    backend, found = compiled
    key, eight, ratio = Key(1, 2), np.ones(8, np.int32), np.ones(8, np.int16)
    for groups in (2, 4):
        window, x, w, b, e = layer(groups)
        backend.conv2d(x, w, b, 1, window, *SCALE)
        backend.conv2d_grad_w(x, e, 5, window)
        backend.conv2d_grad_x(e, w, ratio, x.shape, window)
    backend.dense(x[0, 0], w[:, 0, 0].repeat(4, axis=1), b, 1, *SCALE)
    backend.scale_error(b, *SCALE[:2])
    backend.add(x, 1, (1, 1), x, 1, (1, 1), 1, (1, 1))
    backend.update_int8(w, w.astype(np.int32), eight, key)
    backend.update_bias(b, b, eight, 9)
    backend.momentum(b, b, 3, 1)
    backend.random_signs(key, 3, 40)
    backend.look_up(x, np.arange(256, dtype=np.int16))
    slopes, rates = np.ones((2, 3, 1), np.int32), np.ones((3, 4), np.int32)
    for n in (6, 8):
        many = np.ones((2, 4, n), np.int8), np.ones((2, 4), np.int32)
        backend.replay_int8(*many, slopes, np.arange(2), 5, 2**31, rates, rates, 9)
    pool = window._replace(groups=1)
    backend.max_pool(x, pool)
    backend.average_pool_grad(e[..., :4], x.shape, pool)
    backend.global_average_pool(x, 1, *SCALE[:3])

    defined = {
        name for part in ("elements", "layers", "pools", "replay") for name in launched(part)
    }
    assert set(found) == defined
    products = {name for name, text in found.items() if "mma" in text}
    assert products == {"dense", "conv2d", "conv2d_grad_w", "conv2d_grad_x"}
    assert not any(".f32" in text or ".f64" in text for text in found.values())


def launched(part):
    """Names of the kernels of a module, which start with an index of their program."""
    module = importlib.import_module(f"{FAMILY}_{part}")
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, triton.runtime.jit.JITFunction) and "program_id" in value.src
    ]


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_fused_layers_equal_the_specification(backend, groups):
    window, x, w, b, _ = layer(groups)
    for zero in (-128, 0, 1, 127):
        arguments = (x, w, b, zero, window, np.full(8, 2**30, np.int32), np.full(8, -5), 3)
        np.testing.assert_array_equal(
            backend.conv2d(*arguments), fixed.conv2d(*arguments), strict=True
        )
        arguments = (x[0, 0], w[:, 0, 0], b, zero, 2**30 + 1, -4, 3, -100, 90)
        if groups == 1:
            np.testing.assert_array_equal(
                backend.dense(*arguments), fixed.dense(*arguments), strict=True
            )


@pytest.mark.parametrize("shift", [*range(-31, -26), -8, *range(-3, 4), 30])
def test_fused_sums_are_rounded_twice(backend, shift):
    """Ties of both roundings, and the ends of the range, at every kind of multiplier."""
    most = (2**31 - 1) >> max(shift, 0)
    ties = np.arange(-9, 10)[:, None] * 2 ** np.arange(0, 30, 3)[None]
    b = np.unique(np.clip(np.r_[ties.ravel(), ties.ravel() + 1, most, -most - 1], -most - 1, most))
    x, w = np.zeros((1, 1), np.int8), np.zeros((len(b), 1), np.int8)
    for multiplier in (0, 2**30, 2**30 + 1, 3 << 29, 2**31 - 1):
        scales = (np.full(len(b), multiplier, np.int32), np.full(len(b), shift, np.int32), 5)
        arguments = (x, w, b.astype(np.int32), 0, *scales)
        np.testing.assert_array_equal(
            backend.dense(*arguments), fixed.dense(*arguments), strict=True
        )


def test_shapes_that_do_not_fit_are_refused(backend):
    window, x, w, b, e = layer(1)
    for call in (
        lambda: backend.conv2d_acc(x, w[:, :2], b, 0, window),
        lambda: backend.conv2d_acc(x, w, b[:3], 0, window),
        lambda: backend.conv2d_grad_w(x, e[:, :1], 0, window),
        lambda: backend.dense_acc(x[0, 0], w[:, 0, 0, :3], b, 0),
        lambda: backend.update_int8(w, w[:3].astype(np.int32), b, Key(1, 2)),
        lambda: backend.momentum(b, b[:3], 3, 0),
        lambda: backend.conv2d_acc(x, w, b, 0, window._replace(groups=3)),
    ):
        with pytest.raises(ValueError, match=r"must have shape|must divide"):
            call()


def test_a_gpu_without_memory_is_said_with_the_cure(backend, monkeypatch):
    def full(*args, **kwargs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    window, x, w, b, _ = layer(1)
    with pytest.raises(DeviceMemoryError, match="use a smaller --batch"):
        backend.conv2d_acc(x, w, b, 0, window)


def test_a_fleet_on_a_gpu_with_little_memory_takes_smaller_batches(backend, monkeypatch):
    def small(shape, **kwargs):
        if shape[0] > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return reserve(shape, **kwargs)

    model = quantize(mlp((5,), 3, hidden=()), np.ones((2, 5), np.float32), headroom=2.0)
    rule = ForwardGradient(settings=Settings(learning_rate=0.5), space="weight", head="same")
    start, fleet = rule.init(model), {}
    for seed in range(5):
        ((tuned, state),) = steps_again(rule, [(model, start)], SLOPES, [seed], fixed)
        head = header(rule, model, seed).packed()
        traced = weights_trace(tuned, state, start)
        frame, _ = pack_frame(SLOPES[0].tolist(), True, traced, read_journal(head).crc)
        fleet[seed] = read_journal(head + frame)
    reserve, sizes = torch.empty, []
    monkeypatch.setattr(torch, "empty", small)
    found = dict(replay_many(model, fleet, ops=backend, on_retry=sizes.append))

    assert sizes == [2, 1]  # five do not fit, nor do three; two and one do
    for seed, run in found.items():
        assert trace(*run) == trace(*replay(model, fleet[seed], ops=fixed))
    assert len({trace(*run) for run in found.values()}) == len(fleet)


def test_without_gpu_and_interpreter_the_error_says_what_is_needed():
    program = """
import torch
torch.cuda.is_available = lambda: False
from edgetrain import kernels
try:
    kernels.load("triton")
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p), "HOME": "/nowhere"},
    )  # fmt: skip

    assert done.stdout.startswith("backend 'triton' cannot run here: it needs an NVIDIA GPU")
    assert "TRITON_INTERPRET=1" in done.stdout


@pytest.mark.gpu
def test_a_product_with_its_requantization_keeps_up_with_a_plain_product(backend):
    if not torch.cuda.is_available():
        pytest.skip("there is no NVIDIA GPU here")
    from edgetrain.kernels.gpu_triton_calls import run_dense

    size, device = 4096, "cuda"
    x, w = (torch.randint(-127, 128, (size, size), dtype=torch.int8, device=device)
            for _ in range(2))  # fmt: skip
    b = torch.zeros(size, dtype=torch.int32, device=device)
    scales = (torch.full_like(b, 2**30), torch.full_like(b, -12))
    out = torch.empty((size, size), dtype=torch.int8, device=device)

    def fused():
        run_dense(x, w, b, out, 3, *scales, 0, -128, 127)

    def plain():
        torch._int_mm(x, w.T)

    seconds = {}
    for run in (fused, plain):
        run()
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(20):
            run()
        torch.cuda.synchronize()
        seconds[run] = time.perf_counter() - started
    print(f"{torch.cuda.get_device_name()}: {seconds[plain] / seconds[fused]:.2f} x torch._int_mm")
    rows = slice(0, 4)
    wanted = fixed.dense(x[rows].cpu().numpy(), w.cpu().numpy(), b.cpu().numpy(), 3, 2**30, -12)
    np.testing.assert_array_equal(out[rows].cpu().numpy(), wanted)
    assert seconds[plain] / seconds[fused] > 0.7
