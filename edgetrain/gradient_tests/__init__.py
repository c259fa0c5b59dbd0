"""Integer gradients against finite differences of a floating-point replica."""
