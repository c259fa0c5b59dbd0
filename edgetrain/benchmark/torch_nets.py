"""Networks as torch modules, for times only: their weights are torch's own random ones."""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as f

from edgetrain.benchmark.timing import Call
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import Float, FloatModel

FORMATS = (torch.contiguous_format, torch.channels_last)


class Net(nn.Module):
    """A graph in torch; padding is rounded up to a symmetric one of the same result size."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.layers = nn.ModuleDict({n.name: _layer(graph, n) for n in graph.trainable})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the graph."""
        values = {INPUT: x}
        for node in self.graph.nodes:
            values[node.name] = self._node(node, values)
        return values[self.graph.output.name]

    def _node(self, node: Node, values: dict[str, torch.Tensor]) -> torch.Tensor:
        x = values[node.inputs[0]]
        if node.has_weights:
            y = self.layers[node.name](x)
        elif node.op == "add":
            y = x + values[node.inputs[1]]
        elif node.op == "flatten":
            y = x.flatten(1)
        else:
            y = x.mean((2, 3))
        return f.relu(y) if node.activation == "relu" else y


def _layer(graph: Graph, node: Node) -> nn.Module:
    shape = graph.shapes[node.inputs[0]]
    if node.op == "dense":
        return nn.Linear(shape[0], node.n_out)
    window = node.moving
    top, bottom, left, right = window.padding
    padding = (max(top, bottom), max(left, right))
    return nn.Conv2d(shape[2], node.n_out, window.kernel, window.stride, padding,
                     groups=window.groups)  # fmt: skip


def module(model: FloatModel, layout: Any = torch.channels_last) -> nn.Module:
    """Return a network in torch."""
    return Net(model.graph).to(memory_format=layout)


def samples(x: Float, layout: Any = torch.channels_last) -> torch.Tensor:
    """Return samples as torch wants them: channels before pixels."""
    if x.ndim == 2:
        return torch.from_numpy(x)
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).to(memory_format=layout)


def backprop(model: FloatModel, x: Float, threads: int, layout: Any) -> Call:
    """Return a float32 training step: cross-entropy, backpropagation, SGD."""
    torch.set_num_threads(threads)
    net, given = module(model, layout), samples(x, layout)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    labels = torch.zeros(len(x), dtype=torch.int64)

    def step() -> None:
        optimizer.zero_grad()
        f.cross_entropy(net(given), labels).backward()
        optimizer.step()

    return step


def live_bytes(model: FloatModel, x: Float) -> int:
    """Return the bytes of a step's parameters, gradients and tensors that backward needs."""
    net, given = module(model), samples(x)
    seen: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = f.cross_entropy(net(given), torch.zeros(len(x), dtype=torch.int64))
    loss.backward()
    for tensor in (given, *net.parameters()):
        keep(tensor.detach())
        if tensor.grad is not None:
            keep(tensor.grad)
    return sum(seen.values())
