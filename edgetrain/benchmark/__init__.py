"""Times of kernels, inference and training steps on this machine, beside what is installed."""
