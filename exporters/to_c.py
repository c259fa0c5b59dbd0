"""Models to C99 that runs and trains them: no heap, no floats, no library."""

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from edgetrain.arithmetic.goodness import goodness_codes
from edgetrain.arithmetic.rounding import Int8
from edgetrain.blocks import select
from edgetrain.errors import ModelError
from edgetrain.exporters.c_writing import forward_forward, text
from edgetrain.exporters.c_writing.ceilings import Ceilings, check
from edgetrain.exporters.c_writing.forward import Forward
from edgetrain.exporters.c_writing.gradient import Gradient
from edgetrain.exporters.c_writing.input_labels import Labels
from edgetrain.exporters.c_writing.journal import FRAME, LESSON, declared, functions, keeping
from edgetrain.exporters.c_writing.learn import step_program
from edgetrain.exporters.c_writing.packages import package as packaged
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.unit import Unit, head_name
from edgetrain.graph import INPUT
from edgetrain.inference import output
from edgetrain.journal_header import Header
from edgetrain.model import Model
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward, Rule
from edgetrain.settings import Settings
from edgetrain.state import State

STEPS: dict[type, Callable[[Unit, Any], Program]] = {
    MonoForward: step_program,
    ForwardForward: forward_forward.step_program,
    ForwardGradient: lambda unit, rule: Gradient(unit, rule).write(),
}
"""What writes the training step of a rule."""
CARRIED = {
    "master/{}": "master",
    "velocity/{}": "velocity",
    "velocity/{}/exponent": "velocity_unit",
}
"""What the state holds of weights that learn, and its suffix in C."""
NETWORK_ANSWER = "y = what the network makes of one sample."
GOODNESS_ANSWER = """y = how good every label is for one sample; the largest is the predicted class.
 *
 * It is 127 for the best label, one less for each 1/16 by which the goodness of another is behind,
 * at least -128. The first values of a sample, one a class, are overwritten by a label in a copy,
 * and the layers are normalized: the network alone would not predict what was learned."""
HEADERS = ("ram_flash", "stddef", "stdint", "stdio", "string")
"""What exported files include; a model of that name would hide it."""


Written = tuple[Unit, Header | None, list[Program]]
"""A file, the journal's header, and the programs of its functions."""


class Programs(NamedTuple):
    """A model and a rule as calls of kernels, before they are text."""

    rule: Rule
    unit: Unit
    infer: Program
    learn: Program


def programs(model: Model, rule: Rule | None = None, batch: int = 1) -> Programs:
    """Write the functions of `to_c`, which has the same arguments and errors."""
    chosen = _chosen(rule)
    unit = _unit(model, chosen, batch)
    return Programs(chosen, unit, _answering(unit, chosen), STEPS[type(chosen)](unit, chosen))


