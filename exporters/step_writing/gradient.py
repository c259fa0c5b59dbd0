"""Forward gradients in both spaces: `edgetrain.rules.forward_gradient`."""

import math
from collections.abc import Mapping, Sequence

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.randomness import PERTURB
from edgetrain.arithmetic.rounding import WEIGHT_MAX
from edgetrain.exporters.step_writing import numbers
from edgetrain.exporters.step_writing.emitter import Number, Stream, Tensor
from edgetrain.exporters.step_writing.learning import Learning
from edgetrain.exporters.step_writing.network import Values
from edgetrain.exporters.step_writing.scaling import Error
from edgetrain.graph import INPUT, Node
from edgetrain.model import Weights
from edgetrain.rules import activity_space, weight_space
from edgetrain.rules.forward_gradient import ForwardGradient
from edgetrain.step import tensor_number


def write(learning: Learning, rule: ForwardGradient, x: Tensor) -> None:
    """Append a step of `edgetrain.rules.forward_gradient.ForwardGradient`."""
    Gradient(learning, rule).write(x)


class Gradient:
    """One step.

    Args:
        learning: the step.
        rule: the rule.
    """

    def __init__(self, learning: Learning, rule: ForwardGradient) -> None:
        self.learning, self.rule = learning, rule
        self.net, self.emit = learning.net, learning.emit
        self.nodes = rule.perturbed(learning.net.model)
        self.exact = rule.head == "exact"

    def write(self, x: Tensor) -> None:
        """Append pairs of perturbed passes, and what learns from them."""
        emit, name = self.emit, self.net.graph.output.name
        activity = self.rule.space == "activity"
        outputs = self._shaken_sums if activity else self._shaken_weights
        differences, perturbed = [], []
        for query in range(self.rule.queries):
            losses = [self.learning.loss(name, outputs(query, sign, x))[1] for sign in (1, -1)]
            differences.append(self.learning.if_valid(emit.minus(*losses)))
            perturbed += losses
        if activity:
            self._learn_activity(differences, x)
            return
        self._descend(differences)
        if self.exact:
            self._clean_pass(x)
            return
        total = emit.total(emit.stack([emit.total(loss) for loss in perturbed]))
        mean = emit.divide(total, 2 * self.rule.queries)
        self.learning.metrics["loss"] = self.learning.if_valid(mean)

    def _number(self, query: int) -> Number:
        """Return the number of a query in the run."""
        queries = self.rule.queries
        first = self.learning.number
        if queries > 1:
            first = self.emit.times(first, queries)
        return numbers.plus(self.emit, query, first)

    def _stream(self, node: Node, query: int) -> Stream:
        return Stream(self._number(query), tensor_number(f"node/{node.name}"), PERTURB)

    def _clean_pass(self, x: Tensor) -> Values:
        """Append the network as it is, and what an exact head learns; return all values."""
        values: Values = {INPUT: x}
        for node in self.net.graph.nodes:
            values[node.name] = self.net.result(node, values)
        last = self.net.graph.output
        outputs = self.net.outputs_q10(values[last.name])
        (e, exponent), loss = self.learning.loss(last.name, outputs)
        self.learning.report(loss, outputs)
        if self.exact:
            acc = self.learning.gradients(last, values[last.inputs[0]], e)
            self.learning.update_node(last, acc, exponent)
        return values

    # activity space
    def _shaken_sums(self, query: int, sign: int, x: Tensor) -> Tensor:
        """Append `activity_space.outputs`."""
        net, values = self.net, {INPUT: x}
        for node in net.graph.nodes:
            if node not in self.nodes:
                values[node.name] = net.result(node, values)
                continue
            units = self.learning.constant(f"perturb/{node.name}")
            shake = self.emit.times(self._row_signs(node, query), sign * units)
            acc = self.emit.plus(net.accumulate(node, values), self._pixels(node, shake))
            values[node.name] = acc if net.ends_linear(node) else net.finish(node, acc)
        return net.outputs_q10(values[net.graph.output.name])

    def _row_signs(self, node: Node, query: int) -> Tensor:
        """Draw a sign a sample and unit or channel."""
        stream = self._stream(node, query)
        return self.emit.random_signs(stream, self.learning.batch, node.n_out)

    def _pixels(self, node: Node, value: Tensor) -> Tensor:
        """Append what broadcasts (batch, n_out) over the pixels of a node's result."""
        if len(self.net.graph.shapes[node.name]) == 1:
            return value
        return self.emit.reshape(value, (self.learning.batch, 1, 1, node.n_out))

    def _learn_activity(self, differences: Sequence[Tensor], x: Tensor) -> None:
        """Append `activity_space.learn`."""
        values = self._clean_pass(x)
        for node in self.nodes:
            e, exponent = self._estimate(node, differences, values)
            acc = self.learning.gradients(node, values[node.inputs[0]], e)
            self.learning.update_node(node, acc, exponent)

    def _estimate(
        self, node: Node, differences: Sequence[Tensor], values: Mapping[str, Tensor]
    ) -> Error:
        """Append `activity_space.estimate`."""
        emit, learning, total = self.emit, self.learning, 0
        for query, difference in enumerate(differences):
            slope = emit.reshape(self._slope(difference), (learning.batch, 1))
            part = emit.times(self._row_signs(node, query), slope)
            total = numbers.plus(emit, total, part)
        acc = emit.times(total, 1 << activity_space.SHARE_BITS)
        shape, inside = self.net.graph.shapes[node.name], self._inside(node, values)
        if len(shape) == 3:
            acc = emit.floor_divide(acc, self._active(inside, shape))
        factor = learning.factor(f"factor/{node.name}")
        e, exponent = learning.scale(learning.row(node.name, 0), acc, factor, -LOGIT_BITS)
        if inside is not None:
            return Error(emit.times(self._pixels(node, e), inside), exponent)
        if len(shape) == 3:
            e = emit.spread(e, (learning.batch, *shape))
        return Error(e, exponent)

    def _slope(self, difference: Tensor) -> Tensor:
        emit, most = self.emit, activity_space.DIFFERENCE_MAX
        if self.rule.uses_sign:
            return emit.times(emit.sign(difference), activity_space.SIGN_DIFFERENCE)
        return emit.clip(difference, -most, most)

    def _inside(self, node: Node, values: Mapping[str, Tensor]) -> Tensor:
        """Append `edgetrain.backward.opened`; None where an error passes everywhere."""
        if not node.activation:
            return None
        low, high = self.net.scheme.output_limits[node.name]
        top = high if node.activation == "relu6" else None
        return self.emit.opened(values[node.name], low, top)

    def _active(self, inside: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Append how many pixels of each channel are active, at least 1."""
        height, width, channels = shape
        if inside is None:
            return height * width
        emit = self.emit
        flat = emit.reshape(inside, (self.learning.batch, height * width, channels))
        return emit.maximum(emit.total(flat, 1), 1)

    # weight space
    def _signs(self, node: Node, query: int) -> tuple[Tensor, Tensor]:
        """Append `weight_space.signs`."""
        shape = self.net.graph.weight_shape(node)
        size = math.prod(shape[1:])
        drawn = self.emit.random_signs(self._stream(node, query), node.n_out, size + 1)
        w = self.emit.reshape(self.emit.cut(drawn, 0, size, 1), shape)
        return w, self.emit.reshape(self.emit.cut(drawn, size, size + 1, 1), (node.n_out,))

    def _shaken_weights(self, query: int, sign: int, x: Tensor) -> Tensor:
        """Append `weight_space.outputs`."""
        emit, shaken = self.emit, {}
        for node in self.nodes:
            w, b = self.net.params[node.name]
            u_w, u_b = self._signs(node, query)
            eps = sign * int(self.learning.constant(f"perturb/{node.name}")[0])
            moved = emit.plus(emit.codes(w), emit.times(u_w, eps))
            moved = emit.clip(moved, -WEIGHT_MAX, WEIGHT_MAX)
            limit = self.net.scheme.bias_limits[node.name]
            bias = emit.plus(b, emit.times(u_b, eps * weight_space.BIAS_INPUT))
            bias = emit.clip(bias, -limit, limit)
            shaken[node.name] = Weights(emit.as_codes(moved), bias)
        return self.net.with_params(shaken).predict(x)

    def _descend(self, differences: Sequence[Tensor]) -> None:
        """Append `weight_space.descend`; let the slopes leave."""
        emit, most, uses_sign = self.emit, weight_space.DIFFERENCE_MAX, self.rule.uses_sign
        slopes = []
        for query, difference in enumerate(differences):
            slope = emit.clip(emit.total(difference), -most, most)
            slopes.append(emit.sign(slope) if uses_sign else slope)
            self.learning.metrics[f"slope_{query}"] = slopes[-1]
        bits = weight_space.SIGN_BITS if uses_sign else 0
        exponent, batch = (-bits, 1) if uses_sign else (-LOGIT_BITS, 0)
        for node in self.nodes:
            acc: list[Tensor] = [0, 0]
            for query, slope in enumerate(slopes):
                factor = emit.times(slope, 1 << bits)
                for i, signs in enumerate(self._signs(node, query)):
                    acc[i] = numbers.plus(emit, acc[i], emit.times(signs, factor))
            self.learning.update_node(node, (acc[0], acc[1]), exponent, batch=batch)
