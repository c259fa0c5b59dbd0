"""Learning rules: a new one is a file and a line in RULES."""

from edgetrain.rules.backprop import Backprop
from edgetrain.rules.base import Metrics, Rule
from edgetrain.rules.forward_gradient import ForwardGradient
from edgetrain.rules.mono_forward import MonoForward

RULES: dict[str, type[Rule]] = {
    "mono_forward": MonoForward,
    "forward_gradient": ForwardGradient,
    "backprop": Backprop,
}

__all__ = ["RULES", "Backprop", "ForwardGradient", "Metrics", "MonoForward", "Rule"]
