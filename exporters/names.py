"""Names of nodes: readable, unique, and identifiers of C."""

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
