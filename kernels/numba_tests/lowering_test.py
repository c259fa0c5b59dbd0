"""Every lowering of the micro-kernel: those of this machine run, that of aarch64 is read."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from llvmlite import binding, ir
from numba.core.registry import cpu_target

from edgetrain import fixed
from edgetrain.arithmetic import rooms
from edgetrain.arithmetic.rounding import INT32_MAX
from edgetrain.compiled.forward import FUSED_SHIFT
from edgetrain.kernels.cpu_numba_single import NO_BLOCK, execute, room
from edgetrain.kernels.cpu_numba_target import Shape, choose, current
from edgetrain.kernels.cpu_numba_tile import I64, write_tile
from edgetrain.kernels.numba_tests import check

TRIPLE, _, FEATURES = cpu_target.target_context.codegen().magic_tuple()
HERE = {name[1:] for name in FEATURES.split(",") if name.startswith("+")}
X86 = "+64bit,+cx16,+cx8,+cmov,+fxsr,+mmx,+sse,+sse2"
AVX2 = f"{X86},+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+f16c"
AVX512 = f"{AVX2},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl"
TARGETS = {
    "generic": ("generic", "", "pair8 4"),
    "avx2": ("x86-64-v3", AVX2, "pair8 8"),
    "avx512": ("x86-64-v4", AVX512, "pair8 16"),
    "avx512vnni": ("x86-64-v4", f"{AVX512},+avx512vnni", "vnni8 16"),
    "avxvnni": ("x86-64-v3", f"{AVX2},+avxvnni", "vnni8 8"),
}
NEEDS = {"avx2": "avx2", "avx512": "avx512bw", "avx512vnni": "avx512vnni", "avxvnni": "avxvnni"}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_every_lowering_gives_the_bits_of_the_specification(name):
    if not TRIPLE.startswith("x86_64") or (name in NEEDS and NEEDS[name] not in HERE):
        pytest.skip("not on this processor")
    cpu, features, wanted = TARGETS[name]
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features,
                   "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}  # fmt: skip

    done = subprocess.run(
        [sys.executable, check.__file__],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == wanted


@pytest.mark.parametrize(
    ("triple", "features", "wanted"),
    [
        ("x86_64-pc-linux", "+avx2,+avx512f,+avx512bw,+avx512vl,+avx512vnni", ("vnni8", 16)),
        ("x86_64-pc-linux", "+avx2,+avx512f,+avx512bw,+avx512vl,-avx512vnni", ("pair8", 16)),
        ("x86_64-pc-linux", "+avx2,+avx512f,+avx512vnni", ("pair8", 8)),
        ("x86_64-pc-linux", "+avx2,+avxvnni", ("vnni8", 8)),
        ("x86_64-pc-linux", "+sse2", ("pair8", 4)),
        ("arm64-apple-darwin", "+neon,+dotprod", ("sdot8", 4)),
        ("aarch64-linux-gnu", "+neon", ("pair8", 4)),
        ("riscv64-linux-gnu", "+v", ("pair8", 4)),
    ],
)  # fmt: skip
def test_the_target_decides(triple, features, wanted):
    assert choose(triple, features)[:2] == wanted


def assembly(triple, cpu, features, target, **how):
    """Compile one tile for any machine that LLVM knows."""
    module = ir.Module()
    module.triple = triple
    count = 16 if how.get("finish") else 10
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * count), "tile")
    builder = ir.IRBuilder(function.append_basic_block())
    write_tile(builder, target.wide, target.lanes, target.lowering, function.args, **how)
    builder.ret_void()
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu, features, 3)
    return machine.emit_assembly(binding.parse_assembly(str(module)))


def inner_loop(text):
    """Return the instructions between the last label before the first product and its branch."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next(i for i, line in enumerate(lines) if re.match(r"(sdot|vpdpbusd)", line))
    start = max(i for i in range(first) if lines[i].endswith(":") or ".L" in lines[i][:3])
    end = next(
        i for i in range(first, len(lines)) if re.match(r"(b\.|j[a-z]+\b|cbn?z|tbn?z)", lines[i])
    )
    return [line.split()[0] for line in lines[start + 1 : end] if not line.startswith((".", "//"))]


@pytest.mark.parametrize("finish", [False, True])
def test_aarch64_multiplies_with_sdot_alone(finish):
    target = choose("aarch64-linux-gnu", "+neon,+dotprod")

    loop = inner_loop(assembly("aarch64-linux-gnu", "", "+neon,+dotprod", target, finish=finish))

    assert target.wide == Shape(4, 4)
    assert loop.count("sdot") == 16
    assert not {"mul", "smull", "smlal", "saddw", "mla"} & set(loop)
    assert len(loop) <= 32  # sixteen products, eight loads, addresses, the end of the loop


