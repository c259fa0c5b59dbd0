"""A training step as a TensorFlow Lite graph: the arithmetic on tensors that do not exist yet.

The functions have the names and arguments of `edgetrain.fixed` and give the same bits in every
interpreter. TensorFlow Lite has no shift of int64 numbers: their high half is taken instead.
"""
