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
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    """The error says which parameter is wrong."""
    with pytest.raises(BadInputError, match=name):
        parse({name: value}, LIMITS)


@pytest.mark.parametrize("name", ["n", "tools", "logprobs", "response_format", "logit_bias"])
def test_what_is_not_supported_is_refused(name: str) -> None:
    """A wish that would be ignored in silence is refused instead."""
    with pytest.raises(BadInputError, match=name):
        parse({name: {"x": 1}}, LIMITS)


def test_neutral_values_of_unsupported_parameters_pass() -> None:
    """Clients that send defaults such as n=1 work."""
    assert parse({"n": 1, "frequency_penalty": 0.0, "tools": None}, LIMITS)
