import pytest

for module in ("ai_edge_litert", "flatbuffers"):
    pytest.importorskip(module, reason="TensorFlow Lite files need edgetrain[tflite]")
