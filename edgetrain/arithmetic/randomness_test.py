import itertools

import numpy as np
import pytest

from edgetrain.arithmetic.randomness import (
    CONTRAST,
    PERTURB,
    ROUND,
    SHUFFLE,
    Key,
    mix32,
    permutation,
    random_below,
    random_signs,
    random_words,
    stream_key,
)

WORD = 2**32 - 1
KEY = Key(0x01234567, 0x89ABCDEF)


def plain_mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D & WORD
    x ^= x >> 15
    x = x * 0x846CA68B & WORD
    return x ^ x >> 16


def test_mix32_of_the_test_vectors():
    assert mix32(np.arange(3)).tolist() == [0x00000000, 0x688990C0, 0xD1132181]


def test_random_words_of_the_test_vectors():
    want = [0x5CBD2392, 0x19A7D233, 0xE01B185F, 0xC64B9BE9]

    assert random_words(KEY, np.arange(4)).tolist() == want
    assert [int(random_words(KEY, np.array(i))) for i in range(4)] == want


def test_words_wrap_like_unsigned_32_bit_numbers():
    counters = [0, 1, 2**31, 2**32 - 2, 2**32 - 1]
    for key in [Key(0, 0), KEY, Key(WORD, WORD)]:
        want = [plain_mix(plain_mix((c + key.k0) & WORD) ^ key.k1) for c in counters]

        got = random_words(key, np.array(counters))

        assert got.dtype == np.uint32
        assert got.tolist() == want


def test_a_word_depends_on_its_counter_only():
    words = random_words(KEY, np.arange(100))

    np.testing.assert_array_equal(random_words(KEY, np.arange(99, -1, -1)), words[::-1])
    np.testing.assert_array_equal(random_words(KEY, np.arange(100).reshape(4, 25)).ravel(), words)


def test_mix32_loses_nothing():
    assert len(np.unique(mix32(np.arange(2**18)))) == 2**18


def test_a_stream_has_a_key_of_its_own():
    names = list(
        itertools.product(range(4), range(5), range(5), [PERTURB, ROUND, SHUFFLE, CONTRAST])
    )
    assert len({stream_key(*name) for name in names}) == len(names)


def test_stream_key_takes_any_counters():
    for name in [(WORD, 2**40, 10**6, CONTRAST), (0, 0, 0, 0)]:
        key = stream_key(*name)
        assert all(isinstance(k, int) and 0 <= k <= WORD for k in key)


@pytest.mark.parametrize(
    "other", [(7, 1, 0, ROUND), (8, 0, 0, ROUND), (7, 0, 1, ROUND), (7, 0, 0, PERTURB)]
)
def test_adjacent_streams_do_not_share_words(other):
    """Under XOR with the raw step two adjacent streams had half of their words in common."""
    counter = np.arange(2**15)
    one, two = (random_words(stream_key(*name), counter) for name in [(7, 0, 0, ROUND), other])

    assert len(np.intersect1d(one, two)) <= 4  # 0.25 expected by chance
    bits = np.unpackbits((one ^ two).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 4 * 0.5 / np.sqrt(bits.size)


def test_random_signs_are_the_bits_of_the_words_row_by_row():
    rows, columns = 3, 71
    words = -(-columns // 32)

    signs = random_signs(KEY, rows, columns)

    assert signs.dtype == np.int8
    for row, column in np.ndindex(rows, columns):
        word = int(random_words(KEY, np.array(row * words + column // 32)))
        assert signs[row, column] == 1 - 2 * (word >> column % 32 & 1)


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 64])
def test_random_signs_of_any_width(columns):
    assert random_signs(KEY, 2, columns).shape == (2, columns)
    np.testing.assert_array_equal(
        random_signs(KEY, 1, 64)[:, :columns], random_signs(KEY, 1, columns)
    )


def test_random_signs_are_balanced_and_independent():
    signs = random_signs(stream_key(1, 2, 3, PERTURB), 512, 512).astype(np.int64)

    assert abs(signs.sum()) < 4 * 512
    products = signs @ signs.T
    np.fill_diagonal(products, 0)
    assert abs(products).max() < 6 * np.sqrt(512)


@pytest.mark.parametrize("bound", [1, 2, 10, 2**31 - 1])
def test_random_below_is_uniform(bound):
    drawn = random_below(KEY, np.arange(2**14), bound)

    assert drawn.min() >= 0
    assert drawn.max() < bound
    assert abs(drawn.mean() - (bound - 1) / 2) <= 4 * bound / np.sqrt(12 * 2**14)


def test_permutation_is_one():
    for count in [0, 1, 2, 1000]:
        assert sorted(permutation(KEY, count).tolist()) == list(range(count))
    assert permutation(KEY, 1000).tolist() != permutation(Key(3, 4), 1000).tolist()
    places = np.stack([permutation(stream_key(5, e, 0, SHUFFLE), 8) for e in range(2000)])
    assert abs(places.mean(axis=0) - 3.5).max() < 4 * np.sqrt(63 / 12 / 2000)
