"""The ONNX importer: a file to values, checked; its graph to ours; see `from_onnx`."""
