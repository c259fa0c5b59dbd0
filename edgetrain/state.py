"""Training state is a value: a step counter and named integer arrays.

| name of a tensor | what |
|---|---|
| ``rate/KEY/w``, ``rate/KEY/b`` | int32 (2, n_out): multiplier and shift of the learning rate |
| ``master/KEY`` | int16 masters of the weights, with ``weights="w16"`` |
| ``velocity/KEY``, ``velocity/KEY/exponent`` | int32: momentum and the exponent of its unit |
| ``head/NAME/w`` .. | a local classifier, see `edgetrain.heads` |
| ``exponents`` | int32 (rows, 2): exponent and largest peak of every error |
| ``perturb/NAME``, ``goodness/NAME`` .. | int32 constants of a rule, named in its module |

KEY is ``node/NAME`` or ``head/NAME``.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.gradients import RATIO_BITS
from edgetrain.arithmetic.layers import ACTIVATION_RANGE
from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.rounding import (
    INT32_MAX,
    Int32,
    divide_by_power,
    quantize_multiplier,
    quantize_multipliers,
)
from edgetrain.arithmetic.updates import UPDATE_SHIFT, masters
from edgetrain.errors import RuleError
from edgetrain.graph import INPUT, Node
from edgetrain.inference import ends_linear
from edgetrain.model import Model
from edgetrain.settings import FULL_RATE, Settings

FINEST = -64
"""Exponent of an error that no step has seen yet: the finest scale its sums allow."""
PROBABILITY_EXPONENT = -7
"""Exponent of a classifier's error: probabilities with 7 fraction bits."""
RATE_BITS = 8
UNIT_RATIO = 1 << RATIO_BITS
"""Ratio of the channel with the largest weight scale."""
DEAD = 2**-10
"""Share of the largest weight scale below which a channel does not learn."""

Tensors = Mapping[str, NDArray[np.signedinteger]]


@dataclass(frozen=True)
class State:
    """What a rule carries from step to step.

    Attributes:
        step: number of the next step.
        tensors: integer arrays by name.
    """

    step: int = 0
    tensors: Tensors = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def trace(model: Model, state: State) -> str:
    """Return the CRC-32 of all parameters and state as eight hex digits: equal means equal.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((4,), 3), np.ones((2, 4), np.float32))
        >>> trace(model, State(0)) == trace(model, State(1))
        False
    """
    crc = zlib.crc32(np.int64(state.step).astype("<i8").tobytes())
    for name, array in traced(model, state).items():
        crc = zlib.crc32(array.tobytes(), zlib.crc32(name.encode(), crc))
    return f"{crc:08x}"


def traced(model: Model, state: State) -> dict[str, NDArray[np.signedinteger]]:
    """Return all parameters and state by name, sorted, as little-endian contiguous arrays.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((4,), 3, hidden=()), np.ones((2, 4), np.float32))
        >>> list(traced(model, State(0)))
        ['classifier/b', 'classifier/w']
    """
    arrays = {f"{name}/{part}": array for name, weights in model.params.items()
              for part, array in weights._asdict().items()}  # fmt: skip
    arrays |= {f"state/{name}": array for name, array in state.tensors.items()}
    return {
        name: np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        for name, array in sorted(arrays.items())
    }


def initial(model: Model, settings: Settings, trained: frozenset[str]) -> dict[str, NDArray]:
    """Return the tensors that every rule needs for the nodes it trains.

    Raises:
        RuleError: if the learning rate rounds to zero or overflows, or a batch is too large for
            int32 sums; it names the node.
    """
    rows = 3 * len(model.graph.nodes)
    exponents = np.tile(np.array([[FINEST, 0]], np.int32), (rows, 1))
    tensors: dict[str, NDArray] = {"exponents": exponents}
    constants(model)
    for node in model.graph.trainable:
        if node.name not in trained:
            continue
        check_sums(model, node, settings.batch)
        x_scale, w_scale = unit_scales(model, node)
        tensors |= learnable(
            f"node/{node.name}", model.params[node.name].w, x_scale, w_scale, settings
        )
    return tensors


def unit_scales(model: Model, node: Node) -> tuple[float, NDArray[np.float64]]:
    """Return the scales in which a node learns: of its input, and of its weights a channel.

    They are the model's own, with two exceptions that keep one learning rate right for every
    unit of measurement: an input (or a linear output of a regression) that spans more than -1
    to 1 is measured in units of its range.
    """
    scheme = model.scheme
    x_scale = scheme.activations[node.inputs[0]].scale
    w_scale = scheme.weights[node.name]
    if node.inputs[0] == INPUT:
        span = max(1.0, 128 * x_scale)
        x_scale, w_scale = x_scale / span, w_scale * span
    return x_scale, w_scale / output_span(model, node)


def output_span(model: Model, node: Node) -> float:
    """Return the range in whose units a regression's linear output is measured, 1 for others."""
    if node != model.graph.output or model.task == "classify":
        return 1.0
    return max(1.0, 128 * model.scheme.activations[node.name].scale)


class Constants(NamedTuple):
    """Integers that a training step needs and that do not change while a model trains."""

    outputs: tuple[Int32, Int32]  # multipliers and shifts from the last node to Q10 outputs
    errors: Mapping[str, tuple[int, int]]  # factor of the error that leaves a node at its input


