"""The files around a program: header, functions, trace, and the kernels that they call."""

import re
import zlib
from collections.abc import Sequence
from importlib.resources import files

import numpy as np

from edgetrain import __version__
from edgetrain.exporters.c_writing.forms import FORMS, GUARDS
from edgetrain.exporters.c_writing.program import ALIGNMENT, Program
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.state import traced

KERNELS = files("edgetrain.kernels") / "c"
PRIVATE = ("et_fast.h", "et_view.h", "et_tables.h")
"""Headers that only kernels include."""


def header(name: str, unit: Unit, targets: str, answer: str, more: str = "") -> str:
    """Return NAME.h: what an application calls, with shapes and units.

    Args:
        name: of the model.
        unit: the file.
        targets: shape and unit of what a training step is told.
        answer: what an inference returns, lines of a comment.
        more: declarations of a program with a journal.
    """
    graph, upper = unit.graph, name.upper()
    scale, zero_point = unit.model.scheme.activations["input"]
    has_trace = "1" if more else "defined(EDGETRAIN_TRACE)"
    included = '#include "et_journal.h"\n' if more else ""
    shape = " x ".join(map(str, graph.input_shape))
    return f"""/* {name}, a network that runs and learns; written by edgetrain {__version__}. */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#include "et_fixed.h"
{included}#include "et_store.h"

#ifdef __cplusplus
extern "C" {{
#endif

enum {{
    /* {shape}, channels last; real = {scale!r} * (code - {zero_point}) */
    {upper}_INPUTS = {int(np.prod(graph.input_shape))},
    {upper}_OUTPUTS = {graph.output_size},
    {upper}_BATCH = {unit.batch}, /* samples of a training step */
    /* bytes; ET_STORE_SLOT({upper}_SAVED, page, unit) holds them */
    {upper}_SAVED = {saved_bytes(unit)}
}};

/* Puts weights and state as they were exported; call it first. */
void {name}_init(void);

/* {answer}
 *
 * x  int8 [{upper}_INPUTS]    in
 * y  int8 [{upper}_OUTPUTS]   out; must not overlap x
 *
 * Returns ET_BAD_ARGUMENT if x or y is NULL, else ET_OK.
 */
et_status {name}_infer(const int8_t *x, int8_t *y);

/* Learns from one batch.
 *
 * x     int8  [{upper}_BATCH][{upper}_INPUTS]   in
 * y     int32 {targets}   in
 * loss  int32                                  out, sum over the batch, Q10; or NULL
 *
 * Returns ET_BAD_ARGUMENT before anything is changed if x or y is NULL or a label is out of
 * range, else ET_OK.
 */
et_status {name}_train(const int8_t *x, const int32_t *y, int32_t *loss);

/* How many updates left the range of a weight since {name}_init: more than a few mean that the
 * learning rate is too large. */
uint32_t {name}_saturated(void);

/* Saves what was learned, so that a power cut at any moment leaves the old or the new record; see
 * et_store_save. */
et_store_status {name}_save(const et_flash *flash);

/* Loads it, after {name}_init. Nothing has changed unless ET_OK or ET_FLASH_FAILED is returned;
 * after ET_FLASH_FAILED call {name}_init again. */
et_store_status {name}_load(const et_flash *flash);

/* Tells how worn the flash is. */
et_store_status {name}_stored(const et_flash *flash, et_stored *stored);
{more}
#if {has_trace}
/* CRC-32 of all parameters and state; equal to `edgetrain.state.trace`. */
uint32_t {name}_trace(void);

/* Size in bytes of a tensor that the trace covers, in the order of names, and where it lies; 0 and
 * NULL behind the last. */
uint32_t {name}_traced(uint32_t number, const void **bytes);
#endif

#ifdef __cplusplus
}}
#endif

#endif
"""


def function(signature: str, lines: Sequence[str]) -> str:
    """Write a function."""
    body = "\n".join(f"    {line}" for line in lines)
    return f"{signature} {{\n{body}\n}}\n"


def saved_bytes(unit: Unit) -> int:
    """Return the bytes of a record: the step, the count of saturated updates, all that learns."""
    return 8 + 4 + sum(size for _, size in unit.traced.values())


def parts(unit: Unit) -> str:
    """Write the tables of all that learns: where it lies, and its first values; NULL for zeros."""
    variables = ["&step", "&total_saturated", *(v for v, _ in unit.traced.values())]
    sizes = ["sizeof step", "sizeof total_saturated", *(f"sizeof {v}" for v in variables[2:])]
    rows = [f"    {{{v}, {size}}}," for v, size in zip(variables, sizes, strict=True)]
    firsts = [f"    {first}," for first in ("NULL", "NULL", *unit.first)]
    return "\n".join([
        "static const et_part parts[] = {", *rows, "};",
        "enum { PARTS = sizeof parts / sizeof *parts };",
        "static const void *const firsts[PARTS] = {", *firsts, "};\n",
    ])  # fmt: skip


def init(name: str, unit: Unit) -> str:
    """Write the function that puts all that learns into its first state."""
    lines = [
        "for (uint32_t i = 0; i < PARTS; i++)", "    if (firsts[i] != NULL)",
        "        __builtin_memcpy(parts[i].bytes, firsts[i], parts[i].size);", "    else",
        "        __builtin_memset(parts[i].bytes, 0, parts[i].size);", *unit.cleared,
    ]  # fmt: skip
    return function(f"ET_COLD void {name}_init(void)", lines)


