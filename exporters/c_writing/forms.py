"""The forms of the kernels, and the scratch memory that each of them needs.

A compiler chooses the form (`kernels/c/et_layers.h`): "plain" loops, "dsp" for Arm's DSP extension
(Cortex-M4, M7, M33), "mve" for Helium (Cortex-M55, M85). The formulas are the macros of that
header; an exported program does not compile where they differ.
"""

from typing import NamedTuple

FORMS = ("plain", "dsp", "mve")
GUARDS = {"mve": "ET_HELIUM", "dsp": "ET_DSP", "plain": ""}
"""The macro that tells a form, in the order in which a program asks."""


class Scratch(NamedTuple):
    """What one call needs.

    Attributes:
        macro: the C expression of its size.
        sizes: bytes by form, in the order of FORMS.
    """

    macro: str
    sizes: tuple[int, int, int]


NONE = Scratch("0", (0, 0, 0))
"""For calls that only the plain loops can do."""


def dense(n_in: int) -> Scratch:
    """Return the scratch of `et_dense`.

    Example:
        >>> dense(64)
        Scratch(macro='ET_DENSE_SCRATCH(64)', sizes=(0, 128, 0))
    """
    return Scratch(f"ET_DENSE_SCRATCH({n_in})", (0, 2 * n_in, 0))


def conv2d(n: int, n_out: int, rows: int) -> Scratch:
    """Return the scratch of `et_conv2d` without groups.

    Args:
        n: weights of an output channel.
        n_out: output channels.
        rows: bytes of the image's rows under the kernel, padding among them; 0 for a kernel of
            1x1 without padding.
    """
    channels = min(n_out, 16 if n > 64 else 32)
    dsp = -(-n // 4) * 36 if n > 128 else -(-n // 8) * (16 * channels + 40) + 12 * channels
    macro = f"ET_CONV2D_SCRATCH({n}, {n_out}, {rows})"
    return Scratch(macro, (0, dsp, -(-n // 16) * 64 + rows))


def depthwise(out_width: int, stride: int) -> Scratch:
    """Return the scratch of `et_conv2d` with a group a channel."""
    size = 32 * (-(-out_width // 4) * 4 * stride + 2)
    return Scratch(f"ET_DEPTHWISE_SCRATCH({out_width}, {stride})", (0, size, size))
