"""Any bytes give a sound model or an error of ours, soon and in little memory."""

import copy
import json
import random
import time
import tracemalloc

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import cnn
from edgetrain.errors import EdgetrainError
from edgetrain.files import load, load_checkpoint, save
from edgetrain.files_tests.cases import (
    EVERY_OPERATION,
    HUGE,
    INFINITY,
    MIB,
    NAN,
    assert_same,
    drawn,
    int8,
    put_together,
    saved,
    take_apart,
    trained,
)
from edgetrain.graph import INPUT
from edgetrain.model import Model
from edgetrain.outputs import predict
from edgetrain.settings import Settings

# --- fuzz: any bytes give a sound model or an error of ours, soon and in little memory ---

NASTY = [
    None, True, 0, -1, 1, 2, 3, 127, 128, -129, 1.0, 0.5, -0.5, 1e-300, 1e-40, 1e30, 1e38, 1e300,
    NAN, INFINITY, HUGE, HUGE + 1, 2**31, 2**64, 10**400, "", INPUT, "first", "classifier", "dense",
    "conv2d", "flatten", "add", "activation", "global_average_pool", "relu", "tanh", "\ud800",
    [], {}, [0, 0], [1, 1], [HUGE] * 2, [0] * 4, [HUGE] * 4, [[]], ["first", "first"], {"a": 1},
    "x" * 5000,
]  # fmt: skip


def places(value):
    """Every (container, key) of a JSON value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(pairs):
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


def edit_json(rng, value):
    for _ in range(rng.randint(1, 3)):
        container, key = rng.choice(list(places(value)))
        nasty = copy.deepcopy(rng.choice(NASTY))
        action = rng.random()
        if action < 0.15:
            del container[key]
        elif action < 0.3:
            _, other = rng.choice(list(places(value)))
            new = json.loads(json.dumps(rng.choice(list(places(value)))[0]))
            container[key] = new if rng.random() < 0.5 else other
        elif action < 0.4 and isinstance(container, list):
            container.insert(rng.randint(0, len(container)), nasty)
        elif action < 0.5 and isinstance(container[key], int | float):
            container[key] = container[key] * rng.choice([2, -1, 0.5, 1 + 1e-9, 1000, 1e-6])
        else:
            container[key] = nasty


def flip_bits(rng, content, _):
    changed = bytearray(content)
    header = 8 + int.from_bytes(content[:8], "little")
    end = len(content) if rng.random() < 0.5 else header
    for _ in range(rng.choice([1, 1, 1, 2, 8, 64])):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def splice(rng, content, other):
    return content[: rng.randrange(len(content))] + other[rng.randrange(len(other)) :]


def remove_or_repeat(rng, content, _):
    start, end = sorted(rng.randrange(len(content)) for _ in range(2))
    return content[:start] + content[start:end] * rng.choice([0, 2]) + content[end:]


def lie_in_the_length(rng, content, _):
    return (
        rng.choice([rng.randrange(len(content)), rng.getrandbits(64), 2**24]).to_bytes(8, "little")
        + content[8:]
    )


def edit_description(rng, content, _):
    header, found, data = take_apart(content)
    edit_json(rng, found)
    return put_together(header, found, data)


def edit_header(rng, content, _):
    header, found, data = take_apart(content)
    edit_json(rng, header)
    return put_together(header, found, data)


def overwrite_numbers(rng, content, _):
    """Scales and biases of all kinds, in a sound container."""
    header, found, data = take_apart(content)
    changed = bytearray(data)
    entry = rng.choice(list(header.values()))
    start, end = entry["data_offsets"]
    number = rng.choice(
        [b"\0" * 8, b"\xff" * 8, b"\x80" * 8, b"\0\0\0\0\0\0\xf0\x7f", b"\x01" + b"\0" * 7]
    )
    for _ in range(rng.randint(1, 4)):
        at = start + rng.randrange(max(end - start, 1)) // 8 * 8
        changed[at : at + 8] = number
    return put_together(header, found, bytes(changed[: len(data)]))


def swap_tensors(rng, content, _):
    header, found, data = take_apart(content)
    names = list(header)
    a, b = rng.choice(names), rng.choice(names)
    header[a], header[b] = header[b], header[a]
    return put_together(header, found, data)


MUTATIONS = (
    flip_bits, splice, remove_or_repeat, lie_in_the_length, edit_description, edit_description,
    edit_description, edit_header, overwrite_numbers, swap_tensors,
)  # fmt: skip


def assert_sound(path, found):
    """What was loaded can be saved, loaded again, and run."""
    again = path.with_name("again")
    model = found[0] if isinstance(found, tuple) else found
    save(model, again)
    assert_same(load(again), model)
    graph = model.graph
    windows = [sum(n.window.padding) for n in graph.nodes if n.window]
    small = max(np.prod(shape) for shape in graph.shapes.values()) < 2**16
    if isinstance(model, Model) and small and max(windows, default=0) < 100:
        outputs = predict(model, np.zeros((1, *graph.input_shape), np.int8), fixed)
        assert (outputs.shape, outputs.dtype) == ((1, graph.output_size), np.int32)


@pytest.fixture(scope="module")
def originals(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("originals") / "model"
    heads_only = Settings(learning_rate=0.1)
    return [
        saved(path, model),
        saved(path, *trained(model, heads_only)),
        saved(path, drawn(EVERY_OPERATION)),
        saved(path, int8(cnn((6, 6, 1), 3, channels=(3, 4)))),
    ]


@pytest.fixture
def harmless(path):
    """Return a function that reads bytes and says whether they were accepted."""
    spent, tracing = [0.0], tracemalloc.is_tracing()

    def read(content):
        path.write_bytes(content)
        accepted = False
        started = time.process_time()
        for reader in (load, load_checkpoint):
            try:
                found = reader(path)
            except EdgetrainError as error:
                assert path.name in str(error)  # noqa: PT017
            else:
                accepted = True
                assert_sound(path, found)
        spent.append(time.process_time() - started)
        return accepted

    tracemalloc.start(1)
    yield read
    peak = tracemalloc.get_traced_memory()[1]
    if not tracing:
        tracemalloc.stop()
    assert peak < 64 * MIB
    assert max(spent) < 5  # seconds; most take a millisecond


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_mutated_files_do_no_harm(originals, harmless, seed):
    rng = random.Random(seed)
    accepted = 0

    for _ in range(500):
        content, other = rng.sample(originals, 2)
        accepted += harmless(rng.choice(MUTATIONS)(rng, content, other))

    assert 20 < accepted < 450  # neither all refused nor all accepted: the fuzz reaches deep


@pytest.mark.slow
def test_truncated_files_are_refused(originals, harmless):
    content = originals[0]
    header = 8 + int.from_bytes(content[:8], "little")
    lengths = {*range(0, len(content), 7), *range(10), *range(header - 9, header + 9)}

    assert not any(harmless(content[:length]) for length in lengths)
    assert harmless(content)


def test_random_bytes_are_refused(harmless):
    rng = random.Random(9)

    assert not any(harmless(rng.randbytes(rng.randrange(200))) for _ in range(300))
