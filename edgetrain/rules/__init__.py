"""Learning rules: a new one is a file and a line in RULES."""

from edgetrain.rules.backprop import Backprop
from edgetrain.rules.base import Metrics, Rule, configured
from edgetrain.rules.forward_forward import ForwardForward
from edgetrain.rules.forward_gradient import ForwardGradient
from edgetrain.rules.mono_forward import MonoForward

RULES: dict[str, type[Rule]] = {
    "mono_forward": MonoForward,
    "forward_forward": ForwardForward,
    "forward_gradient": ForwardGradient,
    "backprop": Backprop,
}

__all__ = [
    "RULES",
    "Backprop",
    "ForwardForward",
    "ForwardGradient",
    "Metrics",
    "MonoForward",
    "Rule",
    "configured",
]
