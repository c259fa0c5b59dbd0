"""A learning rate that a model survives: found by short trials, for models we know nothing of."""

from dataclasses import replace
from types import ModuleType

from edgetrain.dataset import Data
from edgetrain.model import Model
from edgetrain.rules import Rule, configured
from edgetrain.train import fit

STEPS = 64
"""Length of a trial; new heads warm up for half of it."""
FACTOR = 10**-0.5
TRIALS = 8


def steady(
    rule: Rule, model: Model, data: Data, *, ops: ModuleType, seed: int = 0, batch: int = 32
) -> Rule:
    """Return the rule with the largest learning rate at which no update saturates.

    The rule's own rate is tried first, then about a third of it, and so on. An update that
    saturates wanted to change a weight by half of its range at once: such a rate destroys what
    the model knows. Networks whose activations are large, as many that come from elsewhere, need
    smaller rates than `edgetrain.defaults` has.

    Args:
        rule: with the rate to start from.
        model: the network; not changed.
        data: real samples with labels or targets.
        ops: the backend.
        seed: of the trials.
        batch: samples a step.

    Returns:
        The rule; with the smallest rate tried if updates saturated at all of them.

    Raises:
        DataError: if the data do not fit the model.
        RuleError: if the rule cannot train the model.
        KeyboardInterrupt: after Ctrl-C.

    Example:
        >>> from edgetrain import fixed
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.data import digits
        >>> from edgetrain.quantize import quantize
        >>> from edgetrain.rules import Backprop
        >>> from edgetrain.settings import Settings
        >>> data = digits()
        >>> model = quantize(mlp((8, 8, 1), 10), data.x_train[:64], headroom=2.0)
        >>> wild = Backprop(settings=Settings(learning_rate=3.0))
        >>> steady(wild, model, data, ops=fixed).settings.learning_rate < 1.0
        True
    """
    constant = replace(rule, settings=replace(rule.settings, schedule="constant"))  # type: ignore[type-var]
    rate = rule.settings.learning_rate
    for _ in range(TRIALS - 1):
        trial = configured(constant, learning_rate=rate)
        result = fit(trial, model, data, ops=ops, seed=seed, steps=STEPS, batch=batch)
        if result.stopped == "interrupted":
            raise KeyboardInterrupt
        if not any(record["saturated"] for record in result.history):
            break
        rate *= FACTOR
    return configured(rule, learning_rate=rate)
