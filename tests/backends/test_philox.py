"""Philox 4x32-10 in Python against the vectors that Random123 publishes (its file kat_vectors)."""

import pytest

from wavejit.backends.philox import philox, uniforms

Words = tuple[int, ...]

KNOWN_ANSWERS: list[tuple[Words, Words, Words]] = [
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(counter: Words, key: Words, answer: Words) -> None:
    c0, c1, c2, c3 = counter
    assert philox((c0, c1, c2, c3), (key[0], key[1])) == answer


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_uniforms_are_the_high_24_bits(counter: Words, key: Words, answer: Words) -> None:
    index, seed = counter[0] | counter[1] << 32, key[0] | key[1] << 32
    u, v = uniforms(index, counter[2], seed, counter[3])
    assert (u, v) == ((answer[0] >> 8) / 2**24, (answer[1] >> 8) / 2**24)
    assert 0 <= u < 1
    assert 0 <= v < 1


def test_each_argument_counts() -> None:
    base = [5, 1, 7, 3]
    drawn = {uniforms(5, 1, 7, 3)}
    for place in range(4):
        for step in (1, 1 << 31, 1 << 33):
            if step >= 1 << 32 and place in (1, 3):
                continue  # a draw's number and a stream's have 32 bits
            arguments = list(base)
            arguments[place] += step
            index, number, seed, stream = arguments
            drawn.add(uniforms(index, number, seed, stream))
    assert len(drawn) == 1 + 2 * 3 + 2 * 2
