"""The steps of a journal again: many at once where a backend can, else one by one."""

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.updates import BIAS_SHIFT, UPDATE_SHIFT
from edgetrain.graph import Node
from edgetrain.model import Model, Weights
from edgetrain.rules import ForwardGradient
from edgetrain.rules.weight_space import SIGN_BITS, descend
from edgetrain.state import State, rate_multiplier
from edgetrain.step import Step, tensor_number

Run = tuple[Model, State]


def steps_again(
    rule: ForwardGradient,
    runs: Sequence[Run],
    slopes: NDArray[np.int32],
    seeds: Sequence[int],
    ops: ModuleType,
) -> list[Run]:
    """Take the same number of steps with runs of one rule and base that are equally far.

    Args:
        rule: in weight space, with head="same".
        runs: model and state of each device, at the same step.
        slopes: int32 (devices, steps, queries), as in a journal.
        seeds: of each device.
        ops: the backend.
    """
    if not slopes.size:
        return list(runs)
    if rule.settings.weights == "w8" and not rule.settings.momentum_bits:
        return _at_once(rule, runs, slopes, seeds, ops)
    return [
        _one_by_one(rule, run, own, seed, ops)
        for run, own, seed in zip(runs, slopes, seeds, strict=True)
    ]


def _one_by_one(
    rule: ForwardGradient, run: Run, slopes: NDArray[np.int32], seed: int, ops: ModuleType
) -> Run:
    model, state = run
    nodes = rule.perturbed(model)
    batch = np.broadcast_to(np.int8(0), (rule.settings.batch, *model.graph.input_shape))
    for own in slopes.tolist():
        step = Step(model, state, rule.settings, ops, seed, batch)
        descend(step, nodes, own, rule.uses_sign)
        model, state = step.result()
    return model, state


def _at_once(
    rule: ForwardGradient,
    runs: Sequence[Run],
    slopes: NDArray[np.int32],
    seeds: Sequence[int],
    ops: ModuleType,
) -> list[Run]:
    """Take the steps a layer at a time: in a replay no weight depends on another."""
    model, state = runs[0]
    steps = slopes.shape[1]
    shares = [rule.settings.rate_at(state.step + step) for step in range(steps)]
    scaled = slopes << SIGN_BITS if rule.uses_sign else slopes
    params: list[dict[str, Weights]] = [{} for _ in runs]
    for node in rule.perturbed(model):
        old = [run[0].params[node.name] for run in runs]
        w, b = ops.replay_int8(
            np.stack([weights.w.reshape(node.n_out, -1) for weights in old]),
            np.stack([weights.b for weights in old]),
            scaled,
            np.array(seeds, np.uint32),
            tensor_number(f"node/{node.name}"),
            state.step,
            *_rates(rule, state, node, shares),
            model.scheme.bias_limits[node.name],
        )
        for own, new_w, new_b, weights in zip(params, w, b, old, strict=True):
            own[node.name] = Weights(new_w.reshape(weights.w.shape), new_b)
    return [
        (run[0].replace_params(own), State(state.step + steps, run[1].tensors))
        for run, own in zip(runs, params, strict=True)
    ]


def _rates(
    rule: ForwardGradient, state: State, node: Node, shares: Sequence[int]
) -> list[NDArray[np.int32]]:
    """Return the multipliers of a node's weights and biases, a step each, as `Step` has them."""
    exponent, batch = (-SIGN_BITS, 1) if rule.uses_sign else (-LOGIT_BITS, rule.settings.batch)
    kinds, kind = np.unique(shares, return_inverse=True)
    found = []
    for part, shift in (("w", UPDATE_SHIFT), ("b", BIAS_SHIFT)):
        rates = state.tensors[f"rate/node/{node.name}/{part}"]
        known = [rate_multiplier(rates, exponent, batch, share, shift) for share in kinds.tolist()]
        found.append(np.stack(known)[kind])
    return found
