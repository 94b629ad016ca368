"""Reading the event streams of OpenAI-compatible servers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import Delta, Finished, Queued
from appliance.inference.events import EngineSaidError, answer, lines, progress


def said(text: str, **rest: object) -> str:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return "data: " + json.dumps({"choices": [{**choice, **rest}]}, ensure_ascii=False)


END = said("", finish_reason="stop")
USAGE = 'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}'


def test_an_answer_is_read() -> None:
    """Queue places, pieces and the end become progress; usage may come in a chunk of its own."""
    stream = [": queued 2", "", said("a"), said("b"), END, USAGE, "data: [DONE]"]
    expected = [Queued(2), Delta("a"), Delta("b"), Finished("stop", 3, 2)]
    assert list(progress(stream)) == expected


def test_a_sign_of_life_is_an_empty_piece() -> None:
    """Any other comment gives the caller a chance to stop."""
    assert next(progress([": working"])) == Delta("")


def test_lines_end_at_line_feeds_only() -> None:
    """A line separator inside a JSON text does not cut the event."""
    line = said("a\u2028b\u0085c")
    assert list(lines([line.encode() + b"\n"])) == [line]


@given(st.binary(max_size=200).map(lambda data: data.replace(b"\r", b"")), st.integers(1, 7))
def test_chunk_borders_do_not_matter(data: bytes, cut: int) -> None:
    """However the bytes are cut, the lines are the same."""
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    assert list(lines(pieces)) == list(lines([data]))


def test_a_stream_that_ends_early_is_an_error() -> None:
    """Half an answer is never taken for a whole one."""
    with pytest.raises(EngineUnavailableError, match="middle"):
        list(progress([said("a")]))


def test_an_error_inside_the_stream_is_an_error() -> None:
    """What the server reports midway is raised, not shown as text."""
    with pytest.raises(EngineSaidError):
        list(progress([said("a"), 'data: {"error": {"message": "boom"}}']))


@pytest.mark.parametrize("data", ["{", "[]", '{"choices": 5}', '{"choices": ["x"]}', "[" * 100_000])
def test_nonsense_is_an_error(data: str) -> None:
    """An event of another shape never crashes the reader."""
    with pytest.raises(EngineUnavailableError):
        list(progress([f"data: {data}"]))


def test_control_characters_do_not_come_through() -> None:
    """Whatever server answers, no escape sequence and no half character is passed on."""
    assert next(progress([said("a\x1b[2J\x00b\n")])) == Delta("a[2Jb\n")


def test_an_endless_line_is_given_up() -> None:
    """A server that never ends a line cannot fill the memory."""
    with pytest.raises(EngineUnavailableError, match="without end"):
        list(lines([b"x" * 1_048_576] * 8))


def test_a_count_that_cannot_be_is_none() -> None:
    """No database holds such a number, and no answer has so many tokens."""
    usage = json.dumps({"choices": [], "usage": {"prompt_tokens": 10**30, "completion_tokens": -1}})
    end = 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}'
    *_, last = progress([end, f"data: {usage}", "data: [DONE]"])
    assert last == Finished("stop", 0, 0)


def sent(*said_lines: str) -> bytes:
    return "".join(f"{line}\n\n" for line in said_lines).encode()


def test_pieces_that_came_together_are_one() -> None:
    """What one chunk brought is shown at once; what comes later is not waited for."""
    chunks = [sent(": queued 1", said("a"), said("b")), sent(said("c"), END, "data: [DONE]")]
    expected = [Queued(1), Delta("ab"), Delta("c"), Finished("stop", 0, 0)]
    assert list(answer(chunks)) == expected


def test_what_was_said_before_a_fault_is_shown() -> None:
    """An error in the same chunk takes nothing back."""
    steps = answer([sent(said("a"), 'data: {"error": {"message": "boom"}}')])
    assert next(steps) == Delta("a")
    with pytest.raises(EngineSaidError):
        next(steps)
