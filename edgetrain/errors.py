"""The errors that edgetrain raises on purpose.

A wrong argument of a function is a plain ``ValueError``; these classes are for what a caller may
want to catch:

* EdgetrainError
  * BackendError: a tool, compiler or device is not on this machine
    * DeviceMemoryError: a device has too little memory
  * DataError: data that cannot be trained or measured on
  * ModelError: a network that cannot be built, or whose arithmetic could overflow
  * RuleError: a learning rule that cannot train this model as asked
  * FileError: a file that is not what it should be, or that cannot be written
"""


class EdgetrainError(Exception):
    """Base class of the errors below."""


class BackendError(EdgetrainError, ImportError):
    """A backend's tool, compiler or device is not on this machine."""


class DeviceMemoryError(BackendError):
    """A device has too little memory for what it was asked for at once."""


class DataError(EdgetrainError, ValueError):
    """Data that cannot be trained or measured on: missing, malformed, not finite, not in range."""


class ModelError(EdgetrainError, ValueError):
    """A network that cannot be built or quantized; the message names the node."""


class RuleError(EdgetrainError, ValueError):
    """A learning rule that cannot train this model as asked; the message names node and cure."""


class FileError(EdgetrainError, OSError):
    """A file that is truncated, foreign, of another model, or that cannot be written."""
