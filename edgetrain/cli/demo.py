"""`edgetrain demo`: a network loses accuracy on the device and wins it back."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from edgetrain import demo as demonstration
from edgetrain.cli import options
from edgetrain.cli.console import Bar, note, report, table
from edgetrain.compiled.inference import predict
from edgetrain.files import check_writable, write_whole
from edgetrain.report import page

HEADS = ("rule", "before", "after", "arena, B", "of backprop", "seconds", "trace")
SHOWN = "mono_forward"
HIDDEN = ("curve", "predictions")


def demo(
    out: Annotated[
        Path | None, typer.Option("--out", help="Write an HTML page with curves and digits.")
    ] = None,
    backend: options.Backend = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Fine-tune a small int8 network on shifted digits with every rule, in under a minute.

    Example: `edgetrain demo --out demo.html`
    """
    if out:
        check_writable(out)
    name, ops = options.backend(backend)
    model = demonstration.factory_model(ops, seed)
    data = demonstration.device_data(seed)
    outcomes = []
    for rule in demonstration.RULES:
        with Bar(rule) as update:
            outcomes.append(demonstration.run(rule, model, data, ops, seed, update))
    if out:
        before = predict(model, model.quantize_input(data.x_test), ops).argmax(axis=1)
        content = page(outcomes, data, [int(label) for label in before], name, SHOWN)
        write_whole(out, content.encode())
        note(f"wrote {out}")
    if json:
        results = [
            {"backend": name} | {k: v for k, v in asdict(o).items() if k not in HIDDEN}
            for o in outcomes
        ]
        report({"results": results}, True)
        return
    rows = [
        [o.rule, f"{100 * o.accuracy_before:.1f} %", f"{100 * o.accuracy_after:.1f} %",
         f"{o.arena_bytes:,}", f"{100 * o.arena_bytes / o.backprop_arena_bytes:.0f} %",
         f"{o.seconds:.1f}", o.trace]
        for o in outcomes
    ]  # fmt: skip
    title = f"digits, turned by {demonstration.DEGREES:g} degrees and noisy ({name})"
    table(title, HEADS, rows)
