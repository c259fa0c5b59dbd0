"""The journal of a run on a device: what a program with one has beside the others.

See `edgetrain.journal` for the format; the kernels are in et_journal.h.
"""

from collections.abc import Sequence
from typing import Any

from edgetrain.errors import RuleError
from edgetrain.exporters.c_writing import text
from edgetrain.exporters.c_writing.gradient import Gradient
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.journal import FRAME_STEPS, TRACE_AND_CRC
from edgetrain.journal_header import Header, checked, header
from edgetrain.model import Model
from edgetrain.rules import ForwardGradient, Rule
from edgetrain.rules.weight_space import SIGN_BITS

FRAME = "journal__frame"
LESSON = "et_lesson lesson = {{seed, (uint32_t)step, rate, {batch}}};"
"""What a step is to all that learn in it."""


def journaled(rule: Rule) -> ForwardGradient:
    """Return a rule whose journal a device can write; raise RuleError for any other."""
    known = checked(rule)
    if not known.uses_sign or known.settings.loss != "cross_entropy":
        raise RuleError(
            "a device's journal holds the signs of a classifier's training: use --estimate sign, "
            "or export without a journal"
        )
    return known


def keeping(found: Sequence[Any], model: Model, seed: int) -> tuple[Unit, Header, list[Program]]:
    """Write the functions of a program with a journal.

    Args:
        found: of `to_c.programs`.
        model: the network.
        seed: of the run.

    Returns:
        The file, which gets the variable of an open frame; the header; and the programs that
        infer, that learn, and that learn again from slopes.

    Raises:
        RuleError: if a device's journal cannot hold the runs of the rule.
    """
    rule, unit, infer, _ = found
    known = journaled(rule)
    book, queries = header(known, model, seed), known.queries
    unit.declarations.append(f"static uint8_t {FRAME}[ET_FRAME_BYTES({queries})];")
    unit.cleared.append(f"{FRAME}[0] = 0;")
    unit.untraced += 1 + -(-FRAME_STEPS * queries // 4) + TRACE_AND_CRC
    unit.declared["journal"] = len(book.packed())
    learn = Gradient(unit, known).write(f"et_journal_add({FRAME}, SLOPES, {queries});")
    again = Gradient(unit, known, "replay").again(
        f"et_journal_read(from, i, {queries}, {1 << SIGN_BITS}, SLOPES);"
    )
    return unit, book, [infer, learn, again]


def functions(name: str, book: Header, again: Program, rate: str, batch: int) -> str:
    """Return the text of the functions around a program that learns again.

    Args:
        name: of the model.
        book: header of the journal.
        again: of `keeping`.
        rate: the C expression of the learning rate's factor at a step.
        batch: samples of a step.
    """
    known = book.rule
    first = book.packed()
    octets = [f"    {', '.join(map(str, first[i : i + 24]))}," for i in range(0, len(first), 24)]
    close = text.function(
        f"uint32_t {name}_frame(uint8_t *frame, uint32_t previous)",
        [
            f"const uint32_t size = et_journal_close({FRAME}, {known.queries}, {name}_trace(), "
            "previous);",
            f"__builtin_memcpy(frame, {FRAME}, size);", f"{FRAME}[0] = 0;", "return size;",
        ],
    )  # fmt: skip
    replay = text.function(
        f"et_store_status {name}_replay(const uint8_t *from, uint32_t size, uint32_t previous)",
        [
            f"if (from == NULL || {FRAME}[0] != 0)\n        return ET_BAD_ARGUMENT;",
            f"const int32_t steps = et_journal_check(from, size, {known.queries}, previous);",
            "if (steps == 0)\n        return ET_CORRUPT;",
            "int32_t saturated = 0;",
            "for (int32_t i = 0; i < steps; i++, step++) {",
            f"const int32_t rate = {rate};",
            LESSON.format(batch=batch),
            *again.body(),
            "}",
            "total_saturated += (uint32_t)saturated;",
            f"return et_journal_trace(from, {known.queries}) == {name}_trace() ? ET_OK : "
            "ET_FOREIGN;",
        ],
    )
    table = [f"const uint8_t {name}_journal[{len(first)}] = {{", *octets, "};", ""]
    return "\n".join([*table, close, replay])


def declared(name: str, found: Header) -> str:
    """Return what NAME.h declares of a journal."""
    upper, queries = name.upper(), found.rule.queries
    return f"""
/* The run as a journal: {name}_journal, then the frames, one behind the other. `edgetrain replay`
 * makes the weights of it and the model that was exported. A run with a journal begins with
 * {name}_init; after a power cut call {name}_init, then {name}_replay with every whole frame. */
enum {{ {upper}_FRAME = ET_FRAME_BYTES({queries}) }};
extern const uint8_t {name}_journal[{len(found.packed())}];

/* Closes the frame of the steps since the last one; call it every 128 steps or earlier: with 128
 * open steps {name}_train returns ET_BAD_ARGUMENT.
 *
 * frame      uint8 [{upper}_FRAME]   out
 * previous   the last four bytes of what was stored, little-endian
 *
 * Returns the bytes to store, 0 if there was no step.
 */
uint32_t {name}_frame(uint8_t *frame, uint32_t previous);

/* Takes the steps of a frame again.
 *
 * from   uint8 [size]   in; may have more behind the frame
 *
 * Returns ET_BAD_ARGUMENT if from is NULL or steps are open, ET_CORRUPT if the frame is not whole
 * or not the one that follows, before anything is changed; ET_FOREIGN if it leads to other weights
 * than it should: call {name}_init then. Else ET_OK.
 */
et_store_status {name}_replay(const uint8_t *from, uint32_t size, uint32_t previous);
"""
