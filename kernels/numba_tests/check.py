"""Hold every layer of the six architectures to the specification; prints the lowering.

Run as a program, where environment variables say what to compile for.
"""

import numpy as np

from edgetrain import fixed, kernels
from edgetrain.architectures import autoencoder, cnn, ds_cnn, mlp, mobilenet_v1, resnet8
from edgetrain.compiled.inference import infer
from edgetrain.inference import infer as specified
from edgetrain.quantize import quantize
from edgetrain.rules import ForwardForward, ForwardGradient, MonoForward
from edgetrain.settings import Settings
from edgetrain.state import trace

NETWORKS = {
    "mlp": lambda: mlp((28, 28, 1), 10),
    "cnn": lambda: cnn((12, 12, 1), 10),
    "ds_cnn": lambda: ds_cnn((49, 10, 1), 12),
    "resnet8": lambda: resnet8((32, 32, 3), 10),
    "mobilenet_v1": lambda: mobilenet_v1((96, 96, 3), 2),
    "autoencoder": lambda: autoencoder((640,)),
}
SETTINGS = Settings(learning_rate=2**-4, batch=4)
RULES = {
    "mono_forward": MonoForward(settings=SETTINGS, warmup=0),
    "forward_forward": ForwardForward(settings=SETTINGS),
    "activity": ForwardGradient(settings=SETTINGS),
    "weight": ForwardGradient(settings=SETTINGS, space="weight"),
}


def quantized(name):
    rng = np.random.default_rng(3)
    real = NETWORKS[name]()
    x = rng.normal(size=(4, *real.graph.input_shape)).astype(np.float32)
    model = quantize(real, x, headroom=2.0)
    return model, model.quantize_input(x)


def check_layers(name, ops):
    """Compare sums and gradients of every layer with weights, on random numbers."""
    rng = np.random.default_rng(4)

    def draw(*shape):
        return rng.integers(-127, 128, shape).astype(np.int8)

    graph = NETWORKS[name]().graph
    for node in graph.trainable:
        x, w = draw(2, *graph.shapes[node.inputs[0]]), draw(*graph.weight_shape(node))
        e, b = draw(2, *graph.shapes[node.name]), rng.integers(-999, 999, len(w)).astype(np.int32)
        ratio, zero = rng.integers(1, 129, len(w)).astype(np.int16), -5
        if node.op == "dense":
            calls = {"dense_acc": (x, w, b, zero), "dense_grad_w": (x, e, zero),
                     "dense_grad_x": (e, w, ratio)}  # fmt: skip
        else:
            window = node.moving
            calls = {"conv2d_acc": (x, w, b, zero, window), "conv2d_grad_w": (x, e, zero, window),
                     "conv2d_grad_x": (e, w, ratio, x.shape, window)}  # fmt: skip
        for op, given in calls.items():
            np.testing.assert_array_equal(
                getattr(ops, op)(*given), getattr(fixed, op)(*given), f"{name} {node.name} {op}"
            )


def check_network(name, ops):
    """Compare inference, and two steps of each rule that can train the network."""
    model, x = quantized(name)
    for batch in (x, x[:1]):
        np.testing.assert_array_equal(infer(model, batch, ops), specified(model, batch, fixed))
    if name in ("autoencoder", "mobilenet_v1"):  # a regression, and one that takes NumPy long
        return
    for kind, rule in RULES.items():
        here = there = model, rule.init(model)
        for _ in range(2):
            *here, _ = rule.step(*here, x, np.arange(4) % 3, fixed)
            *there, _ = rule.step(*there, x, np.arange(4) % 3, ops)
            assert trace(*here) == trace(*there), f"{name} {kind}"


def main():
    ops = kernels.load("numba")
    from edgetrain.kernels.cpu_numba_gemm import TARGET

    for name in NETWORKS:
        check_layers(name, ops)
        check_network(name, ops)
    print(TARGET.lowering, TARGET.lanes)


if __name__ == "__main__":
    main()
