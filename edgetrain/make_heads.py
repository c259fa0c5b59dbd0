"""Make the classifiers of early blocks on the host, from source data, to ship with a model."""

from dataclasses import replace
from types import ModuleType

from edgetrain import heads
from edgetrain.blocks import Choice, split
from edgetrain.data import Data
from edgetrain.model import Model, Weights
from edgetrain.rules import MonoForward
from edgetrain.settings import Settings
from edgetrain.train import fit


def make_heads(
    model: Model,
    data: Data,
    ops: ModuleType,
    *,
    blocks: Choice = "auto",
    epochs: int = 3,
    batch: int = 32,
    learning_rate: float = 0.1,
    seed: int = 0,
) -> Model:
    """Train heads with all weights frozen, and put them into the model.

    A device that fine-tunes with `mono_forward` then starts from heads that know the source data,
    instead of spending its first steps on them.

    Args:
        model: the network, as it is shipped.
        data: source data; only the training part is used.
        ops: the backend.
        blocks: how the device will cut the network; see `edgetrain.blocks.split`.
        epochs: passes over the data.
        batch: samples a step.
        learning_rate: of the heads.
        seed: of the training.

    Returns:
        The model with heads; its other parameters are unchanged.

    Raises:
        DataError: if the data do not fit the model.
        RuleError: if the network cannot be cut so.
    """
    early = split(model.graph, blocks)[:-1]
    if not early:
        return replace(model, heads={}, head_scales={})
    settings = Settings(learning_rate=learning_rate, train=0, schedule="linear")
    rule = MonoForward(settings=settings, blocks=blocks)
    tensors = fit(rule, model, data, ops=ops, seed=seed, epochs=epochs, batch=batch).state.tensors
    names = [block.output for block in early]
    return replace(
        model,
        heads={n: Weights(tensors[f"head/{n}/w"], tensors[f"head/{n}/b"]) for n in names},
        head_scales={n: heads.scale(model, n) for n in names},
    )
