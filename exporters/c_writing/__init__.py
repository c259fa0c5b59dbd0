"""The C exporter: programs of kernel calls, and the buffers that they share; see `to_c`."""
