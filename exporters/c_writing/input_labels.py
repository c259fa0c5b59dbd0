"""Forward-Forward with the label in the input; `edgetrain.rules.input_labels` in C."""

from collections.abc import Iterator, Sequence

import numpy as np

from edgetrain.arithmetic.losses import PROBABILITY_BITS
from edgetrain.exporters.c_writing.backward import Backward
from edgetrain.exporters.c_writing.forward import Forward
from edgetrain.exporters.c_writing.learn import loss, to_q10
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.graph import INPUT, Node
from edgetrain.rules.forward_forward import ForwardForward
from edgetrain.rules.input_labels import first_that_counts, hidden_layers
from edgetrain.state import constants


class Labels:
    """Appends passes of labelled samples to one function.

    Args:
        unit: the file.
        rule: with the label in the input.
        name: of the function.
    """

    def __init__(self, unit: Unit, rule: ForwardForward, name: str = "train") -> None:
        self.unit, self.rule, self.program = unit, rule, Program(name)
        self.forward = Forward(unit, self.program, {})
        self.hidden = hidden_layers(unit.model)
        self.starts = {node.name: self.forward.start(node) for node in self.hidden}
        self.features = int(np.prod(unit.graph.input_shape))

    def learn(self) -> Program:
        """Return the body of the function that learns from one batch."""
        backward = Backward(self.unit, self.program, self.forward, self.rule.settings)
        logits = self._classifier(backward)
        learning = [i for i, n in enumerate(self.hidden) if n.name in self.unit.trained]
        if learning:
            self._learn_hidden(backward, logits, self.hidden[: learning[-1] + 1])
        return self.program

    def _learn_hidden(self, backward: Backward, logits: str, nodes: Sequence[Node]) -> None:
        """Append the pass of right and wrong labels through layers, of which the last learns."""
        unit, batch = self.unit, self.unit.batch
        wrong = draw_wrong(self.forward, logits if self.rule.negatives == "hard" else "NULL")
        pair = self.program.buffer("pair", "int8_t", 2 * batch * self.features)
        self._embed("x", "y", pair, batch)
        self._embed("x", wrong, f"{pair} + {batch * self.features}", batch, pair)
        backward.forward = forward = Forward(unit.of_batch(2 * batch), self.program, {})
        slopes = self.program.buffer("slopes", "int32_t", 2 * batch)
        for node in self._layers(forward, pair, nodes):
            if node.name in unit.trained:
                self._learn_layer(node, backward, slopes)

    def infer(self) -> Program:
        """Return the body of the function that says how good every label is.

        The first layer is computed once, without a label, which moves its accumulators by one of
        its weights each.
        """
        unit, program, forward = self.unit, self.program, self.forward
        classes, first, rest = unit.graph.output_size, self.hidden[0], self.hidden[1:]
        goodness = program.buffer("goodness", "int32_t", classes)
        sample = program.buffer("sample", "int8_t", self.features)
        base, told = (program.buffer(n, "int32_t", first.n_out) for n in ("base", "told"))
        w, start = f"{unit.names[first.name]}_w", self.starts[first.name]
        zero_point, sizes = forward.zero_point(INPUT), f"{self.features}, {first.n_out}"
        program.line("const int32_t none = -1;")
        self._embed("x", "&none", sample, 1)
        forward.call(
            f"et_dense_acc({sample}, {w}, {start}, {base}, 1, {sizes});", sample, start, base
        )
        kept = (goodness, base, *(self.starts[node.name] for node in rest))
        program.line(f"for (int32_t label = 0; label < {classes}; label++) {{", *kept)
        program.line(f"int32_t found; {goodness}[label] = 0;")
        forward.call(
            f"et_tell_label({base}, {w}, label, {zero_point}, {told}, {sizes});", base, told
        )
        y = forward.result(first)
        forward.call(
            f"et_requantize({told}, {unit.output(first)}, {y}, 1, {first.n_out});", told, y
        )
        self._count(first, goodness)
        if rest:
            for node in self._layers(forward, self._normalize(forward, first), rest):
                self._count(node, goodness)
        program.line("}", *kept)
        program.line(f"et_goodness_codes({goodness}, y, {classes});", goodness)
        return program

    def _count(self, node: Node, goodness: str) -> None:
        """Append what adds a layer's goodness to that of a label."""
        if node in self.hidden[first_that_counts(self.unit.model) :]:
            self._goodness(self.forward, node, "&found")
            self.program.line(f"{goodness}[label] += found;", goodness)

    def _embed(self, x: str, labels: str, out: str, batch: int, *uses: str) -> None:
        zero_point, classes = self.forward.zero_point(INPUT), self.unit.graph.output_size
        self.program.line(
            f"et_embed_labels({x}, {labels}, {zero_point}, {out}, {batch}, {self.features}, "
            f"{classes});",
            labels, out, *uses,
        )  # fmt: skip

    def _layers(self, forward: Forward, x: str, nodes: Sequence[Node]) -> Iterator[Node]:
        """Append layers, each after what normalizes the one before; the first reads x."""
        for i, node in enumerate(nodes):
            if i:
                x = self._normalize(forward, nodes[i - 1])
            name = self.unit.names[node.name]
            forward.values[node.inputs[0]] = x
            y = forward.result(node)
            forward.linear(node, x, f"{name}_w", self.starts[node.name], y, forward.unit.batch)
            yield node

    def _normalize(self, forward: Forward, node: Node) -> str:
        """Append what normalizes a layer's result in place."""
        y, zero_point = forward.values[node.name], forward.zero_point(node.name)
        forward.call(
            f"et_normalize({y}, {zero_point}, {y}, {forward.unit.batch}, {node.n_out});", y
        )
        return y

    def _classifier(self, backward: Backward) -> str:
        """Append the pass without a label, from which the last layer learns.

        Returns:
            The buffer of its errors: probabilities but for the right classes.
        """
        unit, forward, last = self.unit, self.forward, self.unit.graph.output
        neutral = self.program.buffer("neutral", "int8_t", unit.batch * self.features)
        self._embed("x", "NULL", neutral, unit.batch)
        *_, node = self._layers(forward, neutral, self.hidden)
        forward.values[last.inputs[0]] = self._normalize(forward, node)
        logits = self.program.buffer("logits", "int32_t", forward.size(last.name))
        forward.accumulate(last, logits)
        to_q10(unit, forward, logits, "outputs", *constants(unit.model).outputs)
        error, _ = loss(unit, forward, backward, logits, last.name, counts=True)
        if last.name in unit.trained:
            backward.learn(last, error)
        return logits

    def _goodness(self, forward: Forward, node: Node, target: str) -> None:
        y, batch = forward.values[node.name], forward.unit.batch
        multiplier, shift = self.unit.state.tensors[f"goodness/{node.name}"][0]
        forward.call(
            f"et_goodness({y}, {forward.zero_point(node.name)}, {multiplier}, {shift}, {target}, "
            f"{batch}, {node.n_out});",
            y, target,
        )  # fmt: skip

    def _learn_layer(self, node: Node, backward: Backward, slopes: str) -> None:
        """Append what a layer learns from the goodness of right and wrong labels."""
        forward, tensors = backward.forward, self.unit.state.tensors
        self._goodness(forward, node, slopes)
        symmetric = int(self.rule.goodness_loss == "symmetric")
        self.program.line(
            f"et_pair_slopes({slopes}, {symmetric}, {tensors['threshold'][0]}, {self.unit.batch});",
            slopes,
        )  # fmt: skip
        y, size = forward.values[node.name], forward.size(node.name)
        e = self.program.buffer(f"{self.unit.names[node.name]}__e", "int8_t", size)
        call = (
            f"et_goodness_error({y}, {forward.zero_point(node.name)}, {slopes}, SCALING, {e}, "
            f"{forward.unit.batch}, {node.n_out}, 1)"
        )
        multiplier, shift = tensors[f"goodness/{node.name}"][1]
        row, factor = backward.row(node.name, 2), (int(multiplier), int(shift))
        error = backward.scaled(row, factor, str(-PROBABILITY_BITS), call, e, y, slopes)
        backward.learn(node, error)


def draw_wrong(forward: Forward, weights: str) -> str:
    """Append the draw of a wrong label for every sample; return its buffer.

    Args:
        forward: of the program.
        weights: buffer of errors of a cross-entropy, or NULL.
    """
    unit = forward.unit
    wrong = forward.program.buffer("wrong", "int32_t", unit.batch)
    forward.call(
        f"et_wrong_labels({weights}, y, et_stream_key(seed, (uint32_t)step, 0, ET_CONTRAST), "
        f"{wrong}, {unit.batch}, {unit.graph.output_size});",
        weights, wrong,
    )  # fmt: skip
    return wrong
