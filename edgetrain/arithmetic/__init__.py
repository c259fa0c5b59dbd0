"""The parts of the arithmetic specification; `edgetrain.fixed` is its front door."""
