"""Write the tables of speed: kernels, inference and training steps beside what is installed.

    python examples/compare_speed.py       # four minutes, on a quiet machine

It writes RESULTS.md. `edgetrain bench` measures the same and prints it. Ratios are medians of
rounds in which all candidates ran in turn: how many times faster edgetrain is, one thread each.
Where its pages lie makes a process up to a fifth faster or slower: every number is the median of
several processes.
"""

import multiprocessing
from collections.abc import Sequence
from statistics import median
from typing import Any

from tables import RESULTS, put

from edgetrain import kernels
from edgetrain.benchmark.measure import GROUPS, How, Record

ROUNDS, PROCESSES = 60, 5
THREADS = 1
UNIT = 1e6  # microseconds


def measured(group: str) -> list[Record]:
    """Return what one process measures."""
    return list(GROUPS[group](How(kernels.load("numba"), ROUNDS, THREADS)))


def middle(found: Sequence[Any]) -> Any:
    """Return the median of numbers, in records number by number; of all else the first."""
    first = found[0]
    if isinstance(first, dict):
        return {key: middle([each[key] for each in found]) for key in first}
    if isinstance(first, list):
        return [middle(each) for each in zip(*found, strict=True)]
    return first if isinstance(first, str) else median(found)


def times(group: str, records: list[Record]) -> list[str]:
    """Return the table of a group: our time, and how many times longer the others took."""
    ours, *others = dict.fromkeys(name for record in records for name in record["times"])
    lines = [f"| {group} | {ours}, µs | {' | '.join(others)} |", "|---" * (2 + len(others)) + "|"]
    for record in records:
        cells = [f"{record['times'][ours]['seconds'] * UNIT:,.1f}"]
        for name in others:
            found = record["times"].get(name)
            cells.append(f"{found['ratio']:.2f}" if found else "")
        lines.append(f"| {record['case']} | {' | '.join(cells)} |")
    return lines


def sizes(records: list[Record]) -> list[str]:
    """Return the table of bytes that training keeps."""
    names = list(dict.fromkeys(name for record in records for name in record["bytes"]))
    lines = [
        f"| bytes that training keeps | {' | '.join(names)} |",
        "|---" * (1 + len(names)) + "|",
    ]
    for record in records:
        cells = [f"{record['bytes'][name]:,}" if name in record["bytes"] else "" for name in names]
        lines.append(f"| {record['case']} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    lines: list[str] = []
    for group in GROUPS:
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
            records = middle(processes.map(measured, [group] * PROCESSES, chunksize=1))
        lines += sizes(records) if group == "memory" else times(group, records)
        lines.append("")
        print("\n".join(lines[-len(records) - 3 :]), flush=True)
    put(RESULTS, "speed", "\n".join(lines).rstrip())


if __name__ == "__main__":
    main()
