import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from edgetrain.data import Data
from edgetrain.demo import SOURCE, TUNE, Outcome
from edgetrain.report import COLOURS, SHOWN, chart, page

RULES = ("backprop", "mono_forward", "forward_forward", "forward_gradient")
TESTED = 40
OPEN = {"meta", "br", "td", "th", "tr", "p", "html"}
"""Elements that HTML lets stay open, or that have no end."""


def outcome(rule, before=0.48, after=0.87, steps=100, seed=0):
    rng = np.random.default_rng(seed)
    rise = tuple((i * steps // 10, before + (after - before) * i / 10) for i in range(11))
    labels = tuple(int(label) for label in rng.integers(0, 10, TESTED))
    return Outcome(rule, before, after, 9568, 15736, f"{seed:02}abcdef", 8.96, steps, rise, labels)


@pytest.fixture
def outcomes():
    return [outcome(rule, after=0.8 + i / 50, seed=i) for i, rule in enumerate(RULES)]


@pytest.fixture
def data():
    rng = np.random.default_rng(7)
    x = rng.uniform(0, 1, (TESTED, 8, 8, 1)).astype(np.float32)
    y = rng.integers(0, 10, TESTED).astype(np.int32)
    return Data(x[:5], y[:5], x, y)


@pytest.fixture
def before(data):
    """Right for the first half, wrong for the second."""
    return [int(y) if i < TESTED // 2 else int(y + 1) % 10 for i, y in enumerate(data.y_test)]


class Reader(HTMLParser):
    """Collects text and fails where an element closes that is not open."""

    def __init__(self, content):
        super().__init__()
        self.open, self.count, self.text, self.scripts = [], {}, [], 0
        self.feed(content)
        self.close()

    def handle_startendtag(self, tag, attrs):
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        self.scripts += any(name.startswith("on") for name, _ in attrs)
        if tag not in OPEN:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in OPEN:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def rows(content):
    """The table's cells as text, a list a rule."""
    table = content[content.index("<table>") : content.index("</table>")]
    lines = [re.findall(r"<td>(.*?)</td>", row) for row in table.split("<tr>")]
    return [[re.sub("<[^>]*>", "", cell) for cell in line] for line in lines if line]


def pictures(content):
    return re.findall(r"<svg.*?</svg>", content, re.DOTALL)


def texts(svg):
    return [e.text for e in ET.fromstring(svg).iter() if e.tag.endswith("text")]


def lines(svg):
    """The points of every curve."""
    found = [e for e in ET.fromstring(svg).iter() if e.tag.endswith("polyline")]
    return [[tuple(map(float, p.split(","))) for p in e.get("points").split()] for e in found]


def test_the_table_has_a_row_a_rule(outcomes, data, before):
    content = page(outcomes, data, before, "numba", "mono_forward")

    found = rows(content)

    assert [row[0] for row in found] == list(RULES)
    assert [row[-1] for row in found] == [o.trace for o in outcomes]
    assert found[1][1:-1] == ["48.0 %", "82.0 %", "9,568 B", "61 %", "9.0"]


def test_the_page_is_well_formed(outcomes, data, before):
    reader = Reader(page(outcomes, data, before, "numba", "mono_forward"))

    assert reader.open == []
    assert reader.count["svg"] == 1 + SHOWN
    assert reader.count["figure"] == SHOWN
    assert reader.count["tr"] == 1 + len(RULES)


def test_the_page_says_what_was_done(outcomes, data, before):
    text = "".join(Reader(page(outcomes, data, before, "numba", "forward_forward")).text)

    for fact in (f"{SOURCE:,}", str(TUNE), "48.0 %", "30 degrees", "numba", "(forward_forward)"):
        assert fact in text


def test_every_name_of_the_template_is_filled_in(outcomes, data, before):
    assert "$" not in page(outcomes, data, before, "numba", "mono_forward")


def test_every_picture_is_xml(outcomes, data, before):
    for svg in pictures(page(outcomes, data, before, "numba", "mono_forward")):
        assert ET.fromstring(svg).get("viewBox").startswith("0 0 ")


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a & b < c", "\"quoted' $rule"])
def test_names_are_escaped(outcomes, data, before, name):
    outcomes[1] = replace(outcomes[1], rule=name)

    content = page(outcomes, data, before, f"<b>{name}</b>", name)
    reader = Reader(content)

    assert "script" not in reader.count
    assert "b" in reader.count  # of the template, and of no name:
    assert reader.count["b"] == 1
    assert "".join(reader.text).count(name) == 4  # row, legend, heading, backend
    assert any(name in text for text in texts(pictures(content)[0]))


def test_a_rule_that_is_not_there_cannot_be_shown(outcomes, data, before):
    with pytest.raises(StopIteration):
        page(outcomes, data, before, "numba", "nobody")


# --- curves ---


def test_the_chart_has_a_curve_and_a_legend_a_rule(outcomes):
    svg = chart(outcomes)

    assert len(lines(svg)) == len(RULES)
    for rule, colour in zip(RULES, COLOURS, strict=True):
        assert f"{rule}, 100 steps" in texts(svg)
        assert svg.count(f'stroke="{colour}"') == 1


def test_curves_rise_from_left_to_right(outcomes):
    (first, *_) = lines(chart(outcomes))

    x, y = zip(*first, strict=True)
    assert len(first) == 11
    np.testing.assert_allclose(np.diff(x), (x[-1] - x[0]) / 10, atol=0.11)
    assert (np.diff(y) < 0).all()  # up is less in SVG


def test_curves_lie_between_the_right_ticks(outcomes):
    svg = chart(outcomes)
    ticks = {
        e.text: float(e.get("y")) - 4
        for e in ET.fromstring(svg).iter()
        if (e.text or "")[-1:] == "%"
    }

    assert list(ticks) == [f"{n} %" for n in range(40, 101, 10)]
    start = lines(svg)[0][0][1]
    between = ticks["40 %"] + (ticks["50 %"] - ticks["40 %"]) * 0.8  # 48 %
    assert start == pytest.approx(between, abs=0.11)


@pytest.mark.parametrize(("before", "after"), [(0.0, 1.0), (0.1, 0.05), (1.0, 1.0), (0.39, 0.41)])
def test_no_curve_leaves_the_picture(before, after):
    outcomes = [
        outcome(rule, before, after, steps)
        for rule, steps in zip(RULES, (10, 100, 1500, 20), strict=True)
    ]
    svg = chart(outcomes)
    _, _, width, height = map(float, ET.fromstring(svg).get("viewBox").split())

    for x, y in (point for line in lines(svg) for point in line):
        assert 0 <= x <= width
        assert 0 <= y <= height


def test_every_run_ends_at_the_same_place_however_long_it_was(outcomes):
    outcomes[3] = outcome(RULES[3], steps=1500)

    ends = {line[-1][0] for line in lines(chart(outcomes))}

    assert len(ends) == 1


# --- digits ---


def figures(content):
    pattern = r"<figcaption>(.*?)</figcaption>"
    return [re.sub("<[^>]*>", " ", caption).split() for caption in re.findall(pattern, content)]


def test_digits_that_were_wrong_come_first_with_both_answers(outcomes, data, before):
    wrong = list(range(TESTED // 2, TESTED))[: 3 * SHOWN // 4]
    right = list(range(TESTED // 2))[: SHOWN // 4]
    after = outcomes[2].predictions

    found = figures(page(outcomes, data, before, "numba", "forward_forward"))

    assert found == [
        [str(before[i]), "→", str(after[i]), "is", str(data.y_test[i])] for i in wrong + right
    ]


def test_answers_are_marked_right_or_wrong(outcomes, data, before):
    right = tuple(int(y) for y in data.y_test)
    outcomes[1] = replace(outcomes[1], predictions=right)

    content = page(outcomes, data, before, "numba", "mono_forward")

    assert content.count('class="wrong"') == 3 * SHOWN // 4
    assert content.count('class="right"') == SHOWN + SHOWN // 4


def test_pixels_are_drawn_where_the_digit_is(outcomes, data, before):
    x = np.zeros((TESTED, 8, 8, 1), np.float32)
    x[:, 2, 5] = 1
    x[:, 3, 5] = 0.5

    content = page(outcomes, replace(data, x_test=x), before, "numba", "mono_forward")

    for svg in pictures(content)[1:]:
        pixels = [(e.get("x"), e.get("y"), e.get("fill")) for e in ET.fromstring(svg)]
        assert pixels == [("5", "2", "rgb(0,0,0)"), ("5", "3", "rgb(128,128,128)")]


def test_few_test_samples_are_all_shown(outcomes, data, before):
    few = replace(data, x_test=data.x_test[-3:], y_test=data.y_test[-3:])

    content = page(outcomes, few, before[-3:], "numba", "mono_forward")

    assert len(figures(content)) == 3
