"""Random numbers by counting: Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011).

A generator without state: 128 bits of counter and 64 bits of key give 128 random bits. The key is (seed, epoch) and the
counter (block, slot, view, clip), so every view of every clip can be drawn alone, and no number depends on threads,
workers, or on which clips share a batch. What is drawn for every number of a clip stands here twice: as kernels for
CPUs, and in torch for clips that lie on a device; both count alike.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.errors import BadInput
from skelpipe.kernels import compiled, inlined

WORD = 2**32

_U = np.uint32
_I = np.int32
_F = np.float32
_WIDE = np.uint64
FACTORS, BUMPS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)
_MULTIPLY_0, _MULTIPLY_1 = np.uint64(FACTORS[0]), np.uint64(FACTORS[1])
_SIGN = np.uint32(0x80000000)
_BUMP_0, _BUMP_1 = np.uint32(BUMPS[0]), np.uint32(BUMPS[1])


def uniforms(
    seed: int, epoch: int, clip_ids: npt.NDArray[np.integer], view: int, slot: int, count: int
) -> npt.NDArray[np.float64]:
    """Draw `count` uniform numbers in [0, 1) for every clip, (B, count) float64 with 53 random bits each.

    Args:
        seed, epoch: the key.
        clip_ids: (B,) the clips' own numbers (not their places in a batch).
        view: which augmented copy of the clip.
        slot: which draw of that view.

    Raises:
        BadInput: a number is outside 0..2**32 - 1.
    """
    clip_ids = np.asarray(clip_ids)
    for name, value in (("seed", seed), ("epoch", epoch), ("view", view), ("slot", slot)):
        _check_word(name, value, value)
    if len(clip_ids):
        _check_word("clip_ids", int(clip_ids.min()), int(clip_ids.max()))
    out = np.empty((len(clip_ids), count))
    _fill(_U(seed), _U(epoch), clip_ids.astype(_U), _U(view), _U(slot), out)
    return out


def _check_word(name: str, low: int, high: int) -> None:
    if low < 0 or high >= WORD:
        raise BadInput(name, f"{low if low < 0 else high} does not fit 32 bits", "use a number from 0 to 4294967295")


# c0..c3: the counter; k0, k1: the key; returns four random 32-bit words
@inlined
def philox4x32(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Ten rounds of Philox on uint32 words."""
    for _ in range(10):
        product_0 = _MULTIPLY_0 * _WIDE(c0)
        product_1 = _MULTIPLY_1 * _WIDE(c2)
        c0, c1, c2, c3 = (
            _U(product_1 >> _WIDE(32)) ^ c1 ^ k0,
            _U(product_1),
            _U(product_0 >> _WIDE(32)) ^ c3 ^ k1,
            _U(product_0),
        )
        k0 = _U(k0 + _BUMP_0)
        k1 = _U(k1 + _BUMP_1)
    return c0, c1, c2, c3


