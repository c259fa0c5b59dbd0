"""The TensorFlow Lite exporter: the file, and what is written into it; see `to_tflite`."""
