"""Philox 4x32-10: random numbers from a counter, so that a sample's number depends on nothing but its index.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10
MASK = 0xFFFFFFFF


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    """Four random 32-bit words from four words of counter and two of key."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + KEY_STEPS[0]) & MASK, (k1 + KEY_STEPS[1]) & MASK
    return c0, c1, c2, c3


def uniforms(index: int, draw: int, seed: int, stream: int) -> tuple[float, float]:
    """Two numbers in [0, 1), multiples of 2**-24, for one draw.

    Args:
        index: the tick that draws, counted from the stream's start (64 bits).
        draw: which draw of the tick (32 bits).
        seed: 64 bits.
        stream: the stream's number (32 bits).
    """
    a, b, _, _ = philox((index & MASK, index >> 32, draw, stream), (seed & MASK, seed >> 32))
    return (a >> 8) * 2.0**-24, (b >> 8) * 2.0**-24