def constants(model: Model) -> Constants:
    """Return a model's constants; they are made once, before the first step."""
    known = model.scheme.by_task
    if model.task not in known:
        graph, last = model.graph, model.graph.output
        span = output_span(model, last)
        scale = np.array([model.scheme.activations[last.name].scale])
        if ends_linear(model, last):
            scale = model.scheme.acc_scale(last)
        errors = {
            node.name: quantize_multiplier(
                model.scheme.ratios[node.name][1] / UNIT_RATIO / output_span(model, node)
            )
            for node in graph.trainable
        }
        for node in graph.nodes:
            if node.op == "global_average_pool":
                height, width, _ = graph.shapes[node.inputs[0]]
                errors[node.name] = quantize_multiplier(1 / (height * width))
        known[model.task] = Constants(quantize_multipliers(scale / span * 2**LOGIT_BITS), errors)
    found: Constants = known[model.task]
    return found


def learnable(
    key: str,
    w: NDArray[np.int8],
    x_scale: float,
    w_scale: NDArray[np.float64],
    settings: Settings,
) -> dict[str, NDArray]:
    """Return the rates, and the master and velocity where asked for, of one set of weights.

    A channel whose scale is less than DEAD of the largest stays as it is: networks from elsewhere
    have them where a normalization cut a channel off, and any update would fill their whole range.
    """
    rate = settings.learning_rate
    w_scale = np.where(w_scale < DEAD * w_scale.max(), np.inf, w_scale)
    tensors: dict[str, NDArray] = {
        f"rate/{key}/w": _rates(rate * x_scale / w_scale, key, rate),
        f"rate/{key}/b": _rates(rate / (x_scale * w_scale), key, rate),
    }
    nominal = rate_multiplier(
        tensors[f"rate/{key}/w"], PROBABILITY_EXPONENT, settings.batch, FULL_RATE, UPDATE_SHIFT
    )
    if nominal.max() == 0 or nominal.max() == INT32_MAX:
        verb = "rounds to zero" if nominal.max() == 0 else "overflows"
        cure = "larger" if nominal.max() == 0 else "smaller"
        raise RuleError(f"learning_rate {rate:g} {verb} for {key!r}: choose a {cure} one")
    return tensors | carried(key, w, settings)


def carried(key: str, w: NDArray[np.int8], settings: Settings) -> dict[str, NDArray]:
    """Return the master and the velocity of one set of weights, where the settings ask for them."""
    tensors: dict[str, NDArray] = {}
    if settings.weights == "w16":
        tensors[f"master/{key}"] = masters(w)
    if settings.momentum_bits:
        tensors[f"velocity/{key}"] = np.zeros(w.shape, np.int32)
        tensors[f"velocity/{key}/exponent"] = np.array([FINEST], np.int32)
    return tensors


def _rates(scales: NDArray[np.float64], key: str, rate: float) -> Int32:
    if scales.max() >= 2**30:
        raise RuleError(f"learning_rate {rate:g} overflows for {key!r}: choose a smaller one")
    return np.stack(quantize_multipliers(scales))


def rate_multiplier(rates: Int32, exponent: int, batch: int, rate: int, fraction: int) -> Int32:
    """Return the multipliers of one update: learning rate, error exponent and mean over a batch.

    Args:
        rates: int32 (2, n_out): multipliers and shifts.
        exponent: of the error.
        batch: samples that were summed.
        rate: factor in Q8.
        fraction: bits that the update shifts right: 32 for weights, 16 for biases.

    Returns:
        int32 (n_out,), saturated at 2**31 - 1.

    Example:
        >>> rate_multiplier(np.array([[2**30], [1]], np.int32), -10, 4, 256, 32)
        array([1048576], dtype=int32)
    """
    value = rates[0].astype(np.int64) * rate
    bits = rates[1].astype(np.int64) - 31 + fraction + exponent - RATE_BITS
    left = np.where(value, value << np.clip(bits, 0, 23), 0)
    right = divide_by_power(value, np.clip(-bits, 0, 62))
    scaled = np.where(bits > 23, np.where(value > 0, INT32_MAX * batch, 0), np.where(
        bits > 0, left, right))  # fmt: skip
    return np.minimum(scaled // batch, INT32_MAX).astype(np.int32)


def check_sums(model: Model, node: Node, batch: int) -> None:
    """Raise RuleError unless the sums of a node's backward pass fit in int32."""
    graph = model.graph
    shape = graph.shapes[node.name]
    pixels = shape[0] * shape[1] if len(shape) == 3 else 1
    most = INT32_MAX // (ACTIVATION_RANGE * 128 * pixels)
    if batch > most:
        raise RuleError(
            f"node {node.name!r}: the gradient of {batch} samples of {pixels} pixels could "
            f"overflow int32: use a batch of at most {most}"
        )
    kernel = node.moving.kernel[0] * node.moving.kernel[1] if node.window else 1
    groups = node.moving.groups if node.window else 1
    products = kernel * node.n_out // groups
    if products > INT32_MAX // (127 * 128 * 127) and node.inputs[0] != INPUT:
        raise RuleError(
            f"node {node.name!r}: the error of {products} outputs could overflow int32; "
            "1040 is the most an error can flow back through: cut a block before it"
        )
