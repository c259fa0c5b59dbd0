"""Learning rates that were good on validation data: what `edgetrain train` takes by itself."""

from collections.abc import Mapping
from types import MappingProxyType

from edgetrain.blocks import is_convolutional
from edgetrain.graph import Graph
from edgetrain.rules import ForwardGradient, Rule

DENSE: Mapping[str, float] = MappingProxyType(
    {
        "MonoForward": 0.25,
        "ForwardForward": 0.1,
        "ForwardGradient": 0.03,
        "Backprop": 0.1,
    }
)
"""For fully connected networks, by the class of the rule; see examples/compare_rules.py."""
CONVOLUTIONAL: Mapping[str, float] = MappingProxyType(
    {
        "MonoForward": 0.1,
        "ForwardForward": 0.05,
        "ForwardGradient": 0.003,
        "Backprop": 0.01,
    }
)
"""For convolutional networks."""
WEIGHT_SPACE = 0.03
"""For forward gradients in weight space: a share of a layer's root mean square weight."""


def learning_rate(rule: Rule, graph: Graph) -> float:
    """Return a learning rate for a rule and a network.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.rules import MonoForward
        >>> learning_rate(MonoForward(), mlp((4,), 2).graph)
        0.25
    """
    if isinstance(rule, ForwardGradient) and rule.space == "weight":
        return WEIGHT_SPACE
    table = CONVOLUTIONAL if is_convolutional(graph) else DENSE
    return table[type(rule).__name__]
