"""One training step of forward gradients; `ForwardGradient.step` in C."""

from dataclasses import replace

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.exporters.c_writing.backward import Backward, Error
from edgetrain.exporters.c_writing.forward import Forward
from edgetrain.exporters.c_writing.kept import open_between
from edgetrain.exporters.c_writing.learn import loss, outputs_q10
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.graph import INPUT, Node
from edgetrain.inference import ends_linear
from edgetrain.rules.activity_space import DIFFERENCE_MAX as ACTIVITY_MAX
from edgetrain.rules.activity_space import SIGN_DIFFERENCE
from edgetrain.rules.forward_gradient import ERROR_CLIP, ForwardGradient
from edgetrain.rules.weight_space import DIFFERENCE_MAX as WEIGHT_MAX
from edgetrain.rules.weight_space import SIGN_BITS
from edgetrain.step import tensor_number


class Gradient:
    """Appends the passes of one step.

    Args:
        unit: the file.
        rule: in either space.
        name: of the function.
    """

    def __init__(self, unit: Unit, rule: ForwardGradient, name: str = "train") -> None:
        settings = rule.settings
        if settings.error_clip is None:
            settings = replace(settings, error_clip=ERROR_CLIP)
        self.unit, self.rule, self.program = unit, rule, Program(name)
        self.nodes = rule.perturbed(unit.model)
        self.clean = rule.space == "activity" or rule.head == "exact"
        self.forward = Forward(unit, self.program, {INPUT: "x"})
        self.backward = Backward(unit, self.program, self.forward, settings)

    def again(self, read: str) -> Program:
        """Return the body of a step in weight space whose SLOPES a line of C reads."""
        slopes = self.program.buffer("slopes", "int32_t", self.rule.queries)
        self.program.line(self._first_query())
        self.program.line(read.replace("SLOPES", slopes), slopes)
        self._step_along_signs(slopes)
        return self.program

    def write(self, kept: str = "") -> Program:
        """Return the body of the function that learns from one batch.

        Args:
            kept: a line of C that keeps the SLOPES of a step in weight space.
        """
        queries, batch = self.rule.queries, self.unit.batch
        sums = self.program.buffer("differences", "int64_t", queries * batch)
        line = self.program.line
        if not self.clean:
            line("int64_t perturbed = 0;")
        line(self._first_query())
        line(f"__builtin_memset({sums}, 0, {8 * queries * batch});", sums)
        line(f"for (int32_t query = 0; query < {queries}; query++)")
        line("for (int32_t direction = 1; direction >= -1; direction -= 2) {")
        losses = self._perturbed_pass()
        line(f"for (int32_t i = 0; i < {batch}; i++) {{", losses)
        line(f"{sums}[query * {batch} + i] += (int64_t)direction * {losses}[i];", sums, losses)
        if not self.clean:
            line(f"perturbed += {losses}[i];", losses)
        line("}")
        line("}")
        if self.rule.space == "activity":
            slopes = self._slopes(sums, queries * batch, 1, ACTIVITY_MAX, SIGN_DIFFERENCE)
            self._clean_pass(slopes)
        else:
            slopes = self._slopes(sums, queries, batch, WEIGHT_MAX, 1 << SIGN_BITS)
            if self.clean:
                self._clean_pass("")
            else:
                line(f"loss = (int32_t)(perturbed / {2 * queries});")
            self._step_along_signs(slopes)
            if kept:
                line(kept.replace("SLOPES", slopes), slopes)
        return self.program

    def _first_query(self) -> str:
        return f"const uint32_t first_query = (uint32_t)step * {self.rule.queries};"

    def signs(self, node: Node, query: str) -> str:
        """Return the C expression of a pointer to a node's signs."""
        return f"&(et_signs){{seed, {query}, {tensor_number(f'node/{node.name}')}u}}"

    def _slopes(self, sums: str, count: int, together: int, most: int, unit: int) -> str:
        """Append what bounds the differences, or leaves only their signs."""
        slopes = self.program.buffer("slopes", "int32_t", count)
        value = f"{sums}[i]" if together == 1 else "sum"
        add = "" if together == 1 else (
            f"int64_t sum = 0; for (int32_t k = 0; k < {together}; k++) "
            f"sum += {sums}[i * {together} + k]; "
        )  # fmt: skip
        bound = f"(int32_t)({value} < -{most} ? -{most} : {value} > {most} ? {most} : {value})"
        if self.rule.uses_sign:
            bound = f"({value} > 0 ? {unit} : {value} < 0 ? -{unit} : 0)"
        self.program.line(
            f"for (int32_t i = 0; i < {count}; i++) {{ {add}{slopes}[i] = {bound}; }}",
            sums, slopes,
        )  # fmt: skip
        return slopes

    def _perturbed_pass(self) -> str:
        """Append a pass with everything perturbed; return the buffer of its losses."""
        self.forward.values = {INPUT: "x"}
        result = ""
        for node in self.unit.graph.nodes:
            if node in self.nodes:
                result = self._perturbed_node(node)
            elif ends_linear(self.unit.model, node):
                result = self.program.buffer("logits", "int32_t", self.forward.size(node.name))
                self.forward.accumulate(node, result)
            else:
                self.forward.node(node)
                result = self.forward.values[node.name]
        self._loss(result, counts=False)
        return self.losses

    def _perturbed_node(self, node: Node) -> str:
        if self.rule.space == "weight":
            return self._with_other_weights(node)
        unit, forward = self.unit, self.forward
        name, n_out = unit.names[node.name], node.n_out
        start = forward.start(node)
        size = unit.constant(f"{name}_perturb", unit.state.tensors[f"perturb/{node.name}"])
        shaken = self.program.buffer(f"{name}_shaken", "int32_t", n_out)
        linear = ends_linear(unit.model, node)
        if linear:
            y = self.program.buffer("logits", "int32_t", forward.size(node.name))
        else:
            y = forward.result(node)
        x = forward.values[node.inputs[0]]
        signs = self.signs(node, "first_query + (uint32_t)query")
        one = forward.size(node.name) // unit.batch
        read = forward.size(node.inputs[0]) // unit.batch
        self.program.line(f"for (int32_t s = 0; s < {unit.batch}; s++) {{", x, y, start, shaken)
        self.program.line(
            f"et_shake_start({start}, {size}, {signs}, s, direction, {shaken}, {n_out});",
            start, shaken,
        )  # fmt: skip
        forward.linear(node, f"{x} + s * {read}", f"{name}_w", shaken, f"{y} + s * {one}", 1)
        self.program.line("}", x, y, start, shaken)
        return y

    def _with_other_weights(self, node: Node) -> str:
        unit, forward = self.unit, self.forward
        name, shape = unit.names[node.name], unit.graph.weight_shape(node)
        n = unit.graph.fan_in(node)
        w = self.program.buffer(f"{name}_shaken", "int8_t", shape[0] * n)
        b = self.program.buffer(f"{name}_start", "int32_t", shape[0])
        eps = int(unit.state.tensors[f"perturb/{node.name}"][0])
        limit = unit.model.scheme.bias_limits[node.name]
        signs = self.signs(node, "first_query + (uint32_t)query")
        self.program.line(
            f"et_shake_weights({name}_w, {name}_b, {signs}, direction * {eps}, {limit}, "
            f"{forward.zero_point(node.inputs[0])}, {w}, {b}, {shape[0]}, {n});",
            w, b,
        )  # fmt: skip
        if ends_linear(unit.model, node):
            y = self.program.buffer("logits", "int32_t", forward.size(node.name))
        else:
            y = forward.result(node)
        forward.linear(node, forward.values[node.inputs[0]], w, b, y, unit.batch)
        return y

    def _loss(self, result: str, counts: bool) -> Error:
        """Append the loss on what the last node left."""
        logits = outputs_q10(self.unit, self.forward, result)
        name = self.unit.graph.output.name
        error, self.losses = loss(self.unit, self.forward, self.backward, logits, name, counts)
        return error

    def _clean_pass(self, slopes: str) -> None:
        """Append the pass in which layers learn as soon as they are computed."""
        unit, forward = self.unit, self.forward
        forward.values = {INPUT: "x"}
        result = ""
        for node in unit.graph.nodes:
            if ends_linear(unit.model, node):
                result = self.program.buffer("logits", "int32_t", forward.size(node.name))
                forward.accumulate(node, result)
            else:
                forward.node(node)
                result = forward.values[node.name]
            if slopes and node in self.nodes:
                self._learn_layer(node, slopes, result)
        error = self._loss(result, counts=True)
        if self.rule.head == "exact":
            self.backward.learn(unit.graph.output, error)

    def _learn_layer(self, node: Node, slopes: str, result: str) -> None:
        unit, forward = self.unit, self.forward
        low, high = open_between(unit, node)
        y = "NULL" if ends_linear(unit.model, node) else result
        e = self.program.buffer(f"{unit.names[node.name]}__e", "int8_t", forward.size(node.name))
        pixels = forward.size(node.name) // node.n_out // unit.batch
        call = (
            f"et_estimate({slopes}, {self.rule.queries}, {self.signs(node, 'first_query')}, {y}, "
            f"{low}, {high}, SCALING, {e}, {unit.batch}, {pixels}, {node.n_out})"
        )
        multiplier, shift = unit.state.tensors[f"factor/{node.name}"]
        row, factor = self.backward.row(node.name, 0), (int(multiplier), int(shift))
        error = self.backward.scaled(row, factor, str(-LOGIT_BITS), call, e, slopes, result)
        self.backward.learn(node, error)

    def _step_along_signs(self, slopes: str) -> None:
        exponent = -LOGIT_BITS
        if self.rule.uses_sign:
            exponent = -SIGN_BITS
            self.program.line("lesson.batch = 1;")
        for node in self.nodes:
            sums = self.program.buffer(
                f"{self.unit.names[node.name]}_sums", "int32_t", self.unit.graph.fan_in(node)
            )
            self.program.line(
                f"saturated += et_signs_step({self.backward.learner(node)}, &lesson, {slopes}, "
                f"{self.rule.queries}, first_query, {exponent}, {sums});",
                slopes, sums,
            )  # fmt: skip
