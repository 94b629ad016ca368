"""LangChain's classes for OpenAI and for Ollama, unmodified (tools: `test_tools.py`).

They are imported where they are used: it takes seconds, in every worker of a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.clients.asked import ANSWER, ASKED, MODEL, NOTE, Triage, length
from tests.clients.conftest import Place

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


@pytest.fixture(scope="module")
def connection() -> Iterator[httpx.Client]:
    """What LangChain's classes would open by themselves and never close."""
    with httpx.Client() as made:
        yield made


@pytest.fixture(scope="module", params=["openai", "ollama"])
def chat(
    request: pytest.FixtureRequest, place: Place, connection: httpx.Client
) -> Iterator[BaseChatModel]:
    """The same questions go to both classes."""
    from langchain_ollama import ChatOllama
    from langchain_openai import ChatOpenAI

    if request.param == "openai":
        yield ChatOpenAI(
            model=MODEL, base_url=place.openai, api_key=place.key, temperature=0, max_retries=0,
            stream_usage=True, http_client=connection,
        )  # fmt: skip
        return
    made = ChatOllama(
        model=MODEL, base_url=place.address, temperature=0,
        client_kwargs={"headers": place.headers},
    )  # fmt: skip
    yield made
    made._client.close()


def test_invoke_answers(chat: BaseChatModel) -> None:
    """`invoke` returns the answer with its counts."""
    made = chat.invoke(ASKED)
    assert made.content.startswith(ANSWER)
    assert made.usage_metadata["output_tokens"] > 0


def test_stream_answers_in_pieces(chat: BaseChatModel) -> None:
    """`stream` yields pieces that make the answer."""
    pieces = [piece.content for piece in chat.stream(ASKED)]
    assert "".join(pieces).startswith(ANSWER)
    assert len(pieces) > 1


def test_structured_output_is_of_the_callers_type(chat: BaseChatModel) -> None:
    """`with_structured_output` gets JSON that follows the schema of a type."""
    model = chat.with_structured_output(Triage, method="json_schema")
    assert isinstance(model.invoke(NOTE), Triage)


def test_texts_are_embedded(place: Place, connection: httpx.Client) -> None:
    """Both classes give the same vectors; OpenAI's has to send text, not token numbers."""
    from langchain_ollama import OllamaEmbeddings
    from langchain_openai import OpenAIEmbeddings

    texts = ["chest pain", "sprained ankle"]
    one = OpenAIEmbeddings(
        model=MODEL, base_url=place.openai, api_key=place.key, http_client=connection,
        check_embedding_ctx_length=False,
    ).embed_documents(texts)  # fmt: skip
    made = OllamaEmbeddings(
        model=MODEL, base_url=place.address, client_kwargs={"headers": place.headers}
    )
    other = made.embed_documents(texts)
    made._client.close()
    assert length(one[0]) == pytest.approx(1, abs=1e-4)
    assert one[1] == pytest.approx(other[1], abs=1e-6)
