import csv
from pathlib import Path

import pytest

from wavejit.text.spoken import utterance

with (Path(__file__).parent / "homographs.tsv").open(encoding="utf-8", newline="") as table:
    CASES = [(row["word"], row["phonemes"], row["text"]) for row in csv.DictReader(table, delimiter="\t")]


@pytest.mark.parametrize(("word", "phonemes", "text"), CASES, ids=[f"{case[0]}: {case[2]}" for case in CASES])
def test_reading(word: str, phonemes: str, text: str):
    (sentence,) = utterance(text)
    found = [" ".join(one.phonemes) for one in sentence.words if one.text == word]
    assert found == [phonemes]
