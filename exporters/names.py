"""Names of nodes: readable, unique, and identifiers of C; and names of exported files."""

import re
from collections.abc import Container

LONGEST = 48


def unique_name(wanted: str, taken: Container[str], fallback: str = "node") -> str:
    """Make a name out of what another format calls a node.

    Args:
        wanted: any text; paths lose their slashes.
        taken: names that are in use.
        fallback: where nothing of wanted is left.

    Returns:
        Letters, digits and underscores, at most LONGEST and a number; no name of taken.

    Example:
        >>> unique_name("/layer1/0/Conv", {"layer1_0_conv"})
        'layer1_0_conv_2'
    """
    name = re.sub(r"[^0-9a-z]+", "_", wanted.lower()).strip("_")[:LONGEST].strip("_") or fallback
    name = f"{fallback}_{name}" if name[0].isdigit() else name
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def check_file_name(name: str) -> None:
    """Raise ValueError unless a name can be the first part of a file's, in no other folder."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name):
        raise ValueError(
            "the name must be at most 100 letters, digits, '_', '-' and '.', and begin with none "
            f"of the last two, got {name!r}"
        )
