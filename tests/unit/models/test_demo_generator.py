"""The generator of the demo model's training text."""

from __future__ import annotations

import re
from dataclasses import fields
from random import Random

from demo_model import complaints, phrases, questions, unknown
from demo_model.answers import ANSWERS
from demo_model.complaints import Vocabulary
from demo_model.conversations import SYSTEM_PROMPT, draw_conversation
from demo_model.examinations import all_examinations
from demo_model.notes import HELD_OUT, TRAINING, draw_facts, summary, write_note
from demo_model.phrases import HELD_OUT as HELD_OUT_PHRASES
from demo_model.phrases import PhraseSet, shared_phrases
from demo_model.wide_phrases import WIDE, plain_words


def seeded(seed: int) -> Random:
    """A repeatable source; nothing here is a secret."""
    return Random(seed)  # noqa: S311


def test_same_seed_gives_the_same_conversations() -> None:
    """A training run can be repeated, because a seed fixes every conversation."""
    first, second = seeded(5), seeded(5)
    assert [draw_conversation(first) for _ in range(50)] == [
        draw_conversation(second) for _ in range(50)
    ]


def test_examinations_are_the_same_at_every_call() -> None:
    """Two evaluations of one file ask the same questions."""
    assert all_examinations() == all_examinations()


def test_no_phrase_is_both_trained_and_held_out() -> None:
    """The held-out score speaks about wording that training never used."""
    assert shared_phrases() == []


def test_no_made_phrase_has_the_words_of_a_held_out_one() -> None:
    """Phrases made of parts stay apart from held-out ones, also in other capitals and marks."""
    by_hand = {p for f in fields(PhraseSet) for p in getattr(phrases.TRAIN, f.name)}
    for field in fields(PhraseSet):
        wide, held_out = getattr(WIDE, field.name), getattr(HELD_OUT_PHRASES, field.name)
        assert not set(wide) & set(held_out), field.name
        made = {plain_words(phrase) for phrase in set(wide) - by_hand}
        assert not made & set(map(plain_words, held_out)), field.name


def test_every_made_phrase_has_the_slots_of_its_kind() -> None:
    """A made phrase states the same facts as the hand-written ones of its kind."""
    for field in fields(PhraseSet):
        wanted = {frozenset(re.findall(r"{\w+}", p)) for p in getattr(phrases.TRAIN, field.name)}
        for phrase in getattr(WIDE, field.name):
            assert frozenset(re.findall(r"{\w+}", phrase)) in wanted, (field.name, phrase)


def test_no_noun_is_both_trained_and_held_out() -> None:
    """Complaints, sites, allergens, plans and syllables are split without overlap."""
    for field in fields(Vocabulary):
        train = set(getattr(complaints.TRAIN, field.name))
        assert not train & set(getattr(complaints.HELD_OUT, field.name)), field.name


def test_no_question_is_both_trained_and_held_out() -> None:
    """A held-out wording is not a training wording, also when all slots are filled."""
    for topic, held_out in questions.HELD_OUT.items():
        for wording in questions.TRAIN[topic]:
            pattern = re.escape(wording)
            for name, choices in questions.SLOTS.items():
                filled = "|".join(map(re.escape, choices))
                pattern = pattern.replace(re.escape("{" + name + "}"), f"(?:{filled})")
            assert not [w for w in held_out if re.fullmatch(pattern, w)], (topic, wording)


def test_no_unknown_input_is_both_trained_and_held_out() -> None:
    """Held-out input from outside the domain is not drawn in training."""
    rng = seeded(3)
    drawn = {unknown.draw_unknown(rng) for _ in range(20_000)}
    assert not drawn & set(unknown.HELD_OUT)


def test_every_answered_topic_has_enough_wordings() -> None:
    """Each topic is asked in at least fifteen hand-written ways."""
    assert set(questions.TRAIN) == set(ANSWERS)
    assert {t: len(w) for t, w in questions.TRAIN.items() if len(w) < 15} == {}


def test_every_number_of_a_summary_stands_in_its_note() -> None:
    """An expected answer never holds a number that the note does not state."""
    rng = seeded(9)
    for side in (TRAINING, HELD_OUT):
        for _ in range(300):
            facts = draw_facts(rng, side)
            note = write_note(rng, facts, side.phrases).replace(" over ", "/")
            for number in re.findall(r"\d+(?:[./]\d+)?", summary(facts).replace("/10\n", "\n")):
                assert number in note, (number, note)


def test_half_of_the_conversations_carry_the_page_prompt() -> None:
    """The model learns the very system prompt that the page sends."""
    rng = seeded(1)
    systems = [draw_conversation(rng).system for _ in range(2000)]
    assert 0.45 < systems.count(SYSTEM_PROMPT) / 2000 < 0.55
