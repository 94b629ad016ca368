"""How answers are put into each API's shapes, without an engine."""

from __future__ import annotations

import pytest

from appliance.errors import EngineUnavailableError
from appliance.inference.engine import TokenLogprob, ToolCall
from appliance.operations.answer_run import AnswerState
from appliance.web.api import ollama_replies, openai_replies
from appliance.web.api.bodies import seed_of
from appliance.web.api.ollama_bodies import Chat

LIKELY = TokenLogprob("né", -0.5, "né".encode(), (TokenLogprob("no", -1.5, b"no"),))


def test_logprobs_have_bytes_and_alternatives() -> None:
    """A token may be no whole character, so its bytes are told too."""
    made = openai_replies.logprobs([LIKELY])
    assert made is not None
    assert made["content"][0]["bytes"] == list("né".encode())
    assert [other["token"] for other in made["content"][0]["top_logprobs"]] == ["no"]
    assert openai_replies.logprobs([]) is None


def test_older_logprobs_count_characters_from_the_beginning() -> None:
    """Offsets go on from piece to piece."""
    made = openai_replies.text_logprobs([LIKELY, LIKELY], 10)
    assert made is not None
    assert made["text_offset"] == [10, 12]
    assert made["top_logprobs"] == [{"no": -1.5}, {"no": -1.5}]


def test_ollamas_calls_are_numbered_and_have_objects() -> None:
    """Arguments are JSON objects there, and numbers go on from piece to piece."""
    made = ollama_replies.calls([ToolCall("a", "look", '{"id": 7}')], 2)
    assert made == [{"id": "a", "function": {"index": 2, "name": "look", "arguments": {"id": 7}}}]


@pytest.mark.parametrize("arguments", ['{"id": ', "7", ""])
def test_arguments_that_were_cut_off_are_an_error_and_not_an_empty_object(arguments: str) -> None:
    """A program must not act on half of what the model meant."""
    with pytest.raises(EngineUnavailableError, match="did not finish"):
        ollama_replies.calls([ToolCall("a", "look", arguments)])


def test_durations_are_nanoseconds() -> None:
    """The time to the first token is that of the prompt, the rest that of the answer."""
    made = ollama_replies.ending("m", 0, AnswerState(elapsed_ms=30, first_token_ms=10))
    assert (made["prompt_eval_duration"], made["eval_duration"]) == (10_000_000, 20_000_000)
    assert made["created_at"] == "1970-01-01T00:00:00Z"


def test_results_find_their_calls_in_order() -> None:
    """Ollama's calls have no name, so the first result answers the first call."""
    body = Chat.read(
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}, {"role": "assistant",'
        b'"tool_calls": [{"function": {"name": "a"}}, {"function": {"name": "b"}}]},'
        b'{"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}]}'
    )
    turns = body.question(None).messages
    assert [call.id for call in turns[1].tool_calls] == [turn.tool_call_id for turn in turns[2:]]
    body.question(None).check()


def test_any_seed_becomes_one_that_engines_take() -> None:
    """The same number gives the same seed; small ones stay as they are."""
    assert [seed_of(number) for number in (None, 0, 7)] == [None, 0, 7]
    assert seed_of(-5) == seed_of(-5)
    assert 0 <= (seed_of(2**62) or 0) <= 2**32 - 2
