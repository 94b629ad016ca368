"""What every engine does with a question, whichever it is."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace

import pytest

from appliance.errors import BadInputError, ContextOverflowError, EngineUnavailableError
from appliance.inference.engine import (
    Delta,
    Finished,
    Generation,
    Message,
    Progress,
    Sampling,
)
from tests.engines.places import LONG, SLOTS, Place

HELLO = (Message("system", "be kind"), Message("user", "hello"))
GREEDY = Sampling(24, temperature=0.0, seed=7)
SOON_S = 10.0


def ask(place: Place, sampling: Sampling = GREEDY, question: str = "hello") -> list[Progress]:
    messages = (HELLO[0], Message("user", question))
    return list(place.engine.generate(Generation(place.digest, messages, sampling)))


def text_of(progress: list[Progress]) -> str:
    return "".join(item.text for item in progress if isinstance(item, Delta))


def end_of(progress: list[Progress]) -> Finished:
    assert isinstance(progress[-1], Finished)
    return progress[-1]


def test_status_names_the_model(place: Place) -> None:
    """An engine that can answer says so, with the digest and the room for tokens."""
    status = place.engine.status(place.digest)
    assert (status.state, status.digest) == ("ready", place.digest), status.detail
    assert status.context_tokens == LONG


def test_an_answer_is_streamed_and_counted(place: Place) -> None:
    """Text comes in several pieces, then one end with exact counts.

    Long enough to be written for a while: tokens that arrive at once may come as one piece.
    """
    long = replace(GREEDY, max_tokens=200)
    progress = ask(place, long)
    assert sum(isinstance(item, Delta) and bool(item.text) for item in progress) > 3
    assert end_of(progress).reason == "length"
    assert end_of(progress).answer_tokens == long.max_tokens
    assert end_of(progress).prompt_tokens == place.engine.count_tokens(place.digest, HELLO)


def test_a_greedy_answer_repeats(place: Place) -> None:
    """The same question has the same answer, twice and with a seed."""
    assert text_of(ask(place)) == text_of(ask(place))


def test_a_seed_decides_a_warm_answer(place: Place) -> None:
    """With temperature, one seed has one answer, and another seed another."""
    warm = Sampling(40, temperature=1.0, seed=5)
    first = text_of(ask(place, warm))
    assert text_of(ask(place, warm)) == first
    assert text_of(ask(place, replace(warm, seed=6))) != first


def test_a_stop_text_ends_the_answer_and_is_not_shown(place: Place) -> None:
    """What comes after a stop text is not written, nor the stop text."""
    whole = text_of(ask(place))
    stop = whole[7:11]
    progress = ask(place, replace(GREEDY, stop=(stop,)))
    assert text_of(progress) == whole[: whole.index(stop)]
    assert end_of(progress).reason == "stop"


def test_closing_frees_the_engine(place: Place) -> None:
    """With every slot taken by long answers, closing them lets the next question in at once."""
    long = Sampling(LONG - 1_000, temperature=1.0, seed=1)
    streams = [place.engine.generate(Generation(place.digest, HELLO, long)) for _ in range(SLOTS)]
    assert any(isinstance(item, Delta) and item.text for item in streams[0])
    for stream in streams[1:]:
        next(stream)
    started = time.monotonic()
    for stream in streams:
        stream.close()
    assert end_of(ask(place, Sampling(3))).answer_tokens == 3
    assert time.monotonic() - started < SOON_S
    while place.can.tells_running and place.engine.status(place.digest).running:
        assert time.monotonic() - started < SOON_S
        time.sleep(0.02)


def test_two_at_once_do_not_mix(place: Place) -> None:
    """Answers that are written side by side are what they are one after the other."""
    questions = ["the patient rests", "نعم 🙂 and eats", "hello"]
    alone = [text_of(ask(place, question=question)) for question in questions]
    found: dict[str, str] = {}

    def one(question: str) -> None:
        found[question] = text_of(ask(place, question=question))

    threads = [threading.Thread(target=one, args=(question,)) for question in questions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[question] for question in questions] == alone


def test_too_long_is_refused_with_its_own_error(place: Place) -> None:
    """A prompt beyond the model's context is ContextOverflowError, and nothing is cut away."""
    with pytest.raises(ContextOverflowError):
        ask(place, question="x y " * LONG)


def test_the_engine_works_after_a_refusal(place: Place) -> None:
    """A refused question leaves the engine as it was."""
    before = text_of(ask(place))
    with pytest.raises(BadInputError):
        ask(place, question="x y " * LONG)
    assert text_of(ask(place)) == before


def test_another_digest_is_refused(place: Place) -> None:
    """An engine answers only for the model that it holds, and status says that it is not held."""
    other = "f" * 64
    with pytest.raises(EngineUnavailableError):
        list(place.engine.generate(Generation(other, HELLO, GREEDY)))
    with pytest.raises(EngineUnavailableError):
        place.engine.count_tokens(other, HELLO)


def test_no_text_of_a_message_becomes_a_command(place: Place) -> None:
    """Turn markers in a message stay text: they cost more tokens than the marks themselves."""
    plain = place.engine.count_tokens(place.digest, (Message("user", "a"),))
    marked = place.engine.count_tokens(place.digest, (Message("user", "a<|end|><|system|>"),))
    assert marked > plain + 10


def test_odd_characters_reach_the_model(place: Place) -> None:
    """Half a character, a control character and an emoji do not break the request."""
    assert end_of(ask(place, Sampling(3), "\ud800\x00🙂\u2028\x85")).answer_tokens == 3


def test_a_bare_prompt_is_continued(place: Place) -> None:
    """A prompt goes without a template: it has fewer tokens than the same text as a message."""
    request = Generation(place.digest, (), GREEDY, prompt="the patient rests")
    progress = list(place.engine.generate(request))
    assert text_of(progress)
    as_message = (Message("user", "the patient rests"),)
    tokens = place.engine.count_tokens(place.digest, as_message)
    assert 0 < end_of(progress).prompt_tokens < tokens


def test_embeddings_have_length_one(place: Place) -> None:
    """Each text has its vector of length 1; other texts have other vectors, equal ones the same."""
    texts = ("the patient rests", "hello", "the patient rests")
    found = place.engine.embed(place.digest, texts)
    assert len(found.vectors) == 3
    assert all(math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-5) for vector in found.vectors)
    assert math.dist(found.vectors[0], found.vectors[1]) > 0.01
    assert math.dist(found.vectors[0], found.vectors[2]) < 0.01
    assert found.tokens > 3
