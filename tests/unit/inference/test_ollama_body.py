"""What is sent to Ollama and what its streams mean, malformed ones too."""

from __future__ import annotations

import json

import pytest

from appliance.errors import BadInputError, EngineUnavailableError
from appliance.inference.engine import Delta, Finished, Generation, Sampling, Tool, Tools
from appliance.inference.events import EngineSaidError
from appliance.inference.ollama_body import generate_body, progress, require_possible


def line(**fields: object) -> str:
    return json.dumps({"model": "m", **fields})


END = line(response="", done=True, done_reason="stop", prompt_eval_count=3, eval_count=2)


def test_nothing_is_left_to_ollamas_own_choice() -> None:
    """A prompt is neither cut nor shifted nor rendered again, and nothing is penalised."""
    body = generate_body("m", "hi", Sampling(5), {"num_ctx": 64})
    assert (body["raw"], body["truncate"], body["shift"]) == (True, False, False)
    assert body["options"] == {
        "num_ctx": 64,
        "num_predict": 5,
        "temperature": 0.2,
        "top_p": 1.0,
        "stop": [],
        "repeat_penalty": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
    }


def test_a_form_is_sent_as_a_format() -> None:
    """A schema goes as it is, "some object" as Ollama's own word for it."""
    schema = '{"type": "object", "required": ["a"]}'
    assert generate_body("m", "", Sampling(5, schema=schema), {})["format"] == json.loads(schema)
    assert generate_body("m", "", Sampling(5, schema='{"type":"object"}'), {})["format"] == "json"


@pytest.mark.parametrize(
    "request_",
    [
        Generation("d", (), Sampling(5), Tools((Tool("a", "", "{}"),))),
        Generation("d", (), Sampling(5, logit_bias=((1, 2.0),))),
        Generation("d", (), Sampling(5, logprobs=21)),
        Generation("d", (), Sampling(5), prompt=""),
    ],
)
def test_what_ollama_lacks_is_refused(request_: Generation) -> None:
    """Nothing that was asked for is left out without a word."""
    with pytest.raises(BadInputError):
        require_possible(request_)


def test_an_answer_is_read() -> None:
    """Pieces come as they are, the end with its counts; control characters do not come through."""
    found = list(progress([line(response="a\x1b"), line(response="b"), END], "m"))
    assert found == [Delta("a"), Delta("b"), Finished("stop", 3, 2)]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line(response="a")],
        ["{"],
        ["[]"],
        ["[" * 100_000],
        [line(response=5)],
        [line(response="a", logprobs=5)],
        [line(response="a", logprobs=[{"token": "a"}])],
        [line(model="other", response="a"), END],
    ],
)
def test_a_stream_of_another_shape_is_an_error(lines: list[str]) -> None:
    """Half an answer, nonsense, or another model's answer is never taken for the answer."""
    with pytest.raises(EngineUnavailableError):
        list(progress(lines, "m"))


def test_an_error_inside_the_stream_is_an_error() -> None:
    """What Ollama reports midway is raised, not shown as text."""
    with pytest.raises(EngineSaidError):
        list(progress([line(response="a"), '{"error": "boom"}'], "m"))