def to_c(
    model: Model, name: str = "model", rule: Rule | None = None, batch: int = 1, seed: int = 0,
    package: str | None = None, ceilings: Ceilings | None = None, journal: bool = False,
) -> dict[str, bytes]:  # fmt: skip
    """Write a network and a learning rule as C99.

    The files make a program without heap, floating point or a library: calls of kernels with
    constant shapes, and one static arena. Frozen layers lie in flash, those that learn in memory.
    Every step gives the bits of `Rule.step` on a host.

    Args:
        model: the network.
        name: an identifier of C, the prefix of every symbol and file.
        rule: one of `edgetrain.rules`; None for Mono-Forward's defaults.
        batch: samples of a training step, at most those of the rule's settings.
        seed: of all randomness, in [0, 2**32).
        package: what a build system wants around the C, a key of `packages.PACKAGES`; None for
            the C alone.
        ceilings: of a device; the cmake package makes the linker hold them.
        journal: whether the program keeps each step in two bits a query, for `edgetrain replay`.

    Returns:
        Contents by path: NAME.h, NAME.c and the kernels that they use; in a package in ``src/``.

    Raises:
        ValueError: if the name is no identifier, the batch is out of range, or there is no such
            package.
        ModelError: if the model is a float one, the rule is none of `edgetrain.rules`, or they do
            not fit below the ceilings; then it says what would.
        RuleError: if the rule cannot train the model, or a journal cannot hold its runs.

    Example:
        >>> import numpy as np
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((4,), 3), np.ones((2, 4), np.float32))
        >>> sorted(to_c(model, "tiny"))[-2:]
        ['tiny.c', 'tiny.h']
    """
    if not (name.isidentifier() and name.isascii()) or name.startswith("et_") or name in HEADERS:
        raise ValueError(
            f"the name must be an identifier of C, of no kernel and no other header, got {name!r}"
        )
    if not isinstance(model, Model):
        raise ModelError("to_c writes int8 models, got a float one: quantize it first")
    chosen = _chosen(rule)
    if not 1 <= batch <= chosen.settings.batch:
        raise ValueError(
            f"batch must be from 1 to Settings.batch, {chosen.settings.batch}, for which sums were "
            f"proved to fit in int32, got {batch}"
        )

    def written(model: Model, rule: Rule | None, batch: int) -> Written:
        found = programs(model, rule, batch)
        return keeping(found, model, seed) if journal else (found.unit, None, [*found[2:]])

    unit, book, parts = written(model, rule, batch)
    stack = check(ceilings, name, model, rule or chosen, batch, written).stack if ceilings else 0
    code = "\n".join(_code(name, unit, parts, chosen, seed, book))
    code = code.replace("INCLUDES", text.includes(code), 1)
    meaning = GOODNESS_ANSWER if _predicts_by_goodness(model, chosen) else NETWORK_ANSWER
    more = declared(name, book) if book else ""
    first = text.header(name, unit, _targets(unit, name, chosen.settings), meaning, more)
    files = {f"{name}.h": first.encode(), f"{name}.c": code.encode()}
    files |= text.kernels(code)
    if package is None:
        return files
    count = "BATCH" if chosen.settings.loss == "cross_entropy" else "BATCH * {0}_OUTPUTS"
    targets = f"{{0}}_{count}".format(name.upper())
    return packaged(package, name, files, targets, ceilings, stack)


def answer(model: Model, rule: Rule, state: State, x: Int8, ops: ModuleType) -> Int8:
    """Return what NAME_infer makes of samples.

    Args:
        model: the network.
        rule: that it was exported with.
        state: of the rule.
        x: int8 (batch, *input_shape).
        ops: the backend.

    Returns:
        int8 (batch, outputs): the network's output, or codes of goodness where a sample carries
        its label.
    """
    if _predicts_by_goodness(model, rule):
        return goodness_codes(rule.predict(model, state, x, ops))
    return output(model, x, ops).reshape(len(x), -1)


def _chosen(rule: Rule | None) -> Rule:
    """Return the rule; backpropagation as Mono-Forward with one block, which it is."""
    if isinstance(rule, Backprop):
        rule = MonoForward(settings=rule.settings, blocks="network", predict_with="last")
    rule = MonoForward() if rule is None else rule
    if type(rule) not in STEPS:
        raise ModelError(
            f"to_c writes the rules of edgetrain.rules, got {type(rule).__name__}: learn with one "
            "of these, or on a host"
        )
    return rule


def _unit(model: Model, rule: Rule, batch: int) -> Unit:
    """Declare weights, heads and all that a step changes."""
    state = rule.init(model)
    trained = select(model.graph, rule.settings.train)
    unit = Unit(model, state, trained, batch)
    learners: dict[str, str] = {}
    for node in model.graph.trainable:
        w, b = model.params[node.name]
        name = unit.names[node.name]
        if node.name in trained:
            unit.variable(f"{name}_w", w, f"{node.name}/w")
            unit.variable(f"{name}_b", b, f"{node.name}/b")
            learners[f"node/{node.name}"] = name
        else:
            unit.constant(f"{name}_w", w)
    tensors = state.tensors
    heads = [key[:-2] for key in tensors if key.startswith("head/") and key.endswith("/w")]
    for number, head in enumerate(heads):
        for part in ("w", "b"):
            key = f"{head}/{part}"
            unit.variable(f"{head_name(number)}_{part}", tensors[key], f"state/{key}")
        learners[head] = head_name(number)
    for key, name in learners.items():
        for carried, suffix in CARRIED.items():
            if (tensor := carried.format(key)) in tensors:
                unit.variable(f"{name}_{suffix}", tensors[tensor], f"state/{tensor}")
    unit.variable("exponents", tensors["exponents"], "state/exponents")
    return unit


