"""Synthetic notes, the facts behind them, and the exact answers expected for them.

Guarantee: a note is a pure function of its random generator and phrase set, every number
in an expected answer stands in the note, and a fact that was not written into the note
never appears in the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from demo_model import complaints, phrases
from demo_model.complaints import (
    Vocabulary,
    draw_allergen,
    draw_complaint,
    draw_history,
    draw_medicines,
    draw_plan,
)
from demo_model.phrases import PhraseSet

NO_ALLERGY = "none known"


@dataclass(frozen=True)
class Facts:
    """What one note says; None stands for a fact that the note does not state."""

    age: int | None
    months: bool  # the age counts months, for babies
    sex: str | None  # "male" or "female"
    complaint: str
    duration: str | None  # "for 3 days", "since this morning"
    pain: int | None
    blood_pressure: str | None
    heart_rate: int | None
    breathing_rate: int | None
    temperature: str | None
    saturation: int | None
    weight: int | None
    allergy: str | None  # NO_ALLERGY when the note says that there is none
    history: str | None
    medicines: str | None
    plan: str | None

    @property
    def noun(self) -> str:
        """The plain word for the person: man, girl, patient."""
        child = self.age is not None and (self.months or self.age < 18)
        if self.sex is None:
            return "child" if child else "patient"
        names = ("boy", "girl") if child else ("man", "woman")
        return names[self.sex == "female"]

    @property
    def person(self) -> str:
        """The person as an answer names them: 67-year-old man."""
        if self.age is None:
            return f"{self.noun}, age not stated"
        return f"{self.age}-{'month' if self.months else 'year'}-old {self.noun}"

    @property
    def missing(self) -> list[str]:
        """The facts a reader would look for first and that the note does not state."""
        wanted = {
            "age": self.age,
            "sex": self.sex,
            "duration": self.duration,
            "pain score": self.pain,
            "allergies": self.allergy,
        }
        return [name for name, value in wanted.items() if value is None]


@dataclass(frozen=True)
class Side:
    """One side of the split: the wordings and nouns a note may be written with."""

    phrases: PhraseSet
    words: Vocabulary
    training: bool
    plain: bool = False  # easier notes, which training starts with


TRAINING = Side(phrases.TRAIN, complaints.TRAIN, training=True)
PLAIN = Side(phrases.TRAIN, complaints.TRAIN, training=True, plain=True)
HELD_OUT = Side(phrases.HELD_OUT, complaints.HELD_OUT, training=False)

_UNITS = (("hour", 36), ("day", 14), ("week", 8), ("month", 11), ("year", 9))
_SINCE = (
    "since this morning",
    "since yesterday",
    "since last night",
    "since Monday",
    "since Friday",
    "since last week",
    "since the weekend",
    "since Tuesday",
    "since lunch",
    "since Sunday",
)
_COUNTS = ("two", "three", "four", "five", "six")


def draw_duration(rng: Random) -> str:
    """A duration as an answer repeats it, in figures, in words, or as a starting point."""
    draw = rng.random()
    if draw < 0.22:
        return rng.choice(_SINCE)
    unit, longest = rng.choice(_UNITS)
    if draw < 0.32:
        return f"for {rng.choice(_COUNTS)} {unit}s"
    count = rng.randint(1, longest)
    return f"for {count} {unit}{'' if count == 1 else 's'}"


def draw_facts(rng: Random, side: Side) -> Facts:
    """The facts of one patient; each one but the complaint may be missing."""

    def maybe(share: float) -> bool:
        return rng.random() < share

    months = maybe(0.05)
    child = maybe(0.22)
    age = rng.randint(2, 23) if months else rng.randint(1, 17) if child else rng.randint(18, 99)
    allergy = draw_allergen(rng, side.words, training=side.training) if maybe(0.55) else NO_ALLERGY
    systolic = rng.randint(85, 210)
    return Facts(
        age=age if months or not maybe(0.05) else None,
        months=months,
        sex=rng.choice(("male", "female")) if not maybe(0.1) else None,
        complaint=draw_complaint(rng, side.words, training=side.training, plain=side.plain),
        duration=draw_duration(rng) if maybe(0.85) else None,
        pain=rng.randint(0, 10) if maybe(0.6) else None,
        blood_pressure=f"{systolic}/{rng.randint(45, min(systolic - 15, 125))}"
        if maybe(0.65)
        else None,
        heart_rate=rng.randint(42, 168) if maybe(0.6) else None,
        breathing_rate=rng.randint(9, 44) if maybe(0.35) else None,
        temperature=f"{rng.randint(35, 40)}.{rng.randint(0, 9)}" if maybe(0.5) else None,
        saturation=rng.randint(81, 100) if maybe(0.5) else None,
        weight=rng.randint(4, 130) if maybe(0.15) else None,
        allergy=allergy if maybe(0.6) else None,
        history=draw_history(rng, side.words) if not side.plain and maybe(0.06) else None,
        medicines=draw_medicines(rng, side.words, training=side.training)
        if not side.plain and maybe(0.06)
        else None,
        plan=draw_plan(rng, side.words, training=side.training, plain=side.plain)
        if maybe(0.6)
        else None,
    )


def _person(rng: Random, facts: Facts, words: PhraseSet, compact: float) -> str:
    """The person phrase that opens a note, in one of its many shapes."""
    noun = facts.noun
    if facts.sex is not None and rng.random() < 0.3:
        noun = facts.sex
    if facts.age is None:
        return rng.choice(words.person_without_age).format(noun=noun)
    n, unit = facts.age, "month" if facts.months else "year"
    if facts.sex is not None and not facts.months and rng.random() < compact:
        male = facts.sex == "male"
        return rng.choice(words.compact_person).format(
            n=n,
            mf="M" if male else "F",
            name=rng.choice(words.surnames),
            title="Mr" if male else rng.choice(("Mrs", "Ms")),
        )
    old = [f"{n}-{unit}-old", f"{n} {unit} old", f"{n}-{unit} old"]
    ages = [f"{n} {unit}s" if n != 1 else f"1 {unit}"]
    if not facts.months:
        old += [f"{n} yo", f"{n} y/o", f"{n}yo", f"{n} yr old"]
        ages += [str(n), str(n), f"{n}y"]
    return rng.choice(words.person).format(noun=noun, age=rng.choice(ages), old=rng.choice(old))


def _opening(rng: Random, facts: Facts, words: PhraseSet, compact: float) -> str:
    who = _person(rng, facts, words, compact)
    if facts.duration is None:
        text = rng.choice(words.opening_without_duration).format(who=who, c=facts.complaint)
    elif facts.duration[4].isdigit() and rng.random() < 0.08:
        history = "-".join(facts.duration.split()[1:]).removesuffix("s")
        text = rng.choice(words.opening_with_history).format(who=who, c=facts.complaint, h=history)
    else:
        duration = _reword_duration(rng, facts.duration)
        text = rng.choice(words.opening).format(who=who, c=facts.complaint, d=duration)
    return text[0].upper() + text[1:]


def _reword_duration(rng: Random, duration: str) -> str:
    """The duration as the note writes it; the answer always says "for"."""
    draw = rng.random()
    if not duration.startswith("for ") or draw > 0.3:
        return duration
    start = rng.choice(("x ", "x", "for the last ", "for the past ", "over the past "))
    return start + duration[4:]


def _blood_pressure(rng: Random, value: str) -> str:
    return value.replace("/", " over ") if rng.random() < 0.12 else value


def _measurements(rng: Random, facts: Facts, words: PhraseSet) -> list[str]:
    """The sentences after the opening, in the order of a summary."""
    pressure = facts.blood_pressure and _blood_pressure(rng, facts.blood_pressure)
    pairs: list[tuple[tuple[str, ...], object]] = [
        (words.pain, facts.pain),
        (words.blood_pressure, pressure),
        (words.heart_rate, facts.heart_rate),
        (words.breathing_rate, facts.breathing_rate),
        (words.temperature, facts.temperature),
        (words.saturation, facts.saturation),
        (words.weight, facts.weight),
        (words.allergy, None if facts.allergy == NO_ALLERGY else facts.allergy),
        (words.history, facts.history),
        (words.medicines, facts.medicines),
        (words.plan, facts.plan),
    ]
    sentences = [rng.choice(form).format(v=v) for form, v in pairs if v is not None]
    if facts.allergy == NO_ALLERGY:
        sentences.insert(max(0, len(sentences) - 1), rng.choice(words.no_allergy))
    return sentences


def write_note(rng: Random, facts: Facts, words: PhraseSet, *, compact: float = 0.15) -> str:
    """The note's text: opening first, then the rest in or out of order, with fillers.

    `compact` is the share of persons written as in 67M or Mr Lee, 67.
    """
    rest = _measurements(rng, facts, words)
    if rest and rng.random() < 0.1:
        rest[0] = f"{rng.choice(words.vital_signs)} {rest[0]}"
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        rest.insert(rng.randint(0, len(rest)), rng.choice(words.fillers))
    if rng.random() < 0.4:
        rng.shuffle(rest)
    parts = [_opening(rng, facts, words, compact), *_run_on(rng, rest)]
    if rng.random() < 0.04:
        parts.append(parts.pop(0))
    text = rng.choice((" ",) * 8 + ("\n", "\n- ")).join(parts)
    return text.lower() if rng.random() < 0.06 else text


def _run_on(rng: Random, sentences: list[str]) -> list[str]:
    """In a third of the notes, some full stops become commas, as in: BP 120/80, HR 70."""
    if rng.random() > 0.35:
        return sentences
    return [
        s[:-1] + "," if s.endswith(".") and i + 1 < len(sentences) and rng.random() < 0.6 else s
        for i, s in enumerate(sentences)
    ]


def summary(facts: Facts) -> str:
    """The expected Markdown summary, one line per stated fact, then what is not stated."""
    complaint = f"{facts.complaint} {facts.duration}" if facts.duration else facts.complaint
    lines: list[tuple[str, object, str]] = [
        ("Patient", facts.person, ""),
        ("Complaint", complaint, ""),
        ("Pain score", facts.pain, "/10"),
        ("Blood pressure", facts.blood_pressure, " mmHg"),
        ("Heart rate", facts.heart_rate, " per minute"),
        ("Breathing rate", facts.breathing_rate, " per minute"),
        ("Temperature", facts.temperature, " °C"),
        ("Oxygen saturation", facts.saturation, " %"),
        ("Weight", facts.weight, " kg"),
        ("Allergies", facts.allergy, ""),
        ("History", facts.history, ""),
        ("Medicines", facts.medicines, ""),
        ("Plan", facts.plan, ""),
        ("Not stated", ", ".join(facts.missing) or None, ""),
    ]
    shown = [f"- {name}: {value}{unit}" for name, value, unit in lines if value is not None]
    return "\n".join(["**Summary**", "", *shown])


def one_line_summary(facts: Facts) -> str:
    """The expected summary in one sentence: person, complaint, then the numbers."""
    start = f"{facts.person} with {facts.complaint}"
    if facts.duration:
        start += f" {facts.duration}"
    numbers: list[tuple[str, object, str]] = [
        ("pain", facts.pain, "/10"),
        ("BP", facts.blood_pressure, ""),
        ("HR", facts.heart_rate, ""),
        ("RR", facts.breathing_rate, ""),
        ("temp", facts.temperature, " °C"),
        ("SpO2", facts.saturation, " %"),
    ]
    shown = [f"{name} {value}{unit}" for name, value, unit in numbers if value is not None]
    if facts.allergy is not None:
        none = facts.allergy == NO_ALLERGY
        shown.append("no known allergies" if none else f"allergic to {facts.allergy}")
    sentence = "; ".join([start, ", ".join(shown)]) if shown else start
    return sentence[0].upper() + sentence[1:] + "."
