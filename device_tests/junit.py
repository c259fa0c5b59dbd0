"""Verdicts as JUnit XML, which continuous integration shows."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from edgetrain.device_tests.suite import Check, Verdict

NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML cannot hold, as a program may print them."""


def junit(verdicts: Sequence[Verdict]) -> bytes:
    """Write a test suite a board and a test case a check; numbers are properties.

    Example:
        >>> passed = Check("inference", "pass", "4 samples", 0.5)
        >>> print(junit([Verdict("host", (passed,))]).decode())
        <?xml version='1.0' encoding='utf-8'?>
        <testsuites name="edgetrain test-device">
          <testsuite name="host" tests="1" failures="0" skipped="0" time="0.500">
            <properties />
            <testcase classname="host" name="inference" time="0.500">
              <system-out>4 samples</system-out>
            </testcase>
          </testsuite>
        </testsuites>
    """
    root = ElementTree.Element("testsuites", name="edgetrain test-device")
    for verdict in verdicts:
        count = [check.outcome for check in verdict.checks].count
        suite = ElementTree.SubElement(
            root, "testsuite", name=verdict.board, tests=str(len(verdict.checks)),
            failures=str(count("fail")), skipped=str(count("skip")),
            time=f"{sum(check.seconds for check in verdict.checks):.3f}",
        )  # fmt: skip
        properties = ElementTree.SubElement(suite, "properties")
        for name, value in numbers(verdict).items():
            ElementTree.SubElement(properties, "property", name=name, value=str(value))
        for check in verdict.checks:
            _case(suite, verdict.board, check)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def numbers(verdict: Verdict) -> dict[str, Any]:
    """Return what was counted and measured, by name.

    Example:
        >>> numbers(Verdict("host", (), inference=7407))
        {'inference_instructions': 7407}
    """
    found = {"inference_instructions": verdict.inference, "step_instructions": verdict.step}
    bytes_ = asdict(verdict.measured) if verdict.measured else {}
    found |= {f"{part}_bytes": size for part, size in bytes_.items()}
    return {name: value for name, value in found.items() if value is not None}


def _case(suite: ElementTree.Element, board: str, check: Check) -> None:
    case = ElementTree.SubElement(
        suite, "testcase", classname=board, name=check.name, time=f"{check.seconds:.3f}"
    )
    detail = NO_XML.sub("?", check.detail)
    if check.outcome == "pass":
        ElementTree.SubElement(case, "system-out").text = detail
        return
    tag = "failure" if check.outcome == "fail" else "skipped"
    told = ElementTree.SubElement(case, tag, message=detail.partition("\n")[0])
    told.text = detail
