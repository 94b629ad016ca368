"""Vectors of texts: exact, of length 1, beside running answers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import llama_cpp.llama_cpp as api
import numpy as np
import pytest

from appliance.errors import BadInputError, ContextOverflowError, EngineUnavailableError
from appliance.llama import embeddings
from appliance.llama.embeddings import Embedder, Vector, parse_texts
from appliance.llama.weights import Weights
from tests.simulators.engine_process import put_model

from .conftest import is_control, load_weights

LONG = "the patient rests well and eats " * 30


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    folder = tmp_path_factory.mktemp("library")
    return load_weights(folder, put_model(folder, context=1024))


@pytest.fixture
def embedder(weights: Weights) -> Iterator[Embedder]:
    own = Embedder(weights)
    yield own
    own.close()


def mean_by_llama_cpp(weights: Weights, text: str) -> np.ndarray:
    """Let llama.cpp pool a text itself, all of it in one batch."""
    parameters = api.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = 1024
    parameters.n_threads = parameters.n_threads_batch = 1
    parameters.embeddings, parameters.pooling_type = True, api.LLAMA_POOLING_TYPE_MEAN
    context = api.llama_init_from_model(weights.model, parameters)
    tokens = [weights.bos, *weights.tokenize(text)]
    array = (api.llama_token * len(tokens))(*tokens)
    assert api.llama_decode(context, api.llama_batch_get_one(array, len(tokens))) == 0
    width = api.llama_model_n_embd_out(weights.model)
    vector = np.array(api.llama_get_embeddings_seq(context, 0)[:width])
    api.llama_free(context)
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("text", ["hello", LONG])
def test_a_vector_is_the_mean_of_its_tokens(
    weights: Weights, embedder: Embedder, text: str
) -> None:
    """In several batches the same comes out as llama.cpp's own pooling gives at once."""
    (vector,) = embedder.embed([text]).vectors
    assert vector == pytest.approx(mean_by_llama_cpp(weights, text), abs=1e-5)


def test_vectors_have_length_one(embedder: Embedder) -> None:
    """Whoever compares them needs no length."""
    found = embedder.embed(["a", "🙂 نعم", LONG])
    assert [np.linalg.norm(vector) for vector in found.vectors] == pytest.approx([1.0] * 3)


def test_a_text_has_one_vector(embedder: Embedder) -> None:
    """What was embedded before leaves no trace in what comes after."""
    alone = embedder.embed(["hello"]).vectors[0]
    assert embedder.embed([LONG, "hello", "other", "hello"]).vectors[1] == alone


def test_tokens_are_counted_exactly(weights: Weights, embedder: Embedder) -> None:
    """The opening token counts, and nothing else that is not in the texts."""
    texts = ["hello", "the patient"]
    expected = sum(1 + len(weights.tokenize(text)) for text in texts)
    assert embedder.embed(texts).tokens == expected
    assert sum(map(embedder.count, texts)) == expected


def test_a_text_cannot_bring_control_tokens(weights: Weights, embedder: Embedder) -> None:
    """Marks of turns are ordinary text to an embedding as well."""
    tokens = embedder._tokens("<|end|><|system|>", 0)
    assert [token for token in tokens if is_control(weights, token)] == [weights.bos]


def test_a_text_too_long_is_refused_by_its_place(embedder: Embedder) -> None:
    """It is not cut in silence; the error says which and how long it may be."""
    with pytest.raises(ContextOverflowError, match=r"input 1 has \d+ tokens; at most 1024"):
        embedder.embed(["short", "q" * 1100])
    with pytest.raises(ContextOverflowError, match="input 0 has 1000000 characters"):
        embedder.embed(["q" * 1_000_000])


def test_too_many_tokens_at_once_are_refused(embedder: Embedder) -> None:
    """One request cannot hold the others up for long."""
    with pytest.raises(ContextOverflowError, match="at most 65536"):
        embedder.embed(["q" * 1000] * 70)


@pytest.mark.parametrize("value", [None, [], "", [""], ["a", 1], [[1, 2]], {"a": 1}, ["x"] * 2049])
def test_input_of_another_shape_is_refused(value: object) -> None:
    """Texts and nothing else: no numbers of tokens, nothing empty."""
    with pytest.raises(BadInputError):
        parse_texts(value)


def test_several_callers_get_their_own(embedder: Embedder) -> None:
    """Requests at the same time wait for each other and do not mix."""
    texts = [f"text {number}" for number in range(6)]
    alone = [embedder.embed([text]).vectors for text in texts]
    found: dict[str, object] = {}

    def ask(text: str) -> None:
        found[text] = embedder.embed([text]).vectors

    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[text] for text in texts] == alone


def test_the_queue_is_bounded(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound a request is refused at once instead of waiting without end."""
    monkeypatch.setattr(embedder, "_places", threading.BoundedSemaphore(1))
    embedder._places.acquire()
    with pytest.raises(EngineUnavailableError, match="are waiting already"):
        embedder.embed(["hello"])


def test_nothing_is_computed_for_who_left(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long request whose caller left makes room for the next one."""
    monkeypatch.setattr(embeddings, "LOOK_S", 0.05)
    monkeypatch.setattr(embedder, "_vector", _slow(embedder._vector))
    with pytest.raises(EngineUnavailableError, match="caller left"):
        embedder.embed(["hello"] * 1_000, lambda: True)
    before = time.monotonic()
    embedder.embed(["hello"])
    assert time.monotonic() - before < 2.0


def _slow(vector: Callable[[Sequence[int]], Vector]) -> Callable[[Sequence[int]], Vector]:
    def slowly(tokens: Sequence[int]) -> Vector:
        time.sleep(0.01)
        return vector(tokens)

    return slowly


def test_closing_ends_it(weights: Weights) -> None:
    """What comes after is refused, and the thread is gone."""
    own = Embedder(weights)
    own.embed(["hello"])
    own.close()
    assert not own._thread.is_alive()
    with pytest.raises(EngineUnavailableError, match="being stopped"):
        own.embed(["hello"])


def test_it_gives_way_to_answers(embedder: Embedder) -> None:
    """Its thread has a lower priority than those that write."""
    embedder.embed(["hello"])
    native = embedder._thread.native_id
    assert native is not None
    assert os.getpriority(os.PRIO_PROCESS, native) >= embeddings.NICENESS
