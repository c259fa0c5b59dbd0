"""The operations of training steps as ONNX nodes: integers only, for ONNX Runtime 1.17 and later."""
