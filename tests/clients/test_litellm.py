"""litellm as a library, through its openai/ and ollama_chat/ providers."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from tests.clients.asked import ANSWER, ASKED, MODEL, length
from tests.clients.conftest import Place

# pydantic warns of types of litellm's own when it first meets them.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")
SAID = [{"role": "user", "content": ASKED}]


def openai_way(place: Place) -> dict[str, Any]:
    return {"model": f"openai/{MODEL}", "api_base": place.openai, "api_key": place.key}


def ollama_way(place: Place) -> dict[str, Any]:
    return {"model": f"ollama_chat/{MODEL}", "api_base": place.address, "api_key": place.key}


def generate_way(place: Place) -> dict[str, Any]:
    return {"model": f"ollama/{MODEL}", "api_base": place.address, "api_key": place.key}


WAYS = [openai_way, ollama_way, generate_way]


@pytest.fixture(scope="module")
def litellm() -> Any:
    """The library, imported where it is used: it takes seconds, in every worker of a run."""
    return import_module("litellm")


@pytest.mark.parametrize("way", WAYS)
def test_a_chat_is_answered(litellm: Any, place: Place, way: Any) -> None:
    """Each provider returns the answer with its counts."""
    made = litellm.completion(**way(place), messages=SAID, temperature=0)
    assert made.choices[0].message.content.startswith(ANSWER)
    assert made.usage.completion_tokens > 0


@pytest.mark.parametrize("way", WAYS)
def test_a_chat_is_streamed(litellm: Any, place: Place, way: Any) -> None:
    """Each provider's stream makes the same text."""
    pieces = litellm.completion(**way(place), messages=SAID, temperature=0, stream=True)
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    assert text.startswith(ANSWER)


def test_texts_are_embedded(litellm: Any, place: Place) -> None:
    """Vectors come through OpenAI's route."""
    texts = ["chest pain", "sprained ankle"]
    made = litellm.embedding(**openai_way(place), input=texts, encoding_format="float")
    assert length(made.data[1]["embedding"]) == pytest.approx(1, abs=1e-4)


def test_embeddings_through_litellms_ollama_provider_are_refused(
    litellm: Any, place: Place
) -> None:
    """That one provider sends no key, whatever it is given; the way above is the one to take."""
    with pytest.raises(litellm.AuthenticationError):
        litellm.embedding(**generate_way(place), input=["chest pain"])


def test_errors_are_litellms_own(litellm: Any, place: Place) -> None:
    """A wrong key and an unknown model are told apart."""
    way = openai_way(place)
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**{**way, "api_key": "apl_none"}, messages=SAID)
    with pytest.raises(litellm.NotFoundError):
        litellm.completion(**{**way, "model": "openai/other"}, messages=SAID)