# clip_ids (B,) uint32; out (B, count) float64
@compiled
def _fill(seed, epoch, clip_ids, view, slot, out):  # type: ignore[no-untyped-def]
    batch, count = out.shape
    for b in range(batch):
        for block in range((count + 1) // 2):
            w0, w1, w2, w3 = philox4x32(_U(block), slot, view, clip_ids[b], seed, epoch)
            out[b, 2 * block] = _to_unit(w0, w1)
            if 2 * block + 1 < count:
                out[b, 2 * block + 1] = _to_unit(w2, w3)


# high, low: 27 and 26 of their bits make the 53 of a float64 in [0, 1)
@inlined
def _to_unit(high, low):  # type: ignore[no-untyped-def]
    return (_WIDE(high >> _U(5)) * 67108864.0 + _WIDE(low >> _U(6))) * 2.0**-53


@inlined
def normals2(first, second, std):  # type: ignore[no-untyped-def]
    """Two independent normals of deviation `std`, float32, from two words (Box and Muller 1958).

    Without calls into the C library, so that LLVM turns a loop over words into vector code.
    """
    radius = std * _radius(first)
    x, y = _direction(second)
    return radius * x, radius * y


# sqrt(-2 ln u), u = (word // 2 + 1/2) / 2**31: of 31 bits, because only signed words become floats in one instruction;
# ln by exponent and 2 atanh(s), s = (m - 1) / (m + 1), m in [0.707, 1.414)
@inlined
def _radius(word):  # type: ignore[no-untyped-def]
    u = (_F(_I(word >> _U(1))) + _F(0.5)) * _F(2.0**-31)
    # Adding the distance from sqrt(1/2) to 1 moves the break between two exponents from 1 to sqrt(1/2).
    bits = _I(np.float32(u).view(_I) + _I(0x004AFB0D))
    exponent = _I(_I(bits >> _I(23)) - _I(127))
    m = np.int32(_I(bits & _I(0x007FFFFF)) + _I(0x3F3504F3)).view(_F)
    s = (m - _F(1)) / (m + _F(1))
    z = s * s
    series = _F(1) + z * (_F(1 / 3) + z * (_F(1 / 5) + z * (_F(1 / 7) + z * _F(1 / 9))))
    log = _F(exponent) * _F(math.log(2)) + _F(2) * s * series
    return np.sqrt(max(_F(-2) * log, _F(0)))


# (cos, sin) of a uniform angle: the two top bits choose one of four axes, the rest an angle of -pi/4..pi/4 to it. The
# odd axes change cosine with sine, the second and third turn the cosine's sign, the third and fourth the sine's
@inlined
def _direction(word):  # type: ignore[no-untyped-def]
    angle = _F(_I(_U(word << _U(2)))) * _F(math.pi / 2**33)
    z = angle * angle
    cos = _F(1) + z * (_F(-1 / 2) + z * (_F(1 / 24) + z * (_F(-1 / 720) + z * _F(1 / 40320))))
    sin = angle * (_F(1) + z * (_F(-1 / 6) + z * (_F(1 / 120) + z * (_F(-1 / 5040) + z * _F(1 / 362880)))))
    x, y = (sin, cos) if word & _U(0x40000000) else (cos, sin)
    x_sign, y_sign = (word ^ (word << _U(1))) & _SIGN, word & _SIGN
    return _signed(x, x_sign), _signed(y, y_sign)


# value, its sign turned where the sign bit is set
@inlined
def _signed(value, sign):  # type: ignore[no-untyped-def]
    return _I(_F(value).view(_I) ^ _I(sign)).view(_F)


# In torch -----------------------------------------------------------------------------------------------------------


def normals_of(keys: Tensor, count: int) -> Tensor:
    """Of each key `count` normals of deviation 1, (B, count) float32: those that the kernels draw, within rounding.

    Args:
        keys: (B, 2) int64, words of 32 bits.
    """
    quarter = (count + 3) // 4
    counter = torch.arange(quarter, device=keys.device).expand(len(keys), quarter)
    w0, w1, w2, w3 = words_of(counter, keys[:, :1], keys[:, 1:])
    found = [*_pair_of(w0, w1), *_pair_of(w2, w3)]
    return torch.cat(found, dim=1)[:, :count]


def words_of(counter: Tensor, k0: Tensor, k1: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ten rounds of Philox on the counters (counter, 0, 0, 0): four words each, int64 of 0..2**32 - 1.

    Args:
        counter, k0, k1: int64 of 0..2**32 - 1, whose shapes broadcast.
    """
    c0, c1 = counter, torch.zeros_like(counter)
    c2, c3 = c1, c1
    for _ in range(10):
        high_0, low_0 = _product_of(FACTORS[0], c0)
        high_1, low_1 = _product_of(FACTORS[1], c2)
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0, k1 = (k0 + BUMPS[0]) % WORD, (k1 + BUMPS[1]) % WORD
    return c0, c1, c2, c3


# the product of two words, high and low; by halves of the factor, so that nothing leaves the 63 bits of an int64
def _product_of(factor: int, word: Tensor) -> tuple[Tensor, Tensor]:
    low, high = word * (factor & 0xFFFF), word * (factor >> 16)
    high = high + (low >> 16)
    return high >> 16, (high & 0xFFFF) << 16 | low & 0xFFFF


# _radius and _direction for tensors of words
def _pair_of(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    u = ((first >> 1).float() + 0.5) * 2.0**-31
    radius = (-2 * u.log()).clamp(min=0).sqrt()
    rest = second << 2 & 0xFFFFFFFF
    angle = torch.where(rest >= 2**31, rest - WORD, rest).float() * (math.pi / 2**33)
    cos, sin, odd = angle.cos(), angle.sin(), second & 0x40000000 != 0
    x, y = torch.where(odd, sin, cos), torch.where(odd, cos, sin)
    x = torch.where((second ^ second << 1) & 0x80000000 != 0, -x, x)
    y = torch.where(second & 0x80000000 != 0, -y, y)
    return radius * x, radius * y
