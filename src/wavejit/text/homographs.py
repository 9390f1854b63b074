"""Words that are written alike and said in two ways, told apart by the words around them.

Each has a usual reading and one other, with the neighbours that speak for it. Pairs of noun and verb share one rule:
`to`, a pronoun or an auxiliary before the word makes a verb, an article or a preposition a noun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavejit.text.lexicon import Pronunciation


def _said(phonemes: str) -> Pronunciation:
    return tuple(phonemes.split())


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_AUXILIARIES = _words(
    "to will would can could should may might must shall cannot can't won't wouldn't couldn't shouldn't mustn't don't"
    " didn't doesn't do does did let's please i'll you'll we'll they'll he'll she'll it'll i'd you'd we'd they'd he'd"
    " she'd not never always also"
)
_SUBJECTS = _words("i you we they who people he she it")
_DETERMINERS = _words(
    "a an the my your his her its our their this that these those some any no each every another of in on with by for"
    " from at under about into without new old good great small big first second third last next one two three public"
    " world track broken whose"
)
_PERFECT = _words(
    "have has had having i've you've we've they've haven't hasn't hadn't be been being is are was were isn't"
)
_PLURALS = _words("they people children women these those then good worth must")
_LONG_AGO = _words("yesterday already earlier ago before once last")


@dataclass(frozen=True)
class _Stress:
    """Said as a noun or adjective, or as a verb."""

    noun: Pronunciation
    verb: Pronunciation
    usual: str = "noun"


@dataclass(frozen=True)
class _Company:
    """Said as `usual`, but as `other` in the company of certain words.

    Attributes:
        before: words directly before it that speak for `other`; `after`, directly after it.
        near: words anywhere within `REACH`.
        against: words directly before it that forbid `other`.
    """

    usual: Pronunciation
    other: Pronunciation
    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()
    against: frozenset[str] = frozenset()


REACH = 5  # words to either side


def _stress(noun: str, verb: str, usual: str = "noun") -> _Stress:
    return _Stress(_said(noun), _said(verb), usual)


_TABLE: dict[str, _Stress | _Company] = {
    "record": _stress("R EH1 K ER0 D", "R IH0 K AO1 R D"),
    "records": _stress("R EH1 K ER0 D Z", "R IH0 K AO1 R D Z"),
    "present": _stress("P R EH1 Z AH0 N T", "P R IY0 Z EH1 N T"),
    "presents": _stress("P R EH1 Z AH0 N T S", "P R IY0 Z EH1 N T S"),
    "object": _stress("AA1 B JH EH0 K T", "AH0 B JH EH1 K T"),
    "objects": _stress("AA1 B JH EH0 K T S", "AH0 B JH EH1 K T S"),
    "project": _stress("P R AA1 JH EH0 K T", "P R AH0 JH EH1 K T"),
    "projects": _stress("P R AA1 JH EH0 K T S", "P R AH0 JH EH1 K T S"),
    "subject": _stress("S AH1 B JH IH0 K T", "S AH0 B JH EH1 K T"),
    "content": _stress("K AA1 N T EH0 N T", "K AH0 N T EH1 N T"),
    "contract": _stress("K AA1 N T R AE2 K T", "K AH0 N T R AE1 K T"),
    "contracts": _stress("K AA1 N T R AE2 K T S", "K AH0 N T R AE1 K T S"),
    "contest": _stress("K AA1 N T EH0 S T", "K AH0 N T EH1 S T"),
    "contrast": _stress("K AA1 N T R AE0 S T", "K AH0 N T R AE1 S T"),
    "conduct": _stress("K AA1 N D AH0 K T", "K AH0 N D AH1 K T"),
    "conflict": _stress("K AA1 N F L IH0 K T", "K AH0 N F L IH1 K T"),
    "convict": _stress("K AA1 N V IH0 K T", "K AH0 N V IH1 K T"),
    "convert": _stress("K AA1 N V ER0 T", "K AH0 N V ER1 T", "verb"),
    "refuse": _stress("R EH1 F Y UW2 Z", "R AH0 F Y UW1 Z", "verb"),
    "permit": _stress("P ER1 M IH2 T", "P ER0 M IH1 T"),
    "permits": _stress("P ER1 M IH2 T S", "P ER0 M IH1 T S"),
    "desert": _stress("D EH1 Z ER0 T", "D IH0 Z ER1 T"),
    "rebel": _stress("R EH1 B AH0 L", "R IH0 B EH1 L"),
    "reject": _stress("R IY1 JH EH0 K T", "R IH0 JH EH1 K T", "verb"),
    "suspect": _stress("S AH1 S P EH2 K T", "S AH0 S P EH1 K T"),
    "produce": _stress("P R OW1 D UW0 S", "P R AH0 D UW1 S", "verb"),
    "progress": _stress("P R AA1 G R EH2 S", "P R AH0 G R EH1 S"),
    "protest": _stress("P R OW1 T EH2 S T", "P R AH0 T EH1 S T"),
    "increase": _stress("IH1 N K R IY2 S", "IH0 N K R IY1 S"),
    "decrease": _stress("D IY1 K R IY2 S", "D IH0 K R IY1 S"),
    "import": _stress("IH1 M P AO2 R T", "IH0 M P AO1 R T"),
    "export": _stress("EH1 K S P AO2 R T", "IH0 K S P AO1 R T"),
    "insult": _stress("IH1 N S AH2 L T", "IH0 N S AH1 L T"),
    "upset": _stress("AH1 P S EH2 T", "AH0 P S EH1 T", "verb"),
    "perfect": _stress("P ER1 F IH2 K T", "P ER0 F EH1 K T"),
    "use": _stress("Y UW1 S", "Y UW1 Z", "verb"),
    "uses": _stress("Y UW1 S IH0 Z", "Y UW1 Z IH0 Z", "verb"),
    "abuse": _stress("AH0 B Y UW1 S", "AH0 B Y UW1 Z"),
    "excuse": _stress("IH0 K S K Y UW1 S", "IH0 K S K Y UW1 Z", "verb"),
    "house": _stress("HH AW1 S", "HH AW1 Z"),
    "estimate": _stress("EH1 S T AH0 M AH0 T", "EH1 S T AH0 M EY2 T"),
    "separate": _stress("S EH1 P ER0 IH0 T", "S EH1 P ER0 EY2 T"),
    "graduate": _stress("G R AE1 JH AH0 W AH0 T", "G R AE1 JH AH0 W EY2 T"),
    "deliberate": _stress("D IH0 L IH1 B ER0 AH0 T", "D IH0 L IH1 B ER0 EY2 T"),
    "moderate": _stress("M AA1 D ER0 AH0 T", "M AA1 D ER0 EY2 T"),
    "associate": _stress("AH0 S OW1 S IY0 AH0 T", "AH0 S OW1 S IY0 EY2 T", "verb"),
    "wind": _Company(
        _said("W IH1 N D"), _said("W AY1 N D"), _AUXILIARIES | _SUBJECTS, _words("up down"), against=_DETERMINERS
    ),
    "lead": _Company(
        *(_said("L IY1 D"), _said("L EH1 D")),
        after=_words(
            "pipe pipes paint poisoning pencil pencils bullet bullets acid weight weights balloon mine oxide ore"
        ),
        near=_words("copper zinc mercury metal tin melted molten"),
    ),
    "live": _Company(
        *(
            _said("L IH1 V"),
            _said("L AY1 V"),
            _words("broadcast streamed streaming recorded performed performing went going"),
        ),
        _words(
            "music show shows concert broadcast tv television audience performance performances stream coverage wire"
            " wires event events action animals bait band recording feed chat album from on at television radio news"
        ),
        against=_AUXILIARIES | _SUBJECTS,
    ),
    "lives": _Company(
        _said("L IH1 V Z"),
        _said("L AY1 V Z"),
        _DETERMINERS | _words("save saves saved lose lost many nine"),
        against=_SUBJECTS,
    ),
    "tear": _Company(
        *(_said("T EH1 R"), _said("T IH1 R"), frozenset(), _words("gas drop drops duct ducts stain stained")),
        _words("eye eyes cry cried crying cheek shed wept wiped rolled sad face single"),
    ),
    "tears": _Company(
        _said("T IH1 R Z"), _said("T EH1 R Z"), _SUBJECTS | {"that"}, _words("up down apart away off through")
    ),
    "bow": _Company(
        *(_said("B AW1"), _said("B OW1"), frozenset(), _words("tie ties and")),
        _words("arrow arrows violin cello string strings ribbon hair hunter hunting gift cross ponytail"),
    ),
    "dove": _Company(_said("D AH1 V"), _said("D OW1 V"), _words("he she they i we it who then"), _words("into in off")),
    "bass": _Company(
        _said("B EY1 S"), _said("B AE1 S"), near=_words("fish fishing lake caught river sea trout pond striped")
    ),
    "minute": _Company(
        *(_said("M IH1 N AH0 T"), _said("M AY0 N UW1 T"), _words("very so extremely most")),
        _words(
            "amount amounts detail details quantity quantities difference differences particle particles trace traces"
        ),
    ),
    "wound": _Company(
        _said("W UW1 N D"),
        _said("W AW1 N D"),
        _SUBJECTS | _PERFECT,
        _words("up down around round through itself tight tightly"),
    ),
    "close": _Company(
        *(
            _said("K L OW1 Z"),
            _said("K L OW1 S"),
            _words("very so too how that is are was were be been get got came come stay"),
        ),
        _words("to friend friends by enough together call relationship attention look range behind relative up ties"),
        against=_words("to will would can could should must please i'll don't not didn't let's you we they i"),
    ),
    "invalid": _Company(
        _said("IH0 N V AE1 L AH0 D"), _said("IH1 N V AH0 L AH0 D"), near=_words("bed wheelchair nurse bedridden")
    ),
    "sow": _Company(_said("S OW1"), _said("S AW1"), near=_words("pig pigs piglets boar farrowing")),
}
_READ, _READ_PAST = _said("R IY1 D"), _said("R EH1 D")


def read_homograph(word: str, before: Sequence[str], after: Sequence[str]) -> Pronunciation | None:
    """How `word` is said between the words `before` and `after` it (small letters); None where it is no homograph."""
    if word == "read":
        return _read(before, after)
    rule = _TABLE.get(word)
    last = before[-1] if before else ""
    follows = after[0] if after else ""
    match rule:
        case None:
            return None
        case _Stress():
            return _noun_or_verb(rule, word, last, follows, bool(before))
        case _Company():
            if last in rule.against:
                return rule.usual
            company = {*before[-REACH:], *after[:REACH]}
            other = last in rule.before or follows in rule.after or not company.isdisjoint(rule.near)
            return rule.other if other else rule.usual


def _noun_or_verb(rule: _Stress, word: str, last: str, follows: str, inside: bool) -> Pronunciation:
    if word == "content":
        # The adjective has the verb's sound: `she is content with it`.
        return rule.verb if last in _PERFECT | {"very", "quite", "more", "to"} or follows == "with" else rule.noun
    if last in _AUXILIARIES or last in _SUBJECTS:
        return rule.verb
    if last in _DETERMINERS:
        return rule.noun
    if not inside and follows in _words("the a an your my his her it them this that these those all"):
        return rule.verb  # an imperative begins the sentence
    return rule.verb if rule.usual == "verb" else rule.noun


def _read(before: Sequence[str], after: Sequence[str]) -> Pronunciation:
    near = list(before[-3:])
    last = near[-1] if near else ""
    if last in _AUXILIARIES - {"not", "never", "always", "also"}:
        return _READ
    if not _PERFECT.isdisjoint(near) or not _LONG_AGO.isdisjoint((*before, *after)):
        return _READ_PAST
    # With `he` or one name the present is `reads`.
    one = last in ("he", "she", "it", "never") or (len(last) > 3 and last not in _PLURALS and not last.endswith("s"))
    return _READ_PAST if one else _READ
