"""Scalars that are known when a step is written are computed then."""

from edgetrain.exporters.step_writing.emitter import Emitter, Number


def plus(emit: Emitter, a: Number, b: Number) -> Number:
    """Return ``a + b``."""
    if isinstance(a, int) and a == 0:
        return b
    return a + b if isinstance(a, int) and isinstance(b, int) else emit.plus(a, b)


def minus(emit: Emitter, a: Number, b: Number) -> Number:
    """Return ``a - b``."""
    return a - b if isinstance(a, int) and isinstance(b, int) else emit.minus(a, b)


def larger(emit: Emitter, a: Number, b: Number) -> Number:
    """Return the larger."""
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else emit.maximum(a, b)


def smaller(emit: Emitter, a: Number, b: Number) -> Number:
    """Return the smaller."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else emit.minimum(a, b)


def all_of(emit: Emitter, *conditions: Number) -> Number:
    """Return the condition that all hold; None stands for one that always does."""
    found = None
    for condition in conditions:
        if condition is not None:
            found = condition if found is None else emit.both(found, condition)
    return found
