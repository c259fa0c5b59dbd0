"""The operations of training steps as ONNX nodes, for ONNX Runtime 1.17 and later."""
