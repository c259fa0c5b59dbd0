"""`edgetrain evaluate`: how good a model is on test data."""

from edgetrain.cli import options
from edgetrain.cli.console import report
from edgetrain.evaluate import evaluate as measure


def evaluate(
    model: options.ModelPath,
    data: options.DataPath,
    input_: options.Input = None,
    backend: options.Backend = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Measure an int8 model on the test part of data, with its own output.

    Example: `edgetrain evaluate model.safetensors --data test.npz --json`
    """
    network = options.int8_model(model)
    found = options.data_for(data, input_, network)
    name, ops = options.backend(backend)
    measured = measure(None, network, None, found.x_test, found.y_test, ops=ops)
    report({**measured, "backend": name}, json)
