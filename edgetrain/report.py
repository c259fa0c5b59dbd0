"""The demo as one HTML page: a table, curves, and digits before and after."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

import numpy as np

from edgetrain.data import Data
from edgetrain.demo import DEGREES, SOURCE, TUNE, Outcome

COLOURS = ("#7a869a", "#0b69c7", "#c2571a", "#1a7f37")
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 300, 44, 28, 12
SHOWN = 16
LOWEST = 0.4
"""The axis of accuracy starts here, or lower where a curve does."""


def page(
    outcomes: Sequence[Outcome], data: Data, before: Sequence[int], backend: str, shown: str
) -> str:
    """Return the page.

    Args:
        outcomes: one a rule.
        data: the device's.
        before: labels that the network gave to the test samples before it learned.
        backend: its name.
        shown: the rule whose digits are shown.
    """
    chosen = next(outcome for outcome in outcomes if outcome.rule == shown)
    template = Template((files("edgetrain") / "assets" / "report.html").read_text("utf-8"))
    return template.substitute(
        source=f"{SOURCE:,}",
        degrees=f"{DEGREES:g}",
        tune=TUNE,
        before=f"{100 * outcomes[0].accuracy_before:.1f}",
        backend=escape(backend),
        rows="\n".join(_row(o, c) for o, c in zip(outcomes, COLOURS, strict=True)),
        chart=chart(outcomes),
        rule=escape(shown),
        digits=_digits(data, before, chosen.predictions),
    )


def _row(outcome: Outcome, colour: str) -> str:
    share = outcome.arena_bytes / outcome.backprop_arena_bytes
    cells = (
        f"{100 * outcome.accuracy_before:.1f} %",
        f"{100 * outcome.accuracy_after:.1f} %",
        f"{outcome.arena_bytes:,} B",
        f"{100 * share:.0f} %",
        f"{outcome.seconds:.1f}",
        outcome.trace,
    )
    key = f'<span class="key" style="background:{colour}"></span>'
    return (
        f"<tr><td>{key}{escape(outcome.rule)}</td>"
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def chart(outcomes: Sequence[Outcome]) -> str:
    """Return the curves as SVG: share of the run on x, accuracy on y, a legend below."""
    lowest = min(LOWEST, *(accuracy for o in outcomes for _, accuracy in o.curve))
    lowest = int(lowest * 10) / 10

    def y(accuracy: float) -> float:
        return (HEIGHT - BOTTOM) * (1 - (accuracy - lowest) / (1 - lowest)) + TOP

    parts = []
    for tick in np.arange(round(lowest * 10), 11) / 10:
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'stroke="#e4e8ef"/><text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">'
            f"{100 * tick:.0f} %</text>"
        )
    for i, (outcome, colour) in enumerate(zip(outcomes, COLOURS, strict=True)):
        points = " ".join(
            f"{LEFT + (WIDTH - LEFT) * step / outcome.steps:.1f},{y(accuracy):.1f}"
            for step, accuracy in outcome.curve
        )
        place = 4 + i * WIDTH / len(outcomes)
        parts.append(
            f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{points}"/>'
            f'<text x="{place:.0f}" y="{HEIGHT + TOP}" fill="{colour}">{escape(outcome.rule)}, '
            f"{outcome.steps} steps</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 4} {HEIGHT + 2 * TOP}" '
        f'font-family="system-ui, sans-serif" font-size="12" fill="#55606e">{"".join(parts)}</svg>'
    )


def _digits(data: Data, before: Sequence[int], after: Sequence[int]) -> str:
    """Return figures of samples that were wrong before, with both answers."""
    wrong = [i for i, label in enumerate(data.y_test) if before[i] != label]
    right = [i for i, label in enumerate(data.y_test) if before[i] == label]
    chosen = (wrong[: 3 * SHOWN // 4] + right)[:SHOWN]
    return "\n".join(
        _digit(data.x_test[i], int(data.y_test[i]), before[i], after[i]) for i in chosen
    )


def _digit(image: np.ndarray, label: int, before: int, after: int) -> str:
    height, width = image.shape[:2]
    pixels = "".join(
        f'<rect x="{j}" y="{i}" width="1.02" height="1.02" fill="rgb({shade},{shade},{shade})"/>'
        for i in range(height)
        for j in range(width)
        if (shade := 255 - int(255 * image[i, j, 0])) < 250
    )
    kinds = ["right" if answer == label else "wrong" for answer in (before, after)]
    return (
        f'<figure><svg viewBox="0 0 {width} {height}">{pixels}</svg><figcaption>'
        f'<span class="{kinds[0]}">{before}</span> → <span class="{kinds[1]}">{after}</span>'
        f"<br>is {label}</figcaption></figure>"
    )
