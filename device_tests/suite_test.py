"""The suite finds what is wrong with a board, and says where."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from edgetrain.device_tests import golden, network, suite
from edgetrain.device_tests.boards import BOARDS
from edgetrain.device_tests.build import SUPPORT
from edgetrain.device_tests.junit import junit, numbers
from edgetrain.device_tests.lesson import draw, take
from edgetrain.device_tests.program import BoardTimeoutError
from edgetrain.device_tests.run import run
from edgetrain.device_tests.training_test import RULES, exported
from edgetrain.errors import DataError

RULE = RULES["mono_forward"]


@pytest.fixture
def lesson():
    return draw(exported("mlp")[0], RULE, 2, seed=3, steps=6)


@pytest.fixture
def broken(monkeypatch):
    """Change what is exported: a file, and what in it becomes what. Kernels are left out."""
    checks = {name: check for name, check in suite.CHECKS.items() if "kernels" not in name}
    monkeypatch.setattr(suite, "CHECKS", checks)

    def change(file, good, bad):
        before = network.to_c

        def to_c(*arguments):
            files = before(*arguments)
            assert files[file].count(good) == 1
            return files | {file: files[file].replace(good, bad)}

        monkeypatch.setattr(network, "to_c", to_c)

    return change


def outcomes(verdict):
    return {check.name.split(":")[-1].split()[0]: check.outcome for check in verdict.checks}


def detail(verdict, name):
    return next(check.detail for check in verdict.checks if check.name == name)


def test_a_good_board_passes_and_is_measured(board, objects, lesson):
    seen = []
    verdict = suite.examine(board, lesson, objects, on_check=lambda *done: seen.append(done))
    assert verdict.passed
    assert set(outcomes(verdict).values()) == {"pass"}
    assert seen == [(i + 1, len(suite.CHECKS)) for i in range(len(suite.CHECKS))]
    assert detail(verdict, "training") == "10 steps, 4 of them of warm-up"
    assert detail(verdict, "saving with power cuts").startswith("12 cuts, 2 whole saves")
    counted = BOARDS[board].kind != "host"
    assert (verdict.inference is not None) == (verdict.step is not None) == counted
    assert (verdict.measured is not None) == (BOARDS[board].kind in ("unicorn", "qemu"))
    if counted:
        assert 2 * verdict.inference < verdict.step
    assert json.dumps(numbers(verdict))


def test_the_first_difference_is_named(need, broken, objects, lesson):
    broken("net.c", b"step++;", b"step++; if (step == 6) classifier_w[7] ^= 1;")
    verdict = suite.examine(need("host"), lesson, objects)
    assert not verdict.passed
    assert outcomes(verdict) == {"inference": "pass", "training": "fail", "saving": "pass"}
    said = detail(verdict, "training")
    assert said.startswith("step 5: 'classifier/w' at [0, 7]: the board has ")
    assert said.endswith("; 1 of 80 differ")


def test_a_loss_and_a_tensor_that_differ_are_both_named(need, broken, objects, lesson):
    broken("net.c", b"step++;", b"step++; loss += 1; classifier_w[7] ^= 1;")
    said = detail(suite.examine(need("host"), lesson, objects), "training")
    assert said.startswith("step 0: 'classifier/w' at [0, 7]: the board has ")
    assert "; the board's loss is " in said


def test_nothing_is_measured_where_a_check_fails(need, broken, objects, lesson):
    broken("net.c", b"step++;", b"step += 2;")
    verdict = suite.examine(need("host"), lesson, objects)
    assert verdict.inference is None
    assert verdict.measured is None


def test_an_output_that_differs_is_named(need, broken, objects, lesson):
    broken("net.c", b"et_status net_infer(const int8_t *x, int8_t *y) {",
           b"static et_status infer(const int8_t *x, int8_t *y);\n"
           b"et_status net_infer(const int8_t *x, int8_t *y) {\n"
           b"    et_status s = infer(x, y); y[2] ^= x[0] == "
           + str(lesson.samples[1].flat[0]).encode() + b"; return s;\n}\n"
           b"static et_status infer(const int8_t *x, int8_t *y) {")  # fmt: skip
    verdict = suite.examine(need("host"), lesson, objects)
    assert detail(verdict, "inference").startswith("sample 1: output at [2]: the board has ")


def test_a_wrong_loss_is_named(need, broken, objects, lesson):
    broken("net.c", b"*loss_out = loss;", b"*loss_out = loss + 1;")
    verdict = suite.examine(need("host"), lesson, objects)
    assert detail(verdict, "training").startswith("step 0: the board's loss is ")


def test_a_step_that_is_not_counted_is_named(need, broken, objects, lesson):
    broken("net.c", b"step++;", b"step += 2;")
    verdict = suite.examine(need("host"), lesson, objects)
    assert detail(verdict, "training") == "step 0: no tensor differs, so the count of steps does"


def test_a_board_that_does_not_repeat_itself_is_told(need, objects, lesson, monkeypatch):
    bench = suite.Bench(need("host"), lesson, objects, 20)
    calls = []

    def run(frames):
        replies = bench.run(frames)
        if not calls:
            data = bytearray(replies[3].data)
            data[8] ^= 1  # the trace
            replies[3] = replies[3].__class__(bytes(data))
        calls.append(frames)
        return replies

    found = suite.first_difference(lesson, bench.lessons[1], run)
    assert found == "step 2: no tensor differs, so the count of steps does"


def test_wrong_kernels_are_counted(need, objects, lesson, monkeypatch):
    sources = golden.sources()
    header = sources["et_fixed.h"].replace(b">> 16", b">> 15", 1)
    assert header != sources["et_fixed.h"]
    changed = sources | {"et_fixed.h": header}
    monkeypatch.setattr(golden, "sources", lambda: changed)
    verdict = suite.examine(need("host"), lesson, objects)
    said = detail(verdict, "kernels: rounding and updates")
    assert "update_int8: " in said
    assert "rescale" not in said


def test_a_record_that_is_not_there_is_missed(need, broken, objects, lesson):
    broken(
        "et_store.c", b"if (commit(flash, target) != 0)", b"if (0 && commit(flash, target) != 0)"
    )
    verdict = suite.examine(need("host"), lesson, objects)
    assert detail(verdict, "saving with power cuts").startswith("save 0, whole: a load returns")


def test_a_fault_shows_address_and_registers(need, broken, objects, lesson):
    broken("net.c", b"step++;", b"step++; if (step == 2) ((volatile int8_t *)&arena)[-1] = 0;")
    verdict = suite.examine(need("cortex-m4"), lesson, objects)
    said = detail(verdict, "training")
    assert said.startswith(
        "cortex-m4 faulted: write of 1 bytes at 0x200fffff, 1 bytes before arena"
    )
    assert " pc=" in said


def test_a_board_that_hangs_is_ended(need, broken, objects, lesson):
    broken("net.c", b"step++;", b"step++; while (step == 2) total_saturated ^= 1;")
    verdict = suite.examine(need("cortex-m4"), lesson, objects, timeout_s=1)
    assert detail(verdict, "training").startswith("cortex-m4 did not finish a frame in 1 s")


def test_counting_that_hangs_is_a_failure(need, objects, lesson, monkeypatch):
    def hang(program, frames, *, count=False, **others):
        if count:
            raise BoardTimeoutError("did not finish")
        return run(program, frames, **others)

    monkeypatch.setattr(suite, "run", hang)
    verdict = suite.examine(need("host"), lesson, objects)
    assert not verdict.passed
    assert verdict.checks[-1] == suite.Check("instructions and bytes", "fail", "did not finish", 0)


def test_what_the_compiler_refuses_is_shown(need, broken, objects, lesson):
    broken("net.c", b"step++;", b"step++; no_such();")
    verdict = suite.examine(need("host"), lesson, objects)
    assert detail(verdict, "inference").startswith("cannot build for host: cc says\n")


def test_a_verdict_is_written_as_junit(need, broken, objects, lesson):
    broken("net.c", b"*loss_out = loss;", b"*loss_out = loss + 1;")
    verdict = suite.examine(need("host"), lesson, objects)
    good = suite.Verdict("cortex-m4", (suite.Check("training", "skip", "why <&> \0", 0.5),), 7, 9)
    root = ElementTree.fromstring(junit([verdict, good]))
    bad, other = root.findall("testsuite")
    assert (bad.get("name"), bad.get("tests"), bad.get("failures")) == ("host", "3", "1")
    (failure,) = bad.iter("failure")
    assert failure.get("message").startswith("step 0: the board's loss is ")
    assert other.find("properties/property[@name='step_instructions']").get("value") == "9"
    assert other.find("testcase/skipped").text.startswith("why <&> ")


def test_given_samples_are_taken_in_their_order(objects):
    model = exported("mlp")[0]
    x, y = np.arange(36, dtype=np.int8).reshape(3, 12), np.array([2, 0, 1], np.int32)
    found = take(model, RULE, x, y, batch=2, steps=1, samples=4)
    assert [targets.tolist() for _, targets in found.batches[:2]] == [[2, 0], [1, 2]]
    assert (found.samples == x[[0, 1, 2, 0]]).all()
    with pytest.raises(DataError, match="at least one sample"):
        take(model, RULE, x[:0], y[:0])


def test_every_file_of_support_is_used():
    used = {path.name for path in SUPPORT.iterdir()}
    text = "".join(path.read_text() for path in SUPPORT.parent.glob("*.py"))
    assert [
        name for name in sorted(used) if name not in text and not name.endswith("_main.c")
    ] == []
