"""Training steps and inference as calls of an `Emitter`, the same for every format."""
