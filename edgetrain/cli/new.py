"""`edgetrain new`: a network of an architecture, for data, with random weights."""

import inspect
import math
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import typer

from edgetrain.architectures import ARCHITECTURES
from edgetrain.cli import options
from edgetrain.cli.console import report
from edgetrain.data import Data, load
from edgetrain.files import check_writable, save
from edgetrain.model import FloatModel, Weights
from edgetrain.quantize import quantize

CALIBRATION = 512
MAX_WIDTH = 16


def new(
    data: options.DataPath,
    output: options.Output,
    arch: Annotated[str, typer.Option("--arch", help=", ".join(ARCHITECTURES))],
    input_: options.Input = None,
    hidden: Annotated[
        str | None,
        typer.Option(help="mlp: units of the hidden layers, as 128,64; autoencoder: one number."),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(help="cnn: channels of the layers, as 16,32,32; ds_cnn, resnet8: one number."),
    ] = None,
    width: Annotated[float | None, typer.Option(help="mobilenet_v1: width factor.")] = None,
    headroom: Annotated[
        float, typer.Option(help="Room for weights and activations to grow, 1 to 8.")
    ] = 2.0,
    float_: Annotated[
        bool, typer.Option("--float", help="Save the float network, not quantized.")
    ] = False,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Make a network with random weights for data, quantized and ready to train.

    Example: `edgetrain new --arch ds_cnn --data keywords.npz --input 49x10x1 -o kws.safetensors`
    """
    name = options.canonical(arch, ARCHITECTURES, "--arch")
    found = load(data, options.shape(input_))
    check_writable(output)
    given = {"hidden": hidden, "channels": channels, "width": width}
    network = _network(name, found, seed, {k: v for k, v in given.items() if v is not None})
    network = _unit_input(network, found)
    network = replace(network, task=options.task_of(network, found))
    int8 = quantize(network, found.x_train[:CALIBRATION], headroom=headroom)
    save(network if float_ else int8, output)
    graph = network.graph
    report(
        {
            "parameters": graph.parameters, "macs": graph.macs, "arch": name,
            "input": "x".join(map(str, graph.input_shape)), "outputs": graph.output_size,
            "model": str(output),
        },
        json,
    )  # fmt: skip


def _network(name: str, data: Data, seed: int, given: dict[str, Any]) -> FloatModel:
    """Call the architecture with the options it has."""
    function = ARCHITECTURES[name]
    known = inspect.signature(function).parameters
    arguments: dict[str, Any] = {}
    for option, value in given.items():
        if option not in known:
            raise ValueError(f"--{option} is no option of {name}")
        if option == "width" and not 0 < value <= MAX_WIDTH:
            raise ValueError(f"--width must be in (0, {MAX_WIDTH}], got {value}")
        many = isinstance(known[option].default, tuple)
        arguments[option] = value if option == "width" else _sizes(value, name, option, many)
    if name == "autoencoder":
        outputs = math.prod(data.input_shape)
    else:
        outputs = data.y_train.shape[1] if data.is_regression else data.classes
    return function(data.input_shape, outputs, seed, **arguments)


def _sizes(text: str, name: str, option: str, many: bool) -> int | tuple[int, ...]:
    """Read sizes with commas; a single number where the architecture takes one."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ValueError(f"--{option} must be positive numbers with commas, got {text!r}")
    sizes = tuple(int(part) for part in parts)
    if many:
        return sizes
    if len(sizes) > 1:
        raise ValueError(f"--{option} of {name} must be one number, got {text!r}")
    return sizes[0]


def _unit_input(network: FloatModel, data: Data) -> FloatModel:
    """Scale the first layer so that activations start at unit size whatever the data's unit."""
    rms = float(np.sqrt(np.mean(data.x_train[:CALIBRATION].astype(np.float64) ** 2))) or 1.0
    first = network.graph.trainable[0].name
    w, b = network.params[first]
    scaled = Weights((w / np.float32(rms)).astype(np.float32), b)
    return replace(network, params={**network.params, first: scaled})
