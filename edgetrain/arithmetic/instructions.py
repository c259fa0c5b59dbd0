"""The instructions of a compiled step: what a backend with a machine executes.

A program is a table of int64 rows: the number of an instruction, the sizes of a layer (GEOMETRY,
zeros where there is none), and the operands of INSTRUCTIONS. An operand is a number, or the place
of an array in bytes: in the machine's memory, or, for parameters and exponents, in the block of
all parameters of a step (an old one that is read and a new one that is written). Every
instruction means one function of `edgetrain.fixed` or one loop of the runtime over it, applied to
a few samples; what is summed over samples is added up.
"""

GEOMETRY = (
    "height", "width", "channels", "out_height", "out_width", "n_out", "kernel_height",
    "kernel_width", "stride_y", "stride_x", "top", "left", "samples",
)  # fmt: skip
"""Sizes of a layer; samples is the most that one instruction sees at a time."""

SCALING = ("multiplier", "shift", "limit", "table", "watch", "exponent", "y_exponent")
"""How sums are scaled: a factor and the delayed exponent."""

MOMENTUM = ("velocity", "unit", "decay")
"""A layer's velocity, -1 without one, its exponent, and bits of the momentum."""

INSTRUCTIONS: dict[str, tuple[str, ...]] = {
    # control: run the next rows for every few samples of some passes; copy from and to the caller
    "each": ("length", "samples", "passes"),
    "input": ("y", "size"),
    "output": ("x", "size"),
    "clear": ("y", "size"),
    # weights as the kernels read them; a convolution in groups is an ordinary one with zeros, which
    # "widen" writes, and "narrow" leaves out the gradients of those, in place
    "widen": ("is_block", "w", "b", "groups", "w_out", "b_out"),
    "pack": ("is_block", "w", "b", "zero", "packed", "bias"),
    "pack_channels": ("is_block", "w", "b", "zero", "packed", "bias"),
    "pack_back": ("is_block", "w", "packed"),
    "pack_channels_back": ("is_block", "w", "packed"),
    "perturb": ("w", "b", "size", "sign", "query", "queries", "limit", "tensor", "room", "w_out",
                "b_out"),
    "pack_perturbed": ("w", "b", "zero", "size", "sign", "query", "queries", "limit", "tensor",
                       "room", "packed", "bias"),
    # the forward pass
    "layer": ("x", "zero", "packed", "bias", "multiplier", "shift", "y_zero", "low", "high",
              "area", "y"),
    "channels": ("x", "zero", "packed", "bias", "multiplier", "shift", "y_zero", "low", "high",
                 "area", "y"),
    "sums": ("x", "zero", "packed", "bias", "area", "y"),
    "channel_sums": ("x", "zero", "packed", "bias", "area", "y"),
    "shake": ("bias", "size", "sign", "query", "queries", "tensor", "y"),
    "shake_sums": ("x", "size", "sign", "query", "queries", "tensor", "width"),
    "requantize": ("x", "multiplier", "shift", "size", "width", "y_zero", "low", "high", "y"),
    "average": ("x", "y"),
    "maximum": ("x", "y"),
    "winners": ("x", "y"),
    "mean": ("x", "pixels", "width", "zero", "multiplier", "shift", "y_zero", "y"),
    "add": ("a", "a_zero", "a_multiplier", "a_shift", "b", "b_zero", "b_multiplier", "b_shift",
            "y_zero", "y_multiplier", "y_shift", "low", "high", "size", "y"),
    "look_up": ("x", "table", "size", "y"),
    "centre": ("x", "zero", "bits", "size", "y"),
    "logits": ("x", "multiplier", "shift", "width", "y"),
    "log_softmax": ("x", "width", "y"),
    # losses: added to the metric if they count, and with a sign to the differences of two passes
    "cross_entropy": ("x", "width", "e", "difference", "sign", "counts"),
    "squared_error": ("x", "width", "e", "difference", "sign", "counts"),
    # errors: int32 sums to int8 by the delayed exponent of a row of the table; int32 remain those
    # of "grad_x" and "grad_x_channels" without a multiplier
    "scale": ("x", "size", *SCALING, "y"),
    "lower": ("exponent", "bits", "y_exponent"),
    "mask": ("e", "x", "low", "high", "size", "y"),
    "derive": ("e", "x", "table", "size", "y"),
    "spread": ("x", "pixels", "width", "y"),
    "merge": ("size", "count", "e0", "exponent0", "e1", "exponent1", "e2", "exponent2",
              "base", "y"),
    "grad_x": ("e", "packed", "ratio", "room", "image", *SCALING, "y"),
    "grad_x_channels": ("e", "packed", "ratio", "room", "image", *SCALING, "y"),
    "average_grad": ("e", "y"),
    "maximum_grad": ("e", "index", "bits", "y"),
    "estimate": ("difference", "queries", "capacity", "uses_sign", "tensor", "x", "low", "high",
                 "pixels", "width", "y"),
    "opened": ("e", "x", "low", "high", "pixels", "width", "y"),
    # Forward-Forward: labels in samples and wrong ones, goodness of layers and of a channel a class
    "embed": ("labels", "tries", "classes", "low", "size", "y"),
    "wrong_labels": ("x", "width", "y"),
    "normalize": ("x", "zero", "size", "y"),
    "goodness": ("x", "zero", "size", "multiplier", "shift", "y"),
    "class_channels": ("x", "multiplier", "shift", "size", "y"),
    "class_goodness": ("x", "pixels", "width", "y"),
    "pair_slopes": ("x", "symmetric", "threshold"),
    "class_slopes": ("x", "labels", "width", "symmetric", "threshold"),
    "goodness_error": ("x", "zero", "slopes", "pixels", "width", *SCALING, "y"),
    # gradients, summed over the samples of a step
    "grad_w": ("x", "e", "zero", "area", "packed", "y"),
    "grad_w_channels": ("x", "e", "zero", "area", "y"),
    "narrow": ("groups", "y"),
    "grad_b": ("e", "pixels", "width", "y"),
    # learning: old parameters to new ones
    "learn": ("acc_w", "acc_b", "zero", "is_centred", "w", "b", "master", "rate_w", "rate_b",
              "exponent", "limit", "rate", "tensor", "room", *MOMENTUM),
    "learn_dense": ("x", "e", "zero", "turned", "packed", "acc_b", "w", "b", "master", "rate_w",
                    "rate_b", "exponent", "limit", "rate", "tensor", "room", *MOMENTUM),
    "learn_signs": ("difference", "queries", "capacity", "uses_sign", "w", "b", "master", "rate_w",
                    "rate_b", "limit", "tensor", "room", *MOMENTUM),
    "keep": ("w", "size"),
    # some rows of the table of exponents, in place in the new block
    "exponents": ("table", "watch", "rows"),
}  # fmt: skip
"""Name of an instruction and its operands; the order of both is their encoding."""

FIRST = 1 + len(GEOMETRY)
"""Column of the first operand."""
COLUMNS = FIRST + max(map(len, INSTRUCTIONS.values()))

GIVEN = ("batch", "seed", "number", "rate", "loss", "saturated")
"""What a run is given, int64, and where it leaves its metrics."""
