"""What a request may ask of the sampler."""

from __future__ import annotations

import pytest

from appliance.errors import BadInputError
from appliance.llama.sampling import Limits, Sampling, parse

LIMITS = Limits(max_answer_tokens=100, temperature=0.2)


def test_defaults_come_from_the_site() -> None:
    """An empty body gets the site's answer length and temperature, and nothing else."""
    assert parse({}, LIMITS) == Sampling(100, 0.2, 1.0, None, ())


def test_given_values_are_used() -> None:
    """Every supported parameter arrives as it was sent."""
    body = {"max_tokens": 5, "temperature": 0, "top_p": 0.5, "seed": 7, "stop": ["a", "b"]}
    assert parse(body, LIMITS) == Sampling(5, 0.0, 0.5, 7, ("a", "b"))


def test_one_stop_text_needs_no_list() -> None:
    """OpenAI allows a single text as `stop`."""
    assert parse({"stop": "END"}, LIMITS).stop == ("END",)


def test_a_longer_answer_than_allowed_is_shortened() -> None:
    """`max_tokens` above the site's limit becomes the limit."""
    assert parse({"max_completion_tokens": 4096}, LIMITS).max_tokens == 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", "hot"),
        ("temperature", True),
        ("temperature", float("nan")),
        ("top_p", 0),
        ("top_p", 1.5),
        ("top_p", float("inf")),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", 131_073),
        ("max_tokens", False),
        ("seed", -1),
        ("seed", 2**32 - 1),
        ("seed", "7"),
        ("stop", ""),
        ("stop", [""]),
        ("stop", [1]),
        ("stop", ["x"] * 9),
        ("stop", "x" * 257),
        ("stop", {"a": 1}),
        ("top_k", -1),
        ("top_k", 1_001),
        ("min_p", 1.1),
        ("repeat_penalty", 0),
        ("frequency_penalty", 2.1),
        ("presence_penalty", "much"),
        ("logprobs", "yes"),
        ("logprobs", 21),
        ("top_logprobs", 3),
        ("logit_bias", [1]),
        ("logit_bias", {"one": 1}),
        ("logit_bias", {"-1": 1}),
        ("logit_bias", {str(2**31): 1}),
        ("logit_bias", {str(token): 1 for token in range(1_025)}),
        ("response_format", {"type": "xml"}),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    """The error says which parameter is wrong."""
    with pytest.raises(BadInputError, match=name):
        parse({name: value}, LIMITS)


@pytest.mark.parametrize("name", ["n", "best_of", "functions", "audio", "suffix", "prediction"])
def test_what_is_not_supported_is_refused(name: str) -> None:
    """A wish that would be ignored in silence is refused instead."""
    with pytest.raises(BadInputError, match=name):
        parse({name: {"x": 1}}, LIMITS)


def test_neutral_values_of_unsupported_parameters_pass() -> None:
    """Clients that send defaults such as n=1 work."""
    body = {"n": 1, "frequency_penalty": 0.0, "suffix": None, "response_format": {"type": "text"}}
    assert parse(body, LIMITS) == parse({}, LIMITS)


def test_everything_that_changes_a_choice_arrives() -> None:
    """Filters, penalties and biases are passed on as they were sent."""
    body = {
        "top_k": 40,
        "min_p": 0,
        "repeat_penalty": 1.1,
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
        "logit_bias": {"42": -100, "7": 1.5},
    }
    found = parse(body, LIMITS)
    assert (found.top_k, found.min_p, found.repeat_penalty) == (40, 0.0, 1.1)
    assert (found.frequency_penalty, found.presence_penalty) == (0.5, -0.5)
    assert found.logit_bias == ((42, -100.0), (7, 1.5))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, None),
        ({"logprobs": False}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": True, "top_logprobs": 5}, 5),
        ({"logprobs": 3}, 3),
        ({"logprobs": 0}, 0),
    ],
)
def test_both_ways_of_asking_for_logprobs(body: dict[str, object], expected: int | None) -> None:
    """Conversations say true and a number, continued texts a number alone."""
    assert parse(body, LIMITS).logprobs == expected


def test_a_bias_that_is_no_number_is_refused_by_its_token() -> None:
    """The error names the token whose bias is wrong."""
    with pytest.raises(BadInputError, match="42 must be a number from -100 to 100"):
        parse({"logit_bias": {"42": 101}}, LIMITS)


def test_a_stop_text_cannot_cut_an_answer_that_has_to_be_whole() -> None:
    """An answer by a schema ends where the schema says, so a stop text is refused."""
    with pytest.raises(BadInputError, match="stop cannot be used"):
        parse({"stop": "}", "response_format": {"type": "json_object"}}, LIMITS)


def test_a_temperature_next_to_nothing_is_nothing() -> None:
    """Scores divided by less than a number can hold would let any token out."""
    assert parse({"temperature": 1e-45}, LIMITS).temperature == 0.0
    assert parse({"temperature": 0.001}, LIMITS).temperature == 0.001
