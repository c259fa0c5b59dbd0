"""Bit-exact tests on emulated and real boards.

| module | what |
|---|---|
| `boards` | the table of boards, and what each needs |
| `build` | C sources to a program for a board |
| `run` | a program and frames of bytes in, frames of bytes out; one module a kind of board |
| `network` | exported networks: the frames of `support/driver.c` |
| `golden`, `golden_layers` | inputs of kernels, and what the specification makes of them |
| `lesson`, `difference` | what a network is asked and taught; where a board first differs |
| `saving` | saves whose power is cut: the old or the new record, never a mixture |
| `measure` | bytes of flash, state, arena and stack of a linked program |
| `suite`, `junit` | all of it on a user's model: `edgetrain test-device` |

**Emulated boards** need ``pip install 'edgetrain[device]'`` (clang, Unicorn, wasmtime), or a cross
compiler and QEMU; ``edgetrain test-device --list`` says what is missing and how to get it.

**A real board** runs the same frames over a serial port:

1. ``edgetrain test-device model.safetensors --write-firmware firmware`` writes C99 for the model,
   with the options of `export --to c` (rule, batch, seed ...).
2. Add the folder to a project of your board. Define two functions, ``serial_put`` and
   ``serial_get``, and call ``serial_run`` from ``main``; ``serial.h`` has an example. To have saves
   tested, give ``flash.c`` the flash of your board. Flash it.
3. ``edgetrain test-device model.safetensors --board serial:/dev/ttyACM0@115200`` with the same
   options: inference, every training step and saves, bit for bit. The board tells a CRC of what it
   runs, so another model, rule or seed is noticed.

Frames carry a length, a CRC and a number: noise and lost bytes cost time and no bit, and a step is
not taken twice. The board needs memory for one frame and one answer besides the network's own.

`pytest device_tests` runs on every board whose tools are here and skips the others with what they
lack; `--board NAME` chooses one, `--all-boards` fails where one is missing.

A new board is a line in `boards.BOARDS`; another learning rule a line in `training_test.RULES`.
"""
