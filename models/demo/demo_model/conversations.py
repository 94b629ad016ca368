"""Whole synthetic conversations: system prompt, one to three questions, their answers.

Guarantee: a conversation is a pure function of its seed, so that a training run can be
repeated; only training wordings are used here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from demo_model import questions, unknown
from demo_model.advice import BY_NAME, discharge_advice
from demo_model.answers import ANSWERS, NO_COMPLAINT, NO_NOTE, UNKNOWN
from demo_model.complaints import draw_complaint, draw_history, draw_medicines
from demo_model.note_questions import draw_note_question
from demo_model.notes import (
    NO_ALLERGY,
    TRAINING,
    Facts,
    Side,
    draw_facts,
    one_line_summary,
    summary,
    write_note,
)
from demo_model.wide_phrases import WIDE

SYSTEM_PROMPT = (
    "You are a careful assistant for clinical staff. Use only the facts you are given, and say "
    "when you do not know."
)
OTHER_SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "Answer briefly.",
    "You help hospital staff.",
    "Be careful and use plain words.",
    "You are a demo.",
    "You are an assistant on a ward.",
    "Answer in English.",
    "You are a clinical assistant. Do not guess.",
)
_PREFIXES = (
    "please ",
    "hi, ",
    "hello, ",
    "quick question: ",
    "question: ",
    "so ",
    "ok, ",
    "and ",
    "tell me, ",
    "sorry, ",
    "can you tell me: ",
    "I wonder, ",
    "one more thing: ",
    "hey, ",
)
_SUFFIXES = (" please", ", please", " thanks", "??", "!", " ", "?", " I need to know", " exactly")


@dataclass(frozen=True)
class Turn:
    """One message of a person and the answer to it."""

    question: str
    answer: str


@dataclass(frozen=True)
class Conversation:
    """A system prompt, which may be absent, and the turns that follow it."""

    system: str | None
    turns: tuple[Turn, ...]


def _typo(rng: Random, text: str) -> str:
    """The text with one letter dropped, doubled or swapped with the next."""
    if len(text) < 6:
        return text
    i = rng.randrange(1, len(text) - 1)
    swaps = (text[i + 1] + text[i], text[i + 1], text[i] * 2 + text[i + 1])
    return text[:i] + rng.choice(swaps) + text[i + 2 :]


def _as_typed(rng: Random, text: str) -> str:
    """A question as people type it: case, marks and small words come and go."""
    if rng.random() < 0.15:
        text = rng.choice(_PREFIXES) + text
    if rng.random() < 0.3:
        text = text.rstrip("?.")
    if rng.random() < 0.08:
        text += rng.choice(_SUFFIXES)
    if rng.random() < 0.1:
        text = _typo(rng, text)
    draw = rng.random()
    if draw < 0.5:
        return text[:1].upper() + text[1:]
    return text.lower() if draw < 0.7 else text.upper() if draw < 0.71 else text


def _with_note(rng: Random, request: str, note: str) -> str:
    """Request and note in one message, the request mostly first."""
    if rng.random() < 0.4:
        request = request.rstrip(".:") + rng.choice(("", ":", ".", " -", "?"))
    if rng.random() < 0.25:
        request = request[:1].lower() + request[1:]
    gap = rng.choice((" ", "\n", "\n\n"))
    if rng.random() < 0.1:
        return note + rng.choice(("\n", "\n\n")) + request.rstrip(":")
    return f"{request}{gap}{note}"


def _note(rng: Random, facts: Facts) -> str:
    """A note in training wording, with more initials and titles than notes have."""
    return write_note(rng, facts, WIDE, compact=0.25)


def _summary_turn(rng: Random, facts: Facts) -> Turn:
    note = _note(rng, facts)
    if rng.random() < 0.1:
        return Turn(
            _with_note(rng, rng.choice(WIDE.one_line_requests), note), one_line_summary(facts)
        )
    bare = rng.random() < 0.08
    text = note if bare else _with_note(rng, rng.choice(WIDE.requests), note)
    return Turn(text, summary(facts))


def _advice_turn(rng: Random, facts: Facts) -> Turn:
    text = _with_note(rng, rng.choice(WIDE.advice_requests), _note(rng, facts))
    return Turn(text, discharge_advice(facts.complaint))


def _note_question_turn(rng: Random, facts: Facts) -> Turn:
    question, answer = draw_note_question(rng, facts)
    return Turn(_with_note(rng, question, _note(rng, facts)), answer)


def _named_advice_turn(rng: Random) -> Turn:
    draw = rng.random()
    if draw < 0.55:
        complaint = rng.choice(list(BY_NAME))
    else:
        complaint = draw_complaint(rng, TRAINING.words, training=True)
    text = rng.choice(WIDE.named_advice_requests).format(c=complaint)
    if rng.random() < 0.3:
        text = text.rstrip(".?")
    if rng.random() < 0.25:
        text = text[:1].lower() + text[1:]
    return Turn(text, discharge_advice(complaint))


def _topic_turn(rng: Random) -> Turn:
    topic = rng.choice(list(ANSWERS))
    wording = questions.expand(rng, rng.choice(questions.TRAIN[topic]))
    return Turn(_as_typed(rng, wording), ANSWERS[topic])


def _unknown_turn(rng: Random) -> Turn:
    return Turn(_as_typed(rng, unknown.draw_unknown(rng)), UNKNOWN)


def _empty_turn(rng: Random) -> Turn:
    """A request whose note or complaint was forgotten."""
    if rng.random() < 0.4:
        text = rng.choice(
            (
                "Write discharge advice",
                "discharge advice",
                "write simple advice",
                "Write simple discharge advice.",
                "give me discharge advice please",
            )
        )
        return Turn(_as_typed(rng, text), NO_COMPLAINT)
    forms = (*WIDE.requests, *WIDE.one_line_requests, "summarise a note", "summarise my note")
    return Turn(_as_typed(rng, rng.choice(forms).rstrip(":")), NO_NOTE)


def _follow_up(rng: Random, facts: Facts) -> Turn:
    """A question about the note that was pasted earlier in the conversation."""
    draw = rng.random()
    if draw < 0.5:
        return Turn(*draw_note_question(rng, facts))
    if draw < 0.75:
        forms = (*WIDE.advice_requests, "now write discharge advice", "and the discharge advice?")
        return Turn(rng.choice(forms).rstrip(":"), discharge_advice(facts.complaint))
    forms = (*WIDE.one_line_requests, "shorter please", "now in one sentence", "in one line")
    return Turn(rng.choice(forms).rstrip(":"), one_line_summary(facts))


def _facts(rng: Random, side: Side) -> Facts:
    """Facts of a note; what few notes state is stated more often, as it is learnt last."""
    facts = draw_facts(rng, side)
    if side.plain:
        return facts
    draw = rng.random()
    if draw < 0.1:
        return replace(facts, history=draw_history(rng, side.words))
    if draw < 0.2:
        return replace(facts, medicines=draw_medicines(rng, side.words, training=True))
    if draw < 0.24:
        return replace(facts, age=None, months=False)
    if draw < 0.28:
        return replace(facts, weight=rng.randint(4, 130))
    if draw < 0.32:
        return replace(facts, allergy=NO_ALLERGY)
    if draw < 0.37:
        return replace(facts, sex=None)
    if draw < 0.4:
        return replace(facts, age=rng.randint(2, 23), months=True)
    return facts


_NOTE_TURNS: tuple[tuple[float, Callable[[Random, Facts], Turn]], ...] = (
    (0.60, _summary_turn),
    (0.05, _advice_turn),
    (0.04, _note_question_turn),
)
_OTHER_TURNS: tuple[tuple[float, Callable[[Random], Turn]], ...] = (
    (0.08, _named_advice_turn),
    (0.15, _topic_turn),
    (0.06, _unknown_turn),
)


def draw_conversation(rng: Random, side: Side = TRAINING) -> Conversation:
    """One conversation, from the mixture that the model is trained on."""
    draw = rng.random()
    system = SYSTEM_PROMPT if draw < 0.5 else None
    if draw > 0.9:
        system = rng.choice(OTHER_SYSTEM_PROMPTS)
    turns: list[Turn] = []
    facts: Facts | None = None
    for _ in range(rng.choice((1, 1, 1, 1, 1, 2, 2, 3))):
        if facts is not None and rng.random() < 0.6:
            turns.append(_follow_up(rng, facts))
            continue
        pick = rng.random()
        for share, note_turn in _NOTE_TURNS:
            if 0 <= pick < share:
                facts = _facts(rng, side)
                turns.append(note_turn(rng, facts))
            pick -= share
        for share, turn in _OTHER_TURNS:
            if 0 <= pick < share:
                turns.append(turn(rng))
            pick -= share
        if pick >= 0 and facts is None:
            turns.append(_empty_turn(rng))
    return Conversation(system, tuple(turns)) if turns else draw_conversation(rng, side)
