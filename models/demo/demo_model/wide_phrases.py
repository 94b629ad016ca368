"""Training wordings made of parts: many more than anyone would write one by one.

Guarantee: the same phrases at every import, none of them equal to a held-out phrase in its
words, whatever the capitals and marks.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from random import Random

from demo_model.phrases import HELD_OUT, TRAIN, PhraseSet

# fmt: off
_SURNAMES = (
    "Taylor", "Wilson", "Davies", "Evans", "Thomas", "Roberts", "Walker", "Wright", "Hall",
    "Green", "Wood", "Clarke", "Hughes", "Edwards", "Turner", "Moore", "Cooper", "Ward",
    "Morris", "Cook", "Bell", "Baker", "Patel", "Singh", "Ahmed", "Chen", "Wang", "Kim",
    "Nguyen", "Silva", "Santos", "Costa", "Lopez", "Cruz", "Meyer", "Wagner", "Becker",
    "Hoffmann", "Koch", "Bauer", "Klein", "Schulz", "Huber", "Keller", "Frei", "Dubois",
    "Martin", "Petit", "Leroy", "Moreau", "Bianchi", "Conti", "Greco", "Bruno", "Jansen",
    "Visser", "Bakker", "de Vries", "van Dijk", "Larsen", "Hansen", "Olsen", "Berg", "Lund",
    "Virtanen", "Korhonen", "Kowalski", "Nowak", "Horvat", "Kovacs", "Popescu", "Ivanova",
    "Petrov", "Yilmaz", "Kaya", "Demir", "Haddad", "Hassan", "Osman", "Okafor", "Mensah",
    "Diallo", "Tanaka", "Sato", "Suzuki", "O'Neill", "Murphy", "Kelly", "Byrne", "McKay",
    "Fraser", "Reid", "Grant", "X", "A.", "B.", "J. K.", "S.", "P. T.", "N.N.",
)
# fmt: on
# Words that change nothing; a phrase in unseen words is read better by who has learnt to skip some.
_IDLE = (
    *("there", "quite", "again", "apparently", "roughly", "initially", "only", "just", "about"),
    *("overall", "here", "thus", "also", "indeed", "really", "probably", "usually", "per device"),
    *("as usual", "on repeat", "for now", "at first", "by now", "as said", "in fact", "meanwhile"),
    *("to be precise", "reportedly", "likely", "simply", "fairly", "rather", "as seen", "perhaps"),
)
_PATTERNS = Path(__file__).with_suffix(".txt")
# How many are made for each kind, and for how many of them the hand-written ones count.
_MADE = 2500
_BY_HAND = 1000

_CHOICE = re.compile(r"<([^<>]*)>")
_SLOT = re.compile(r"(\{\w+\})")
_BEFORE = (
    *("Also ", "And ", "Note ", "NB ", "NB: ", "- "),
    *("* ", "Further: ", "Plus ", "then ", "(", "> "),
)


def _read_patterns(path: Path) -> dict[str, list[str]]:
    """The patterns of each kind; the file itself says how it is written."""
    patterns: dict[str, list[str]] = {}
    kind: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("    "):
            kind[-1] += line[4:]
        elif line.startswith("["):
            kind = patterns.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("# "):
            kind.append(line)
    return patterns


def plain_words(phrase: str) -> str:
    """The words and slots of a phrase, without capitals and marks."""
    return " ".join(re.findall(r"[a-z0-9]+|\{\w+\}", phrase.lower()))


def _mistyped(rng: Random, text: str) -> str:
    """The text with one letter lost, doubled or swapped, never inside a slot."""
    parts = _SLOT.split(text)
    long = [i for i, part in enumerate(parts) if not part.startswith("{") and len(part) > 5]
    if not long:
        return text
    i = rng.choice(long)
    part, at = parts[i], rng.randrange(1, len(parts[i]) - 1)
    pair = part[at : at + 2]
    if not pair.isalpha():
        return text
    parts[i] = part[:at] + rng.choice((pair[::-1], pair[0], pair[0] + pair)) + part[at + 2 :]
    return "".join(parts)


def _padded(rng: Random, text: str) -> str:
    """The text with one idle word more, at a space outside its slots."""
    spaces = [i for i, sign in enumerate(text) if sign == " "]
    if not spaces:
        return text
    at = rng.choice(spaces)
    return f"{text[:at]} {rng.choice(_IDLE)}{text[at:]}"


def _cased(rng: Random, text: str) -> str:
    """The text in small or, less often, in capital letters, its slots untouched."""
    change = str.lower if rng.random() < 0.75 else str.upper
    return "".join(p if p.startswith("{") else change(p) for p in _SLOT.split(text))


def _make(rng: Random, pattern: str, *, rough: bool) -> str:
    """One phrase of a pattern, a little rough in places, as notes are."""
    text = pattern
    while found := _CHOICE.search(text):
        text = text[: found.start()] + rng.choice(found[1].split("|")) + text[found.end() :]
    while "#" in text:
        text = text.replace("#", str(rng.choice((rng.randint(1, 23), rng.randint(1, 60)))), 1)
    text = re.sub(r" +", " ", text).replace(" ,", ",").strip()
    if rough and rng.random() < 0.05:
        text = rng.choice(_BEFORE) + text
        text += ")" if text.startswith("(") else ""
    if rng.random() < 0.12:
        text = _padded(rng, text)
    if rng.random() < 0.06:
        text = _mistyped(rng, text)
    return _cased(rng, text) if rng.random() < 0.12 else text


def _widened(by_hand: PhraseSet, held_out: PhraseSet) -> PhraseSet:
    """The hand-written phrases, repeated so that they keep their share, and the made ones."""
    rng = Random(20_260_102)
    surnames = by_hand.surnames + tuple(n for n in _SURNAMES if n not in held_out.surnames)
    wide: dict[str, tuple[str, ...]] = {"surnames": surnames}
    everything = {plain_words(p) for f in fields(PhraseSet) for p in getattr(held_out, f.name)}
    for name, patterns in _read_patterns(_PATTERNS).items():
        weights = [len(pattern) ** 0.5 for pattern in patterns]
        rough = name not in ("person", "compact_person", "person_without_age", "vital_signs")
        made = [_make(rng, rng.choices(patterns, weights)[0], rough=rough) for _ in range(_MADE)]
        hand = getattr(by_hand, name)
        kept = tuple(p for p in made if p and plain_words(p) not in everything)
        wide[name] = hand * (_BY_HAND // len(hand)) + kept
    made_without = tuple(
        re.sub(r"[ ,;/=(-]*\{d\}", "", p).rstrip() for p in wide["opening"] if "{c}" in p
    )
    simple = tuple(p for p in made_without if re.search(r"\{c\}\W*$", p) and "(" not in p)
    kept = tuple(p for p in simple if plain_words(p) not in everything)
    hand = by_hand.opening_without_duration
    wide["opening_without_duration"] = hand * (_BY_HAND // len(hand)) + kept
    return replace(by_hand, **wide)


WIDE = _widened(TRAIN, HELD_OUT)
