"""What an exported file says about its model, in every format the same."""

from edgetrain import __version__
from edgetrain.history import last_training
from edgetrain.model import FloatModel, Model


def metadata(model: FloatModel | Model, name: str) -> dict[str, str]:
    """Return what a file carries beside the network.

    Args:
        model: to export.
        name: of the model.

    Returns:
        "name", "edgetrain" (version), "task", and of a trained model "rule", "steps" and "trace"
        of its last training and "history", a line for everything that happened to it.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> metadata(mlp((4,), 2), "tiny")
        {'name': 'tiny', 'edgetrain': '0.1.0', 'task': 'classify'}
    """
    found = {"name": name, "edgetrain": __version__, "task": model.task}
    if isinstance(model, Model) and model.history:
        found["history"] = "\n".join(model.history)
        last = last_training(model.history)
        if last:
            found |= {"rule": last.rule, "steps": str(last.steps), "trace": last.trace}
    return found
