"""Tests of the ONNX importer and exporter, and of the importer of PyTorch modules."""
