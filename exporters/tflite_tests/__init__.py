"""Tests of the TensorFlow Lite importer and exporter against the interpreters that run here."""
