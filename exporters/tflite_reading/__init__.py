"""The TensorFlow Lite importer: a file as checked values, and what operators become."""
