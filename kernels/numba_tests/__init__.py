"""Tests of the backend "numba" that other backends do not need."""
