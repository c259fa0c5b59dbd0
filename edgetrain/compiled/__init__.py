"""Training steps and inference as programs that a backend's machine executes in one call.

A backend may have a ``machine`` (`edgetrain.kernels.cpu_numba_machine` is one). The rules then
run their whole step there; their code over operations, a node after the other, remains the
specification, and runs where there is no machine.
"""
