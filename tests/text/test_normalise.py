import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavejit.text.fold import fold
from wavejit.text.normalise import normalise
from wavejit.text.numbers import cardinal, ordinal, roman, year

with (Path(__file__).parent / "normalisation.tsv").open(encoding="utf-8", newline="") as table:
    CASES = [(row["text"], row["words"]) for row in csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE)]


def test_there_are_two_hundred_cases():
    assert len({text for text, _ in CASES}) >= 200


@pytest.mark.parametrize(("text", "words"), CASES, ids=[text for text, _ in CASES])
def test_words(text: str, words: str):
    assert normalise(text).text == words


@given(st.text(max_size=200))
def test_any_text_becomes_words_and_signs(text: str):
    found = normalise(text).text
    assert not set(found) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz' ,;:.!?…—()\"-")


@given(st.text("0123456789.,-/:$£€%°#@ apmCFkst", max_size=40))
def test_no_digit_is_left(text: str):
    assert not any(sign.isdigit() for sign in normalise(text).text)


@given(st.integers(0, 10**36 - 1))
def test_a_cardinal_says_its_number(number: int):
    values = {cardinal(str(n)): n for n in (*range(20), *range(20, 100, 10))}
    scales = (
        "thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion"
    )
    total = group = 0
    for word in cardinal(str(number)).split():
        if word == "hundred":
            group *= 100
        elif word in scales.split():
            total, group = total + group * 1000 ** (scales.split().index(word) + 1), 0
        else:
            group += values[word]
    assert total + group == number


def test_numbers():
    assert cardinal("1" * 40) == " ".join(["one"] * 40)
    assert [ordinal(n) for n in ("1", "12", "20", "1000")] == ["first", "twelfth", "twentieth", "one thousandth"]
    assert [year(y) for y in ("1500", "2000", "2010")] == ["fifteen hundred", "two thousand", "twenty ten"]
    assert [roman(n) for n in ("IV", "IIII", "MCMXC", "XQ", "")] == [4, 0, 1990, 0, 0]


def test_what_has_no_sound_is_noted():
    assert fold("naïve 😀 привет") == ("naive         ", ("left out, no English sound: 😀 п р и в е т",))
    assert normalise("Only words.").notes == ()