def store(name: str, unit: Unit, rule: str) -> str:
    """Write the functions that save and load the parts.

    Args:
        name: of the model.
        unit: the file.
        rule: the rule in words; a record of another rule or model is foreign.
    """
    fixed = [line for line in unit.declarations if "_first[" not in line]
    record = zlib.crc32("\n".join([name, rule, *unit.traced, *fixed]).encode())
    declared = f"static const uint32_t record = {record}u;\n"
    functions = [
        function(
            f"et_store_status {name}_{verb}(const et_flash *flash{more})",
            [f"return et_store_{kernel}(flash, parts, PARTS, record{last});"],
        )
        for verb, kernel, more, last in (
            ("save", "save", "", ""),
            ("load", "load", "", ""),
            ("stored", "info", ", et_stored *stored", ", stored"),
        )
    ]
    return "\n".join([declared, *functions])


def arena(*programs: Program) -> str:
    """Declare the arena that the programs share, as the form of the kernels needs it."""
    scratches = {macro: s for program in programs for macro, s in program.scratches.items()}
    lines: list[str] = []
    for form, guard in GUARDS.items():
        plans = [(program, *program.arena(form)) for program in programs]
        size = max(total for _, _, total in plans)
        lines.append(f"#{'elif' if lines else 'if'} defined({guard})" if guard else "#else")
        lines += ["enum {", f"    ARENA_BYTES = {max(size, ALIGNMENT)},"]
        lines += [
            f"    {program.offset(name)} = {offset},"
            for program, offsets, _ in plans
            for name, offset in offsets.items()
        ]
        lines.append("};")
        for i, (macro, scratch) in enumerate(scratches.items()):
            given = scratch.sizes[FORMS.index(form)]
            lines.append(f"typedef char scratch{i}_fits[{macro} <= {given} ? 1 : -1];")
    lines += ["#endif", "static union {", "    int64_t align;", "    uint8_t bytes[ARENA_BYTES];"]
    return "\n".join([*lines, "} arena;\n"])


def trace(name: str, unit: Unit, always: bool) -> str:
    """Write the functions that check and show what `edgetrain.state.traced` names, in its order."""
    constants = Unit(unit.model, unit.state, unit.trained, unit.batch)
    rows = []
    for i, (key, array) in enumerate(traced(unit.model, unit.state).items()):
        source, size = unit.traced.get(key, ("", 0))
        if not source:
            source, size = constants.constant(f"trace{i}", array), array.nbytes
        rows.append(f'    {{"{key}", {len(key)}, {source}, {size}}},')
    table = ["static const struct {", "    const char *name;", "    uint32_t length;",
             "    const void *bytes;", "    uint32_t size;", "} traced[] = {", *rows, "};",
             "enum { TRACED = sizeof traced / sizeof *traced };", ""]  # fmt: skip
    check = [
        "const int64_t number = step;", "uint32_t crc = et_crc32(0, &number, 8);",
        "for (uint32_t i = 0; i < TRACED; i++) {",
        "    crc = et_crc32(crc, traced[i].name, traced[i].length);",
        "    crc = et_crc32(crc, traced[i].bytes, traced[i].size);", "}", "return crc;",
    ]  # fmt: skip
    show = [
        "*bytes = number < TRACED ? traced[number].bytes : NULL;",
        "return number < TRACED ? traced[number].size : 0;",
    ]
    functions = [
        function(f"uint32_t {name}_trace(void)", check),
        function(f"uint32_t {name}_traced(uint32_t number, const void **bytes)", show),
    ]
    lines = [*constants.declarations, *table, *functions]
    return "\n".join(lines if always else ["#ifdef EDGETRAIN_TRACE", *lines, "#endif", ""])


def includes(code: str) -> str:
    """Return the lines that include the headers whose functions or types a program uses."""
    used = set(re.findall(r"\bet_\w+", code))
    headers = sorted(e.name for e in KERNELS.iterdir() if e.name.endswith(".h"))
    lines = [
        f'#include "{header}"'
        for header in headers
        if header not in PRIVATE and used & _declared((KERNELS / header).read_text())
    ]
    return "\n".join(["#include <stddef.h>", "", *lines])


def _declared(text: str) -> set[str]:
    """Return the functions and types that a header declares."""
    functions = re.findall(r"^[a-z][\w *]*?\b(et_\w+)\(", text, re.MULTILINE)
    return {*functions, *re.findall(r"^\} (et_\w+);", text, re.MULTILINE)}


def kernels(code: str) -> dict[str, bytes]:
    """Return the kernel sources that a program needs, and the headers that these include."""
    texts = {
        entry.name: entry.read_text()
        for entry in KERNELS.iterdir()
        if entry.name.endswith((".c", ".h"))
    }
    defines = {name: _defined(text) for name, text in texts.items() if name.endswith(".c")}
    needed: set[str] = set()
    queue = [("", code)]
    while queue:
        name, text = queue.pop()
        found = set(re.findall(r'#include "(et_\w+\.h)"', text))
        if not name.endswith(".h"):
            called = set(re.findall(r"\bet_\w+", text))
            found |= {source for source, names in defines.items() if names & called}
        queue += [(source, texts[source]) for source in found - needed]
        needed |= found
    return {name: texts[name].encode() for name in sorted(needed)}


def _defined(text: str) -> set[str]:
    """Return the functions and arrays that a source defines for others."""
    functions = re.findall(r"^(?!static)[a-z][\w *]*?\b(et_\w+)\(", text, re.MULTILINE)
    return {*functions, *re.findall(r"^const \w+ (et_\w+)\[", text, re.MULTILINE)}
