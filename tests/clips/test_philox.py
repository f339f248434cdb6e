import math

import numpy as np
import pytest
import twins
from numba import njit

from skelpipe.clips.philox import _direction, _radius, normals2, philox4x32, uniforms
from skelpipe.errors import BadInput


@njit
def words(counter, key):
    return philox4x32(counter[0], counter[1], counter[2], counter[3], key[0], key[1])


@njit
def many_normals(n, k0, k1):
    out = np.empty((n, 4), np.float32)
    for i in range(n):
        w0, w1, w2, w3 = philox4x32(np.uint32(i), np.uint32(0), np.uint32(0), np.uint32(0), k0, k1)
        out[i, :2] = normals2(w0, w1, np.float32(1))
        out[i, 2:] = normals2(w2, w3, np.float32(1))
    return out


PI = ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0])


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([twins.MASK] * 4, [twins.MASK] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (*PI, [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ],
)
def test_known_answers_of_random123(counter, key, expected):
    assert list(words(np.array(counter, np.uint32), np.array(key, np.uint32))) == expected
    assert twins.philox(counter, key) == expected


def test_uniforms_equal_the_twin_and_do_not_depend_on_the_batch():
    clips = np.array([7, 0, 4294967295, 56577])
    got = uniforms(11, 3, clips, 2, 5, 7)
    assert got.tolist() == [twins.uniforms(11, 3, int(c), 2, 5, 7) for c in clips]
    np.testing.assert_array_equal(uniforms(11, 3, clips[3:], 2, 5, 7), got[3:])
    np.testing.assert_array_equal(uniforms(11, 3, clips, 2, 5, 3), got[:, :3])


def test_every_part_of_key_and_counter_matters():
    base = (1, 2, np.arange(3), 4, 5, 6)
    changed = [uniforms(*base[:i], base[i] + 1, *base[i + 1 :]) for i in (0, 1, 3, 4)]
    for some in changed:
        assert not np.isin(some, uniforms(*base)).any()


def test_uniforms_are_uniform():
    u = np.sort(uniforms(0, 0, np.arange(20_000), 0, 0, 5).ravel())
    n = len(u)
    assert u[0] >= 0
    assert u[-1] < 1
    distance = np.abs(u - (np.arange(n) + 0.5) / n).max()  # Kolmogorov-Smirnov: 1.95 / sqrt(n) has p = 0.001
    assert distance < 1.95 / math.sqrt(n)
    assert abs(np.corrcoef(uniforms(0, 0, np.arange(20_000), 0, 0, 2).T)[0, 1]) < 4 / math.sqrt(20_000)


def test_normals_equal_the_twin():
    got = many_normals(200, np.uint32(5), np.uint32(9)).T.ravel()
    np.testing.assert_allclose(got, twins.normals(800, (5, 9)), atol=3e-6)


@njit
def polar(words):
    radius, direction = np.empty(len(words), np.float32), np.empty((len(words), 2), np.float32)
    for i in range(len(words)):
        radius[i] = _radius(words[i])
        direction[i] = _direction(words[i])
    return radius, direction


def test_logarithm_sine_and_cosine_are_right_to_the_last_bits():
    """From what a word becomes in float32, against float64: half a unit of the last place is 6e-8."""
    some = np.random.default_rng(0).integers(0, 2**32, 200_000, dtype=np.uint32)
    word = np.concatenate([some, 2 ** np.arange(32, dtype=np.uint32), np.array([0, 3, 2**31 - 1], np.uint32)])
    radius, direction = polar(word)
    u = (((word >> 1).astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-31)).astype(np.float64)
    np.testing.assert_allclose(radius, np.sqrt(-2 * np.log(u)), rtol=2e-7)
    rest = (word << np.uint32(2)).view(np.int32).astype(np.float32) * np.float32(math.pi / 2**33)
    angle = (word >> 30) * (math.pi / 2) + rest.astype(np.float64)
    np.testing.assert_allclose(direction, np.c_[np.cos(angle), np.sin(angle)], atol=1.5e-7)


def cdf(x):
    return np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])


def test_normals_are_normal():
    x = np.sort(many_normals(100_000, np.uint32(1), np.uint32(2)).ravel().astype(np.float64))
    n = len(x)
    assert abs(x.mean()) < 4 / math.sqrt(n)
    assert abs(x.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs((x**3).mean()) < 4 * math.sqrt(15 / n)
    assert abs((x**4).mean() - 3) < 4 * math.sqrt(96 / n)
    some = x[:: n // 2000]
    assert np.abs(cdf(some) - np.arange(0, n, n // 2000) / n).max() < 1.95 / math.sqrt(n) + 1 / n
    four = many_normals(100_000, np.uint32(1), np.uint32(2))
    assert np.abs(np.corrcoef(four.T) - np.eye(4)).max() < 4 / math.sqrt(len(four))
    assert np.abs(np.corrcoef((four**2).T) - np.eye(4)).max() < 4 / math.sqrt(len(four))


def test_the_tails_are_those_of_the_normal_distribution():
    x = many_normals(2_000_000, np.uint32(3), np.uint32(4)).ravel()
    n = len(x)
    for far in (3, 4, 4.5, 5):
        expected = n * float(cdf([-far])[0])
        for count in ((x > far).sum(), (x < -far).sum()):
            assert abs(count - expected) < 4 * math.sqrt(expected) + 1
    assert 5 < np.abs(x).max() < 6.67  # of 31 bits


@pytest.mark.parametrize("change", [{"seed": -1}, {"epoch": 2**32}, {"clip_ids": np.array([-1])}, {"view": 2**40}])
def test_numbers_beyond_32_bits_are_refused(change):
    given = {"seed": 0, "epoch": 0, "clip_ids": np.array([0]), "view": 0, "slot": 0, "count": 1, **change}
    with pytest.raises(BadInput, match=next(iter(change))):
        uniforms(**given)


def test_the_number_that_does_not_fit_is_told():
    for low, high, told in ((0, 2**32, 4294967296), (-7, 2**40, -7), (-1, 5, -1)):
        with pytest.raises(BadInput, match=f"^clip_ids: {told} does not fit"):
            uniforms(0, 0, np.array([low, high]), 0, 0, 1)


def test_no_clips_no_numbers():
    assert uniforms(0, 0, np.empty(0, int), 0, 0, 3).shape == (0, 3)
