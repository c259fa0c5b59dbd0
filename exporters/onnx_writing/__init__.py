"""The ONNX exporter: the forms of a network and the file around it; see `to_onnx`."""