def test_an_object_for_aarch64_lacks_sdot_where_the_target_does():
    target = choose("aarch64-linux-gnu", "+neon")

    assert "sdot" not in assembly("aarch64-linux-gnu", "", "+neon", target)


@pytest.mark.parametrize("name", check.NETWORKS)
def test_every_layer_of_the_architectures_here(name):
    from edgetrain import kernels

    ops = kernels.load("numba")

    check.check_layers(name, ops)
    check.check_network(name, ops)


def test_the_tiles_fit_what_programs_make_room_for():
    target = current()
    for shape in target[2:]:
        assert shape.rows <= rooms.ROWS
        assert shape.vectors * target.lanes <= rooms.COLUMNS


def accumulators(multiplier, shift):
    """Numbers around the ties of both roundings, and the largest."""
    limit = INT32_MAX >> max(shift, 0)
    halves = [k << max(-shift - 1, 0) for k in range(-150, 151)]
    scale = max(multiplier, 1) << max(shift, 0)
    near = [(h << 31) // scale + d for h in halves for d in range(-2, 3)]
    every = np.array([*near, *range(-600, 600), limit, -limit, -limit - 1], object)
    return every[(every >= -limit - 1) & (every <= limit)].astype(np.int32)


@pytest.mark.parametrize("rows", [1, 6, 8, 16])
@pytest.mark.parametrize("shift", [-31, -12, -7, -3, -2, FUSED_SHIFT])
def test_a_fused_layer_rounds_every_tie_as_requantize(rows, shift):
    for multiplier in (2**30, 2**30 + 1, 1518500250, 2**31 - 1, 2**29, 1, 0):
        acc = accumulators(multiplier, shift)
        for columns in (len(acc), 32, 16, 10):
            biases = acc[: len(acc) // columns * columns][-columns:]
            for limits in [(0, -128, 127), (3, 3, 100), (-128, -128, 127)]:
                got = fused(biases, multiplier, shift, rows, *limits)
                wanted = fixed.requantize(biases, multiplier, shift, *limits)
                np.testing.assert_array_equal(got, np.tile(wanted, (rows, 1)))


def fused(biases, multiplier, shift, rows, zero, low, high):
    """Compute a dense layer of zeros, whose sums are its biases."""
    count = len(biases)
    sizes = (1, 1, 4, 1, 1, count, 1, 1, 1, 1, 0, 0, rows)
    packed, bias = (room(rooms.whole(count, 64) * k, kind) for k, kind in ((4, "i1"), (1, "i4")))
    scales = [room(rooms.whole(count, 64), np.int32) for _ in range(2)]
    scales[0][:], scales[1][:] = multiplier, shift
    execute("pack", sizes, is_block=0, w=np.zeros((count, 4), np.int8), b=biases, zero=0,
            packed=packed, bias=bias)  # fmt: skip
    x, y = np.zeros((rows, 4), np.int8), room(rows * count)
    area = room(rooms.area(sizes), np.int16)
    execute("layer", sizes, batch=rows, x=x, zero=0, packed=packed, bias=bias, multiplier=scales[0],
            shift=scales[1], y_zero=zero, low=low, high=high, area=area, y=y)  # fmt: skip
    return y[: rows * count].reshape(rows, count)


@pytest.mark.parametrize("shift", [-31, -12, -3, -1, 0])
def test_errors_are_scaled_as_scale_error_at_every_tie(shift):
    for multiplier in (2**30, 1518500250, 2**31 - 1):
        acc = accumulators(multiplier, shift)
        for part in (acc, acc[::97][:16].copy(), acc[3:22].copy(), acc[5:6].copy()):
            e, exponent = np.zeros(len(part) + 64, np.int8), np.zeros(1, np.int64)
            table, watch = np.array([-shift, 0], np.int32), np.array([0, -1])
            execute(
                "scale", x=part, size=len(part), multiplier=multiplier, shift=0, limit=99,
                table=table.ctypes.data - machine_base(), watch=watch, exponent=exponent,
                y_exponent=exponent, y=e,
            )  # fmt: skip
            wanted, peak = fixed.scale_error(part, multiplier, shift)
            np.testing.assert_array_equal(e[: len(part)], wanted)
            assert watch.tolist() == [-shift, peak]


def machine_base():
    """Where `execute` lets the block of parameters start."""
    return NO_BLOCK.ctypes.data
