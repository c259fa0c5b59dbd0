"""Networks as torch modules, for times and bytes: their weights are torch's own random ones."""

import json
import os
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as f
from torch.profiler import ProfilerActivity, profile

from edgetrain.benchmark.timing import Call
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import Float, FloatModel

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # or profiles print their start on stderr
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
    return _step(module(model, layout), samples(x, layout))


def _step(net: nn.Module, given: torch.Tensor) -> Call:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    labels = torch.zeros(len(given), dtype=torch.int64)

    def step() -> None:
        optimizer.zero_grad()
        f.cross_entropy(net(given), labels).backward()
        optimizer.step()

    return step


def peak_bytes(model: FloatModel, x: Float, threads: int, layout: Any) -> int:
    """Return the most bytes that a training step holds at a time, as torch's allocator counts them.

    Parameters and samples are included; what oneDNN allocates by itself is not. The step is not
    the first one, and forgets the gradients of the one before.
    """
    torch.set_num_threads(threads)
    net, given = module(model, layout), samples(x, layout)
    step = _step(net, given)
    step()
    net.zero_grad()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        step()
    events = sorted((e for e in _trace(seen) if e["name"] == "[memory]"), key=lambda e: e["ts"])
    held = sum(tensor.nbytes for tensor in (given, *net.parameters()))
    return held + max(accumulate(event["args"]["Bytes"] for event in events))


def _trace(seen: profile) -> list[dict[str, Any]]:
    """Return what a profile has recorded; its file is the only public form with every event."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(place))
        events: list[dict[str, Any]] = json.loads(place.read_text())["traceEvents"]
    return events
