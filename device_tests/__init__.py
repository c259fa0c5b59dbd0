"""Bit-exact tests on emulated boards.

| module | what |
|---|---|
| `boards` | the table of boards, and what each needs |
| `build` | C sources to a program for a board |
| `run` | a program and frames of bytes in, frames of bytes out; one module a kind of board |
| `network` | exported networks: the frames of `support/driver.c` |

`pytest device_tests` runs on every board whose tools are here and skips the others with what they
lack; `--board NAME` chooses one, `--all-boards` fails where one is missing.

A new board is a line in `boards.BOARDS`; another learning rule a line in `training_test.RULES`.
"""
