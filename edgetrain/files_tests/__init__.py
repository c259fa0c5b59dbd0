"""Tests of `edgetrain.files`, which reads what anybody may have written."""
