"""Pretrain an edgetrain network on the host with PyTorch: Adam, batch normalization, folded.

Used by the other examples. On its own it pretrains the network that `edgetrain demo` ships:

    python examples/pretrain.py            # writes edgetrain/assets/digits_ds_cnn.safetensors

Needs torch and onnx; takes about a minute.
"""

from pathlib import Path

import numpy as np
import torch

import edgetrain
from edgetrain.architectures import ds_cnn
from edgetrain.data import digits
from edgetrain.demo import SOURCE
from edgetrain.files import save
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import Float, FloatModel

ASSET = Path(__file__).parent.parent / "edgetrain" / "assets" / "digits_ds_cnn.safetensors"
EPOCHS, BATCH, LEARNING_RATE = 40, 32, 5e-3
CHANNELS = 24

NORMS = {"conv2d": torch.nn.BatchNorm2d, "dense": torch.nn.BatchNorm1d}


class Network(torch.nn.Module):
    """A torch module with the graph of a float model and a batch norm behind every layer."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.layers = torch.nn.ModuleDict({n.name: layer(graph, n) for n in graph.trainable})
        self.norms = torch.nn.ModuleDict(
            {n.name: NORMS[n.op](n.n_out) for n in graph.trainable if n != graph.output}
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map samples, images with their channels first, to outputs."""
        values = {INPUT: x}
        for node in self.graph.nodes:
            y = self.apply_node(node, [values[name] for name in node.inputs])
            values[node.name] = torch.relu(y) if node.activation == "relu" else y
        return values[self.graph.output.name]

    def apply_node(self, node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
        """Compute one node, without its fused activation."""
        x = inputs[0]
        if node.has_weights:
            if node.window:
                top, bottom, left, right = node.window.padding
                x = torch.nn.functional.pad(x, (left, right, top, bottom))
            y = self.layers[node.name](x)
            return self.norms[node.name](y) if node.name in self.norms else y
        if node.op == "add":
            return inputs[0] + inputs[1]
        if node.op == "global_average_pool":
            return x.mean(dim=(2, 3))
        if node.op == "max_pool":
            return torch.nn.functional.max_pool2d(x, node.moving.kernel, node.moving.stride)
        return x.permute(0, 2, 3, 1).flatten(1) if x.ndim == 4 else x.flatten(1)


def layer(graph: Graph, node: Node) -> torch.nn.Module:
    """Return a torch layer of a node's shape."""
    if node.op == "dense":
        return torch.nn.Linear(graph.weight_shape(node)[1], node.n_out)
    window, n_in = node.moving, graph.shapes[node.inputs[0]][2]
    return torch.nn.Conv2d(n_in, node.n_out, window.kernel, window.stride, groups=window.groups)


def pretrain(
    model: FloatModel,
    x: Float,
    y: np.ndarray,
    epochs: int,
    learning_rate: float = LEARNING_RATE,
    batch: int = BATCH,
    seed: int = 0,
) -> FloatModel:
    """Train a float model's graph on labelled data and return it with the norms folded.

    The imported network has the same layers in the same order; names stay those of the model.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network = Network(model.graph)
    samples, labels = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    samples = samples.permute(0, 3, 1, 2) if x.ndim == 4 else samples
    steps = epochs * (len(x) // batch)
    optimizer = torch.optim.Adam(network.parameters(), learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps + 1)
    loss = torch.nn.CrossEntropyLoss()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            chosen = order[start : start + batch]
            optimizer.zero_grad()
            loss(network(samples[chosen]), labels[chosen]).backward()
            optimizer.step()
            schedule.step()
    imported = edgetrain.from_torch(network, samples[:1])
    return FloatModel(model.graph, dict(zip(network.layers, imported.params.values(), strict=True)))


def main() -> None:
    data = digits()
    network = ds_cnn((8, 8, 1), 10, channels=CHANNELS, stem=((3, 3), (1, 1)))
    model = pretrain(network, data.x_train[:SOURCE], data.y_train[:SOURCE], EPOCHS)
    save(model, ASSET)
    print(f"wrote {ASSET}")


if __name__ == "__main__":
    main()
