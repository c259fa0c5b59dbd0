"""Tests of the C that devices run: what is generated, and what the generated code calls."""
