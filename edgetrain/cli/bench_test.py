import pytest

from edgetrain.benchmark import cases, measure, rivals
from edgetrain.benchmark.measure import OURS


@pytest.fixture
def small(monkeypatch):
    """One case of each kind, and nothing installed to compare with."""
    monkeypatch.setattr(measure, "LAYERS", {"dense": (lambda: cases.dense(16, 8), 2)})
    monkeypatch.setattr(measure, "NETWORKS", {"mlp": lambda: cases.mlp((8,), 4)})
    monkeypatch.setattr(measure, "LEARNERS", {"mlp": (lambda: cases.mlp((8,), 4), (2,))})
    monkeypatch.setattr(rivals, "find_spec", lambda name: None)


def test_every_group_is_measured_without_claiming_what_is_not_installed(small, edgetrain, report):
    found = report("bench", "--rounds", "2", "--backend", "numpy")

    assert [r["group"] for r in found["results"]] == ["kernels", "inference", "steps", "memory"]
    assert found["versions"] == {}
    kernels, inference, steps, memory = found["results"]
    assert list(kernels["times"]) == list(inference["times"]) == [OURS]
    assert kernels["times"][OURS]["ratio"] == 1
    gradient = [f"forward_gradient {how}" for how in ("weight", "weight, two passes", "activity")]
    rules = ["mono_forward", "forward_forward", *gradient]
    assert list(steps["times"]) == [*rules, "two inferences"]
    assert list(memory["bytes"]) == rules
    assert all(size > 0 for size in memory["bytes"].values())
    code, out, said = edgetrain("bench", "--rounds", "1", "--only", "kernels", "--backend", "numpy")
    assert code == 0
    assert OURS in out
    assert "torch is not installed: not compared with" in said


@pytest.mark.slow
@pytest.mark.parametrize("name", rivals.INFERENCE)
def test_what_is_installed_runs_the_same_network(name):
    package, make = rivals.INFERENCE[name]
    pytest.importorskip(rivals.MODULES[package], reason=f"{package} is not installed")
    given = cases.subject(cases.ds_cnn((25, 10, 1), 4, channels=8), 1)

    assert package in rivals.installed()
    make(given, 1)()


@pytest.mark.slow
def test_torch_learns_the_same_network():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from edgetrain.benchmark.torch_nets import backprop, module

    given = cases.subject(cases.resnet8((16, 16, 3), 4), 2)
    net = module(given.real)

    backprop(given.real, given.x, 1, torch.channels_last)()
    weights = sum(p.numel() for p in net.parameters())
    assert weights == given.real.graph.parameters


def test_an_unknown_group_is_refused(edgetrain):
    code, _, said = edgetrain("bench", "--only", "hopes")

    assert code != 0
    assert "--only must be one of kernels, inference, steps, memory" in said
