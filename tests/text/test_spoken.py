from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavejit.errors import InputError
from wavejit.text.phonemes import PAUSE, PHONEMES
from wavejit.text.spoken import LONGEST_SENTENCE, Sentence, utterance

SPOKEN = set(PHONEMES) - {PAUSE}
AWKWARD = st.text(st.sampled_from(list(" \n.,;!?…—-'\"(){}<>&/=#@$%0123456789aAeIstTh😀é你\u200d\x00")), max_size=120)


def texts(sentences: list[Sentence]) -> list[str]:
    return [" ".join(word.text for word in sentence.words) for sentence in sentences]


def read(text: str) -> list[Sentence] | None:
    """None where the text is refused."""
    try:
        return list(utterance(text))
    except InputError:
        return None


@given(st.one_of(st.text(max_size=200), AWKWARD))
@settings(max_examples=60)
def test_any_text_is_said_or_refused(text: str):
    for sentence in read(text) or []:
        assert sentence.words
        assert sentence.kind in ("statement", "question", "exclamation")
        for word in sentence.words:
            assert word.phonemes
            assert set(word.phonemes) <= SPOKEN
            assert 0 <= word.pause_after <= 10


@given(AWKWARD.map(lambda text: f"<speak>{text}</speak>"))
@settings(max_examples=40)
def test_any_document_is_said_or_refused(text: str):
    read(text)


PROSE = (
    'Dr. Smith paid $5.50. "Really?" she asked {R IY1 L IY0} softly.\n\nThen <break time="1s"/> nothing… It ended, '
    "at 7:45 p.m. in the U.S. capital! The end."
)
SSML = '<speak>One, <sub alias="two">2</sub>. <p>Three <phoneme ph="F AO1 R">4</phoneme>?</p> '
SSML += '<break time="1s"/>Five</speak>'


@given(st.sampled_from([PROSE, SSML]), st.lists(st.integers(0, 200), max_size=12))
@settings(max_examples=40)
def test_how_a_text_is_cut_changes_nothing(text: str, cuts: list[int]):
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(ends)]
    assert list(utterance(iter(pieces))) == list(utterance(text))


def test_sentences():
    assert texts(list(utterance(PROSE))) == [
        "doctor smith paid five dollars and fifty cents",
        "really she asked {R IY1 L IY0} softly",
        "then nothing",
        "it ended at seven forty five P M in the U S capital",
        "the end",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes, no.", [0.2, 0.9]),
        ("Yes; no.", [0.3, 0.9]),
        ("Yes: no.", [0.3, 0.9]),
        ("Yes — no.", [0.25, 0.9]),
        ("Yes. No.", [0.45, 0.9]),
        ("Yes! No?", [0.45, 0.9]),
        ("Yes\n\nNo", [0.9, 0.9]),
        ("Yes\nno", [0.0, 0.9]),
        ("Yes (and) no.", [0.15, 0.15, 0.9]),
        ("Yes… no.", [0.4, 0.9]),
        ('Yes <break time="1.5s"/> no.', [1.5, 0.9]),
        ('Yes, <break time="50ms"/> no.', [0.2, 0.9]),
        ("Yes no", [0.0, 0.9]),
    ],
)
def test_pauses(text: str, expected: list[float]):
    assert [word.pause_after for sentence in utterance(text) for word in sentence.words] == expected


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("So. So? So! So", ["statement", "question", "exclamation", "statement"]),
        ('"So?" She left.', ["question", "statement"]),
        ("What?!", ["question"]),
        ("{S OW1}!", ["exclamation"]),
    ],
)
def test_kinds(text: str, kinds: list[str]):
    assert [sentence.kind for sentence in utterance(text)] == kinds


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Mr. J. Smith of St. Louis met Dr. No.", 1),
        ("It rose 3.5 points. Then it fell.", 2),
        ("We sell apples, pears, etc. They are good.", 2),
        ("He lives in the U.S. now.", 1),
        ('"Stop!" he cried.', 1),
        ("See No. 5. No. Never.", 3),
    ],
)
def test_where_sentences_end(text: str, count: int):
    assert len(list(utterance(text))) == count


def test_long_sentences_are_cut_at_commas():
    sentences = list(utterance("one two three four five six seven eight, " * 20))
    assert sum(len(sentence.words) for sentence in sentences) == 160
    assert all(len(sentence.words) <= LONGEST_SENTENCE for sentence in sentences)
    assert all(sentence.words[-1].text == "eight" for sentence in sentences)


def test_paragraphs_of_a_document():
    first, second, third = utterance('<speak><break time="1s"/><p><s>One</s><s>Two</s></p><p>Three</p></speak>')
    silences = [first.pause_before, first.words[-1].pause_after, second.words[-1].pause_after, second.pause_before]
    assert silences == [1.0, 0.45, 0.45, 0.0]
    assert third.pause_before + second.words[-1].pause_after == 0.9


def test_a_text_without_end_is_read_as_it_comes():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield "and so it goes on and "

    sentences = utterance(endless())
    for _ in range(30):
        assert len(next(sentences).words) <= LONGEST_SENTENCE
    assert taken < 400


def test_marks_are_kept_in_the_data():
    (sentence,) = utterance(
        '<speak>A <prosody rate="120%" pitch="+12st">fast</prosody> <say-as interpret-as="characters">b2</say-as> '
        '<say-as interpret-as="digits">107</say-as> <emphasis>dog</emphasis> 😀</speak>'
    )
    assert texts([sentence]) == ["a fast B two one zero seven dog"]
    assert (sentence.words[1].prosody.rate, sentence.words[1].prosody.pitch) == (1.2, 2.0)
    assert sentence.notes == ("<emphasis> changes nothing", "left out, no English sound: 😀")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text has nothing to say"),
        (" ... ", "the text has nothing to say"),
        ("你好", "the text has nothing to say: left out, no English sound: 你 好"),
        ("a {HH XX} b", "{HH XX}: found 'XX', expected phonemes of CMU's ARPAbet, such as HH AH0 L OW1"),
        ("a {} b", "{}: found nothing, expected phonemes of CMU's ARPAbet, such as HH AH0 L OW1"),
        ('a <break time="3"/>', '<break time="3"/>: time is \'3\', expected seconds or milliseconds, such as "500ms"'),
        ("<speak>a", "SSML, line 1, column 9: no element found"),
        ("<speak>\n<s>a</p></speak>", "SSML, line 2, column 7: mismatched tag"),
        ("<speak>&a;</speak>", "SSML, line 1, column 8: undefined entity"),
        ("<speak><sub>a</sub></speak>", "SSML, line 1, column 8: <sub>: has no alias"),
        (
            '<?xml version="1.0"?><!DOCTYPE speak [<!ENTITY a "aaaa">]><speak>&a;</speak>',
            "SSML, line 1, column 38: found a document type, expected none: entities are not expanded",
        ),
        (
            '<speak><prosody rate="quick">a</prosody></speak>',
            "SSML, line 1, column 8: <prosody>: rate is 'quick', expected a percentage or one of "
            "x-slow, slow, medium, default, fast, x-fast",
        ),
    ],
)
def test_what_cannot_be_said_is_one_sentence(text: str, message: str):
    with pytest.raises(InputError) as error:
        list(utterance(text))
    assert str(error.value) == message
