"""What the backend "numba" compiles for: the lowering of its micro-kernel, and tile shapes.

Numba's *target* decides, with its overrides NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, not the
processor that runs: an instruction that the target lacks would end the whole process.

| lowering | where | one instruction adds |
|---|---|---|
| ``vnni8`` | x86 with AVX512-VNNI or AVX-VNNI | 4 products of uint8 and int8 to each lane |
| ``sdot8`` | aarch64 with the dot product | 4 products of int8 and int8 to each lane |
| ``pair8`` | everywhere | 2 products of int16 and int8, from vectors every target has |
"""

from typing import NamedTuple

from numba.core.registry import cpu_target


class Shape(NamedTuple):
    """Size of a register tile."""

    rows: int
    vectors: int


class Target(NamedTuple):
    """What the micro-kernel is compiled to.

    Attributes:
        lowering: a name of the table above.
        lanes: int32 numbers in a vector.
        wide: the tile for many columns.
        middle: for fewer columns, or where wide would waste rows.
        narrow: for a single vector of columns.
    """

    lowering: str
    lanes: int
    wide: Shape
    middle: Shape
    narrow: Shape


def choose(triple: str, features: str) -> Target:
    """Choose the tiles of a target.

    Args:
        triple: of LLVM, such as "x86_64-unknown-linux-gnu".
        features: of LLVM, such as "+avx2,-avx512f".

    Returns:
        The widest target that the features allow.

    Example:
        >>> choose("aarch64-unknown-linux-gnu", "+neon,+dotprod").lowering
        'sdot8'
    """
    has = {name[1:] for name in features.split(",") if name.startswith("+")}
    machine = triple.split("-")[0]
    if machine == "x86_64" and {"avx512f", "avx512bw", "avx512vl"} <= has:
        lowering = "vnni8" if "avx512vnni" in has else "pair8"
        return Target(lowering, 16, Shape(6, 4), Shape(8, 2), Shape(16, 1))
    if machine == "x86_64" and "avx2" in has:
        lowering = "vnni8" if "avxvnni" in has else "pair8"
        return Target(lowering, 8, Shape(4, 2), Shape(4, 2), Shape(6, 1))
    if machine in ("aarch64", "arm64"):
        lowering = "sdot8" if "dotprod" in has else "pair8"
        return Target(lowering, 4, Shape(4, 4), Shape(4, 4), Shape(8, 2))
    return Target("pair8", 4, Shape(3, 2), Shape(3, 2), Shape(3, 2))


def current() -> Target:
    """Choose the tiles of the target that Numba compiles for in this process."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return choose(triple, features)