def _predicts_by_goodness(model: Model, rule: Rule) -> bool:
    return isinstance(rule, ForwardForward) and rule.labels_in_input(model)


def _answering(unit: Unit, rule: Rule) -> Program:
    """Write the network, or what a rule predicts with where the network alone does not."""
    if _predicts_by_goodness(unit.model, rule):
        return Labels(unit.of_batch(1), rule, "infer").infer()
    return inference(unit)


def inference(unit: Unit) -> Program:
    """Write the function that infers one sample, and declare what it needs in a file."""
    program = Program("infer")
    forward = Forward(unit.of_batch(1), program, {INPUT: "x"})
    for node in unit.graph.nodes:
        forward.node(node, "y" if node == unit.graph.output else "")
    if unit.model.softmax:
        constants = ", ".join(map(str, unit.model.scheme.softmax))
        program.line(f"et_softmax(y, {constants}, y, 1, {unit.graph.output_size});")
    return program


def _targets(unit: Unit, name: str, settings: Settings) -> str:
    if settings.loss == "cross_entropy":
        return f"[{name.upper()}_BATCH], labels from 0"
    return f"[{name.upper()}_BATCH][{name.upper()}_OUTPUTS], Q10"


def _rate(settings: Settings) -> str:
    """Return the C expression of `Settings.rate_at`."""
    if not settings.steps or settings.schedule == "constant":
        return "256"
    if settings.schedule == "steps":
        return f"256 >> ((2 * step >= {settings.steps}) + (4 * step >= {3 * settings.steps}))"
    steps = settings.steps
    return f"step < {steps} ? et_max((int32_t)(256 * ({steps} - step) / {steps}), 1) : 1"


def _code(
    name: str, unit: Unit, programs: list[Program], rule: Any, seed: int, book: Header | None
) -> list[str]:
    settings: Settings = rule.settings
    infer, learn, *again = programs
    last = functions(name, book, *again, _rate(settings), unit.batch) if book else ""
    null = "if (x == NULL || y == NULL)\n        return ET_BAD_ARGUMENT;"
    check = [null]
    if book:
        check.append(f"if ({FRAME}[0] == ET_JOURNAL_STEPS)\n        return ET_BAD_ARGUMENT;")
    if settings.loss == "cross_entropy":
        check.append(
            f"for (int32_t i = 0; i < {unit.batch}; i++)\n"
            f"        if (y[i] < 0 || y[i] >= {unit.graph.output_size})\n"
            "            return ET_BAD_ARGUMENT;"
        )
    before = [
        *check, "et_scale *const scales = (et_scale *)(void *)exponents;",
        f"const int32_t rate = {_rate(settings)};", "int32_t loss = 0, saturated = 0;",
        LESSON.format(batch=unit.batch), "(void)lesson, (void)scales;",
    ]  # fmt: skip
    after = [
        "step++;", "total_saturated += (uint32_t)saturated;",
        "if (loss_out != NULL)\n        *loss_out = loss;", "return ET_OK;",
    ]  # fmt: skip
    return [
        f'#include "{name}.h"\n', "INCLUDES", "",
        f"static const uint32_t seed = {seed}u;", "static int64_t step;",
        "static uint32_t total_saturated;", *unit.declarations, "", text.arena(*programs),
        text.parts(unit), text.init(name, unit),
        text.function(
            f"ET_COLD et_status {name}_infer(const int8_t *x, int8_t *y)",
            [null, *infer.body(), "return ET_OK;"],
        ),
        text.function(
            f"ET_COLD et_status {name}_train(const int8_t *x, const int32_t *y, int32_t *loss_out)",
            [*before, *learn.body(), *after],
        ),
        text.function(f"uint32_t {name}_saturated(void)", ["return total_saturated;"]),
        text.store(name, unit, f"{rule!r}, batch {unit.batch}"),
        text.trace(name, unit, always=book is not None), last,
    ]  # fmt: skip
