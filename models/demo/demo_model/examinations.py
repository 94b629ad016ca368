"""The held-out examinations: what is asked, with which wording, and what is expected.

Guarantee: no examination uses a training wording except `fresh notes`, which is there to
show the difference; each is a pure function of its seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from demo_model import questions, unknown
from demo_model.advice import BY_NAME, discharge_advice
from demo_model.answers import ANSWERS, UNKNOWN
from demo_model.complaints import draw_complaint, known_words
from demo_model.conversations import SYSTEM_PROMPT
from demo_model.free_notes import FREE_NOTES
from demo_model.note_questions import draw_note_question
from demo_model.notes import (
    HELD_OUT,
    NO_ALLERGY,
    TRAINING,
    Facts,
    Side,
    draw_facts,
    one_line_summary,
    summary,
    write_note,
)

SEED = 77_001
_KNOWN = known_words(TRAINING.words) | {*NO_ALLERGY.split()}


@dataclass(frozen=True)
class Item:
    """One question with all that goes before it, and the one right answer."""

    question: str
    expected: str
    system: str | None
    earlier: tuple[tuple[str, str], ...] = ()


def _system(rng: Random) -> str | None:
    return SYSTEM_PROMPT if rng.random() < 0.5 else None


def _only_known_words(facts: Facts) -> bool:
    """Whether the note can be written without a word that training never used."""
    texts = (facts.complaint, facts.allergy, facts.history, facts.medicines, facts.plan)
    said = {word.strip(",") for text in texts if text for word in text.split()}
    return all(word in _KNOWN or word.isdigit() for word in said)


def reworded_notes(count: int) -> Iterator[Item]:
    """Held-out wording throughout, about things that training has named."""
    rng = Random(SEED + 7)
    side = Side(HELD_OUT.phrases, TRAINING.words, training=True)
    for _ in range(count):
        facts = draw_facts(rng, side)
        while not _only_known_words(facts):
            facts = draw_facts(rng, side)
        request = rng.choice(side.phrases.requests)
        note = write_note(rng, facts, side.phrases)
        yield Item(f"{request}\n{note}", summary(facts), _system(rng))


def notes(side: Side, count: int) -> Iterator[Item]:
    """Notes to summarise as a list; a third of the complaints are invented words."""
    rng = Random(SEED)
    for _ in range(count):
        facts = draw_facts(rng, side)
        request = rng.choice(side.phrases.requests)
        note = write_note(rng, facts, side.phrases)
        yield Item(f"{request}\n{note}", summary(facts), _system(rng))


def free_notes() -> Iterator[Item]:
    """Hand-written notes outside the generator's style."""
    for note, facts in FREE_NOTES:
        yield Item(f"Summarise this note:\n{note}", summary(facts), SYSTEM_PROMPT)


def one_line_notes(count: int) -> Iterator[Item]:
    """Notes to summarise in one sentence."""
    rng = Random(SEED + 1)
    for _ in range(count):
        facts = draw_facts(rng, HELD_OUT)
        request = rng.choice(HELD_OUT.phrases.one_line_requests)
        note = write_note(rng, facts, HELD_OUT.phrases)
        yield Item(f"{request}\n{note}", one_line_summary(facts), _system(rng))


def advice(count: int, *, known: bool) -> Iterator[Item]:
    """Advice for a named complaint: one with advice of its own, or one never seen."""
    rng = Random(SEED + 2)
    for _ in range(count):
        unseen = draw_complaint(rng, HELD_OUT.words, training=False)
        complaint = rng.choice(list(BY_NAME)) if known else unseen
        question = rng.choice(HELD_OUT.phrases.named_advice_requests).format(c=complaint)
        yield Item(question, discharge_advice(complaint), _system(rng))


def advice_for_notes(count: int) -> Iterator[Item]:
    """Advice for the complaint of a note."""
    rng = Random(SEED + 3)
    for _ in range(count):
        facts = draw_facts(rng, HELD_OUT)
        request = rng.choice(HELD_OUT.phrases.advice_requests)
        note = write_note(rng, facts, HELD_OUT.phrases)
        yield Item(f"{request}\n{note}", discharge_advice(facts.complaint), _system(rng))


def follow_ups(count: int) -> Iterator[Item]:
    """A question about one fact, in the turn after a summary."""
    rng = Random(SEED + 4)
    for _ in range(count):
        facts = draw_facts(rng, HELD_OUT)
        note = write_note(rng, facts, HELD_OUT.phrases)
        first = (f"{rng.choice(HELD_OUT.phrases.requests)}\n{note}", summary(facts))
        question, expected = draw_note_question(rng, facts)
        yield Item(question, expected, _system(rng), (first,))


def topics() -> Iterator[Item]:
    """Every held-out wording of every topic, with and without the system prompt in turn."""
    rng = Random(SEED + 5)
    for topic, wordings in questions.HELD_OUT.items():
        for wording in wordings:
            yield Item(wording, ANSWERS[topic], _system(rng))


def unknown_input() -> Iterator[Item]:
    """Held-out input from outside the domain."""
    rng = Random(SEED + 6)
    for text in unknown.HELD_OUT:
        yield Item(text, UNKNOWN, _system(rng))


def all_examinations() -> dict[str, list[Item]]:
    """Every examination by name; the first is the one that the promise is about."""
    return {
        "held-out wording": list(reworded_notes(200)),
        "held-out words too": list(notes(HELD_OUT, 200)),
        "fresh notes": list(notes(TRAINING, 100)),
        "free-hand notes": list(free_notes()),
        "one-line summaries": list(one_line_notes(60)),
        "advice, known complaint": list(advice(60, known=True)),
        "advice, unseen complaint": list(advice(60, known=False)),
        "advice for a note": list(advice_for_notes(40)),
        "follow-up questions": list(follow_ups(60)),
        "appliance questions": list(topics()),
        "unknown input": list(unknown_input()),
    }
