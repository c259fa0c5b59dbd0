"""What a format must offer so that a training step can be written in it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from edgetrain.arithmetic.layers import Window

Tensor = Any
"""What an emitter makes: a value of the step, or a constant array of NumPy. Shapes are NHWC."""
Number = Any
"""A scalar of the step, or an int that is known when it is written."""
Shape = tuple[int, ...]


class Stream(NamedTuple):
    """Random words; see `edgetrain.arithmetic.randomness.stream_key`.

    Attributes:
        number: of the step or query.
        tensor: number of the tensor.
        purpose: PERTURB, ROUND or CONTRAST.
    """

    number: Number
    tensor: int
    purpose: int


class Rate(NamedTuple):
    """Arguments of `edgetrain.state.rate_multiplier`; rates and batch are constants."""

    rates: NDArray[Any]
    exponent: Number
    batch: int
    rate: Number
    fraction: int


class Emitter(Protocol):
    """Appends operations to a graph; each means what `edgetrain.fixed` computes by that name.

    Types are those of NumPy in the specification: int8 codes and errors, int32 sums, and int32
    for all other integers, which fit. How an emitter holds a value (another type, channels first)
    is its own matter. Where an operation has no namesake in `edgetrain.fixed`, its meaning is
    that of `edgetrain.exporters.training_tests.eager`, which computes instead of writing.
    """

    # what enters and leaves
    def samples(self, shape: Shape) -> Tensor:
        """Declare the codes of a batch, ``x``: int8 (batch, *shape)."""

    def labels(self) -> Tensor:
        """Declare the labels of a batch, ``y``: int32 (batch,)."""

    def targets(self, outputs: int) -> Tensor:
        """Declare the targets of a batch, ``y``: int32 (batch, outputs), Q10."""

    def step_number(self) -> Number:
        """Declare the number of the step, ``step``; the seed of all streams, ``seed``, with it."""

    def parameter(self, name: str, value: NDArray[Any]) -> Tensor:
        """Declare what a step changes: an input that starts with value."""

    def output(self, name: str, value: Tensor) -> None:
        """Let a value leave."""

    # the forward pass
    def dense_acc(self, x: Tensor, w: Tensor, b: Tensor, x_zero_point: int) -> Tensor:
        """Append `fixed.dense_acc`."""

    def conv2d_acc(
        self, x: Tensor, w: Tensor, b: Tensor, x_zero_point: int, window: Window
    ) -> Tensor:
        """Append `fixed.conv2d_acc`."""

    def requantize(
        self, acc: Tensor, multiplier: Any, shift: Any, zero_point: int, low: int, high: int
    ) -> Tensor:
        """Append `fixed.requantize`; multipliers and shifts are constants."""

    def average_pool(self, x: Tensor, window: Window) -> Tensor:
        """Append `fixed.average_pool`."""

    def max_pool(self, x: Tensor, window: Window) -> Tensor:
        """Append `fixed.max_pool`."""

    def global_average_pool(
        self, x: Tensor, x_zero_point: int, multiplier: int, shift: int, y_zero_point: int
    ) -> Tensor:
        """Append `fixed.global_average_pool`."""

    def add(
        self, a: Tensor, a_zero_point: int, a_scale: tuple[int, int], b: Tensor,
        b_zero_point: int, b_scale: tuple[int, int], y_zero_point: int,
        y_scale: tuple[int, int], low: int, high: int,
    ) -> Tensor:  # fmt: skip
        """Append `fixed.add`."""

    def look_up(self, x: Tensor, table: NDArray[Any]) -> Tensor:
        """Append `fixed.look_up`: int8 codes of an int8 table, integers of an int32 table."""

    def codes(self, x: Tensor) -> Tensor:
        """Read int8 codes as integers."""

    def as_codes(self, x: Tensor) -> Tensor:
        """Read integers in [-128, 127] as int8 codes."""

    # losses
    def logits_q10(self, acc: Tensor, multiplier: Any, shift: Any) -> Tensor:
        """Append `fixed.logits_q10`; multipliers and shifts are constants."""

    def softmax(self, logits: Tensor) -> Tensor:
        """Append `fixed.softmax`."""

    def log_softmax(self, logits: Tensor) -> Tensor:
        """Append `fixed.log_softmax`."""

    def cross_entropy(self, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Append `fixed.cross_entropy`; labels out of range give any numbers."""

    def squared_error(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Append `fixed.squared_error`."""

    # errors and gradients
    def scale_error(self, acc: Tensor, multiplier: int, shift: Number) -> tuple[Tensor, Number]:
        """Append `fixed.scale_error`; shift is at most 0."""

    def dense_grad_x(self, e: Tensor, w: Tensor, ratio: NDArray[Any]) -> Tensor:
        """Append `fixed.dense_grad_x`."""

    def dense_grad_w(self, x: Tensor, e: Tensor, x_zero_point: int) -> Tensor:
        """Append `fixed.dense_grad_w`."""

    def conv2d_grad_x(
        self, e: Tensor, w: Tensor, ratio: NDArray[Any], x_shape: Shape, window: Window
    ) -> Tensor:
        """Append `fixed.conv2d_grad_x`."""

    def conv2d_grad_w(self, x: Tensor, e: Tensor, x_zero_point: int, window: Window) -> Tensor:
        """Append `fixed.conv2d_grad_w`."""

    def grad_b(self, e: Tensor) -> Tensor:
        """Sum an error up over all but its last axis: int32 (n_out,)."""

    def average_pool_grad(self, e: Tensor, x_shape: Shape, window: Window) -> Tensor:
        """Append `fixed.average_pool_grad`."""

    def max_pool_index(self, x: Tensor, window: Window) -> Tensor:
        """Append `fixed.max_pool_index`."""

    def max_pool_grad(self, e: Tensor, index: Tensor, x_shape: Shape, window: Window) -> Tensor:
        """Append `fixed.max_pool_grad`."""

    def opened(self, y: Tensor, low: int, high: int | None) -> Tensor:
        """Say where codes are above low and, unless it is None, below high: 1 or 0."""

    # randomness and updates
    def random_octets(self, streams: Sequence[tuple[Stream, int]]) -> Sequence[Tensor]:
        """Draw uint8 (count,) of every stream: byte ``i % 4`` of word ``i // 4``."""

    def random_signs(self, stream: Stream, rows: int, columns: int) -> Tensor:
        """Append `fixed.random_signs`."""

    def random_below(self, stream: Stream, bounds: Tensor) -> Tensor:
        """Draw int32 (count,) of int32 bounds (count,): word ``i * bounds[i] >> 32``."""

    def rate_multipliers(self, rates: Sequence[Rate]) -> Sequence[Tensor]:
        """Append `edgetrain.state.rate_multiplier` of every rate."""

    def update_int8(
        self, olds: Sequence[Tensor], accs: Sequence[Tensor], multipliers: Sequence[Tensor],
        octets: Sequence[Tensor],
    ) -> tuple[Sequence[Tensor], Number]:  # fmt: skip
        """Append `fixed.update_int8` of every layer with the octets of its fractions."""

    def update_int16(
        self, olds: Sequence[Tensor], accs: Sequence[Tensor], multipliers: Sequence[Tensor],
        octets: Sequence[Tensor],
    ) -> tuple[Sequence[Tensor], Number]:  # fmt: skip
        """Append `fixed.update_int16` of every layer with the octets of its fractions."""

    def visible(self, w: Tensor) -> Tensor:
        """Append `fixed.visible`."""

    def update_biases(
        self, olds: Sequence[Tensor], accs: Sequence[Tensor], multipliers: Sequence[Tensor],
        limits: Sequence[int],
    ) -> Sequence[Tensor]:  # fmt: skip
        """Append `fixed.update_bias` of every layer."""

    def momentum(self, velocity: Tensor, acc: Tensor, decay: int, realign: Number) -> Tensor:
        """Append `fixed.momentum`."""

    # integers, an element at a time; shapes broadcast
    def plus(self, a: Tensor, b: Tensor) -> Tensor:
        """Append ``a + b``."""

    def minus(self, a: Tensor, b: Tensor) -> Tensor:
        """Append ``a - b``."""

    def times(self, a: Tensor, b: Tensor) -> Tensor:
        """Append ``a * b``."""

    def divide(self, a: Tensor, b: Tensor) -> Tensor:
        """Append the whole part of ``a / b`` for a >= 0 and b > 0."""

    def floor_divide(self, a: Tensor, b: Tensor) -> Tensor:
        """Append the floor of ``a / b`` for b > 0."""

    def shift_right(self, a: Tensor, bits: Number) -> Tensor:
        """Append ``a >> bits`` of int32 numbers for bits in [0, 31]."""

    def minimum(self, a: Tensor, b: Tensor) -> Tensor:
        """Append the smaller."""

    def maximum(self, a: Tensor, b: Tensor) -> Tensor:
        """Append the larger."""

    def clip(self, a: Tensor, low: int, high: int) -> Tensor:
        """Append a kept within limits, which makes an int32 of it."""

    def sign(self, a: Tensor) -> Tensor:
        """Append -1, 0 or 1."""

    def bit_length(self, a: Tensor) -> Tensor:
        """Append the number of bits of integers from 0."""

    def less(self, a: Tensor, b: Tensor) -> Tensor:
        """Append the condition ``a < b``."""

    def equal(self, a: Tensor, b: Tensor) -> Tensor:
        """Append the condition ``a == b``."""

    def both(self, a: Tensor, b: Tensor) -> Tensor:
        """Append the condition that two conditions hold."""

    def every(self, condition: Tensor) -> Tensor:
        """Append the condition, one scalar, that all of a condition's elements hold."""

    def choose(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Append a where a condition holds, else b."""

    # shapes
    def reshape(self, x: Tensor, shape: Shape) -> Tensor:
        """Append a reshape in NHWC order; a shape of four is an image."""

    def spread(self, x: Tensor, shape: Shape) -> Tensor:
        """Give every pixel of an image the value of its channel: (batch, n) to shape."""

    def total(self, x: Tensor, axis: int | None = None) -> Tensor:
        """Sum up over an axis of a value that is no image: int32; over everything: int64."""

    def running_total(self, x: Tensor) -> Tensor:
        """Sum up along the last axis, up to and with each element."""

    def pick(self, x: Tensor, index: Tensor) -> Tensor:
        """Take an element a row: (batch, n) and (batch,) to (batch,); 0 where out of range."""

    def place(self, values: Tensor, index: Tensor, width: int) -> Tensor:
        """Put an element a row, zeros elsewhere: (batch,) and (batch,) to (batch, width)."""

    def best(self, x: Tensor) -> Tensor:
        """Return where each row is largest, the first of equals: int32 (batch,)."""

    def stack(self, numbers: Sequence[Number]) -> Tensor:
        """Make a vector of scalars."""

    def join(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Concatenate."""

    def cut(self, x: Tensor, start: int, stop: int, axis: int) -> Tensor:
        """Slice along an axis of a value that is no image."""

    def item(self, x: Tensor, *index: int) -> Number:
        """Take one element as a scalar."""

    def column(self, x: Tensor, rows: Sequence[int], column: int) -> Tensor:
        """Take some rows of one column of a matrix, as a vector."""

    def with_rows(self, x: Tensor, rows: Sequence[int], columns: Sequence[Tensor]) -> Tensor:
        """Exchange some rows of a matrix; their new values are given a column each."""
