"""`edgetrain export`: a model as files for other runtimes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from edgetrain import exporters
from edgetrain.cli import options
from edgetrain.cli.console import note, report
from edgetrain.cli.folder import write_folder
from edgetrain.cli.rule_options import accepts_rules, changed, make_rule
from edgetrain.exporters.c_writing.ceilings import Ceilings
from edgetrain.exporters.c_writing.packages import PACKAGES
from edgetrain.exporters.c_writing.targets import TARGETS
from edgetrain.model import Model


@accepts_rules
def export(
    model: options.ModelPath,
    to: Annotated[str, typer.Option("--to", help=", ".join(exporters.EXPORTERS))],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write into.")],
    form: Annotated[
        str | None,
        typer.Option(
            help="onnx: exact (int8 in and out, our bytes; the default of an int8 model), qdq "
            "(float in and out, fast, at most 1 off in a layer), float (of a float model)."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the model and its files; by default the model file's.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="c: what learns on the device; mono-forward by default.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="c: samples of a training step; 1 by default.")
    ] = None,
    learning_rate: Annotated[str | None, typer.Option(help="c: of the rule.")] = None,
    schedule: Annotated[str, typer.Option(help="c: constant, linear or steps.")] = "constant",
    steps: Annotated[
        int | None, typer.Option(min=1, help="c: over which a linear or steps schedule runs.")
    ] = None,
    package: Annotated[
        str | None,
        typer.Option(help=f"c: {', '.join(PACKAGES).replace('_', '-')}; cmake by default."),
    ] = None,
    target: Annotated[str | None, typer.Option(help=f"c: {', '.join(TARGETS)}.")] = None,
    ram: Annotated[
        str | None, typer.Option(help="c: of the target, at most, as 131072, 128K or 1M.")
    ] = None,
    flash: Annotated[str | None, typer.Option(help="c: of the target, at most.")] = None,
    journal: Annotated[
        bool,
        typer.Option("--journal", help="c: keep two bits a query and step for `edgetrain replay`."),
    ] = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    **asked: Any,
) -> None:
    """Export a model as ONNX, TensorFlow Lite, or C99 that runs and learns on a device.

    Example: `edgetrain export tuned.safetensors --to c --rule mono-forward --name net -o firmware`
    """
    network = options.load_model(model)
    format_ = options.canonical(to, exporters.EXPORTERS, "--to")
    given: dict[str, Any] = {"form": form, "batch": batch, "package": package}
    given["journal"] = journal or None
    given["ceilings"] = _ceilings(target, ram, flash)
    if format_ == "c" and isinstance(network, Model):
        if schedule != "constant" and steps is None:
            raise ValueError(f"--schedule {schedule} needs --steps, over which it runs")
        given["rule"] = make_rule(
            rule or "mono_forward", network, learning_rate, asked, schedule=schedule,
            steps=steps or 0, batch=batch or 1,
        )  # fmt: skip
        given |= {"seed": seed, "package": package or "cmake"}
    elif format_ != "c":
        learns = {"--rule": rule, "--learning-rate": learning_rate, "--steps": steps,
                  "--schedule": schedule != "constant", "--seed": seed}  # fmt: skip
        if unused := [option for option, value in learns.items() if value] + changed(asked):
            raise ValueError(
                f"{unused[0]} is no option of the format {format_}, which does not learn: use "
                "--to c, or leave it out"
            )
    files = exporters.write(network, format_, name or model.stem, **given)
    write_folder(output, files)
    report(
        {"files": [str(output / file) for file in files], "bytes": sum(map(len, files.values()))},
        json,
    )
    if isinstance(network, Model) and network.heads:
        note("the heads of early blocks stay behind: they are for training, not for inference")


def _ceilings(target: str | None, ram: str | None, flash: str | None) -> Ceilings | None:
    """Read what the device has."""
    if target is None:
        if ram is None and flash is None:
            return None
        raise ValueError(f"--ram and --flash need --target, one of {', '.join(TARGETS)}")
    return Ceilings(
        options.target(target),
        None if ram is None else options.size(ram, "--ram"),
        None if flash is None else options.size(flash, "--flash"),
    )
