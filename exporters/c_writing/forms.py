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
    dsp = -(-n // 4) * 40 if n > 128 else -(-n // 8) * (16 * channels + 48) + 16 * channels
    macro = f"ET_CONV2D_SCRATCH({n}, {n_out}, {rows})"
    return Scratch(macro, (0, dsp, -(-n // 16) * 64 + rows))


def depthwise(out_width: int, stride: int) -> Scratch:
    """Return the scratch of `et_conv2d` with a group a channel."""
    size = 32 * (-(-out_width // 4) * 4 * stride + 2)
    return Scratch(f"ET_DEPTHWISE_SCRATCH({out_width}, {stride})", (0, size, size))


def conv2d_learn(n_out: int, pixels: int) -> Scratch:
    """Return the scratch of `et_conv2d_learn` without groups; pixels are those of a batch."""
    most, weights = 128, 32
    rows = n_out if pixels > most else 4
    dsp = -(-min(pixels, most) // 16) * 16 * (2 * weights + 12) + rows * 4 * weights
    rows = n_out if pixels > most else 1
    mve = min(pixels, most) * (weights + 8) + rows * 4 * weights
    return Scratch(f"ET_CONV2D_LEARN_SCRATCH({n_out}, {pixels})", (0, dsp, mve))


def conv2d_error(k: int, n_in: int) -> Scratch:
    """Return the scratch of `et_conv2d_error` without groups; k errors reach one input."""
    most = 4 if k > 1024 else 4096 // k // 4 * 4
    mve = -(-k // 8) * 8 * (2 * min(most, -(-n_in // 4) * 4) + 1)
    sizes = (0, -(-k // 16) * 32 * (2 + min(most, n_in)), mve)
    return Scratch(f"ET_CONV2D_ERROR_SCRATCH({k}, {n_in})", sizes)


def depthwise_learn(
    kernel: tuple[int, int], stride: tuple[int, int], out_height: int, out_width: int
) -> Scratch:
    """Return the scratch of `et_conv2d_learn` with a group a channel."""
    (height, width), (down, right) = kernel, stride
    macro = (
        f"ET_DEPTHWISE_LEARN_SCRATCH({height}, {width}, {down}, {right}, {out_height}, {out_width})"
    )
    pitch = out_width + (width - 1) // right
    rows = _strip_rows(out_height, pitch * down * right)
    part = (rows + (height - 1) // down) * pitch + (width - 1) // right
    mve = -(-height * width // 4) * 144 + 8 * (rows * pitch + part * down * right)
    return Scratch(macro, (0, _planes(height, out_height, out_width + 2, 8), mve))


def depthwise_error(kernel: tuple[int, int], height: int, width: int) -> Scratch:
    """Return the scratch of `et_conv2d_error` with a group a channel."""
    macro = f"ET_DEPTHWISE_ERROR_SCRATCH({kernel[0]}, {kernel[1]}, {height}, {width})"
    pitch = kernel[0] * (width + kernel[1] - 1)
    mve = _strip_rows(height, pitch) * (4 * width + 8 * pitch) + 28
    return Scratch(macro, (0, _planes(kernel[0], height, width + 2, 4), mve))


def _strip_rows(height: int, pitch: int) -> int:
    return min(max(256 // pitch, 1), height)


def _planes(kernel_height: int, height: int, pitch: int, size: int) -> int:
    strip = min(height * pitch, max(pitch, 256))
    planes = (strip + (kernel_height - 1) * pitch + 5) // 4 * 4
    return 8 * planes + size * (-(-strip // 8) * 8) + 32
