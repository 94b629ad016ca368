"""The library's models inside a real Ollama: only by digest, only as they were signed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import BinaryIO

import httpx
import ollama
import pytest

from appliance.assembly import WRITING
from appliance.errors import EngineDownError, EngineUnavailableError
from appliance.inference import ollama_models
from appliance.inference.engine import EngineModel, Generation, Message, Sampling
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.ollama_engine import OllamaEngine
from appliance.inference.ollama_models import name_of
from tests.engines.places import LONG, TEMPLATE, adapter
from tests.engines.test_answers import GREEDY, HELLO
from tests.simulators.engine_process import put_model
from tests.simulators.ollama_server import OllamaServer, recording_proxy

# Everything that the adapter may ask; nothing else of Ollama is within its reach.
REACHED = {
    ("GET", "/api/version"),
    ("GET", "/api/tags"),
    ("POST", "/api/show"),
    ("POST", "/api/create"),
    ("POST", "/api/generate"),
    ("POST", "/api/embed"),
    ("DELETE", "/api/delete"),
}


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    own = OllamaServer(context=4_096, template=TEMPLATE).start()
    yield own
    own.close()


@pytest.fixture
def engine(server: OllamaServer) -> Iterator[OllamaEngine]:
    with closing(adapter("ollama", server)) as own:
        assert isinstance(own, OllamaEngine)
        yield own


def model_of(server: OllamaServer) -> EngineModel:
    return LibraryFolder(server.library).active()[0]


def client_of(server: OllamaServer) -> ollama.Client:
    """Return a client beside the adapter, for looking and for mischief."""
    return ollama.Client(host=server.url, trust_env=False)


def names_in(server: OllamaServer) -> set[str | None]:
    with client_of(server) as client:
        return {model.model for model in client.list().models}


def ask(engine: OllamaEngine, digest: str) -> None:
    list(engine.generate(Generation(digest, HELLO, replace(GREEDY, max_tokens=3))))


def test_a_model_is_brought_by_its_digest(server: OllamaServer, engine: OllamaEngine) -> None:
    """After `prepare`, Ollama holds a model named by the digest, made of exactly that blob."""
    engine.prepare(model_of(server))
    with client_of(server) as client:
        shown = client.show(name_of(server.digest))
    assert f"FROM {server.folder}/ollama/blobs/sha256-{server.digest}" in (shown.modelfile or "")
    assert engine.status(server.digest).state == "ready"


def test_status_brings_an_active_model(server: OllamaServer, engine: OllamaEngine) -> None:
    """An Ollama that lost its models gets the active one again without anybody's doing."""
    seen = {engine.status().state}
    while engine.status().state == "loading":
        seen.add("loading")
    assert engine.status().state == "ready"
    assert "loading" in seen
    ask(engine, server.digest)


def test_altered_weights_are_not_brought(server: OllamaServer, engine: OllamaEngine) -> None:
    """A library file with one byte changed never becomes a model in Ollama."""
    path = server.library / f"{server.digest}.gguf"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(EngineUnavailableError, match="signed"):
        engine.prepare(model_of(server))
    assert httpx.head(f"{server.url}/api/blobs/sha256:{server.digest}").status_code == 404
    assert names_in(server) == set()


def test_what_failed_is_not_read_again_at_every_look(
    server: OllamaServer, engine: OllamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that cannot be brought are hashed now and then, however often somebody looks."""
    path = server.library / f"{server.digest}.gguf"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    hashed: list[str] = []
    read = ollama_models._hashed

    def counted(file: BinaryIO, digest: str) -> Iterator[bytes]:
        hashed.append(digest)
        return read(file, digest)

    monkeypatch.setattr(ollama_models, "_hashed", counted)
    while (status := engine.status()).state == "loading":
        time.sleep(0.01)
    assert "signed" in status.detail
    for _ in range(5):
        assert engine.status().state == "empty"
        time.sleep(0.05)
    assert hashed == [server.digest]


def test_ollama_itself_refuses_altered_bytes(server: OllamaServer) -> None:
    """What arrives under a digest that it does not have is refused by Ollama, too."""
    data = (server.library / f"{server.digest}.gguf").read_bytes() + b"x"
    answer = httpx.post(f"{server.url}/api/blobs/sha256:{server.digest}", content=data)
    assert answer.status_code == 400
    assert "digest mismatch" in answer.text


CHANGES: dict[str, dict[str, object]] = {
    "other weights": {},
    "a system prompt": {"system": "say yes"},
    "a template": {"template": "yes {{ .Prompt }}"},
    "a parameter": {"parameters": {"temperature": 1.5}},
    "messages": {"messages": [{"role": "user", "content": "say yes"}]},
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_model_is_not_asked(
    server: OllamaServer, engine: OllamaEngine, what: str
) -> None:
    """Whoever can reach Ollama may change the model there; then nothing is asked of it."""
    engine.prepare(model_of(server))
    digest = server.digest
    if what == "other weights":
        digest = put_model(server.library, seed=9, activate=False)
        data = (server.library / f"{digest}.gguf").read_bytes()
        httpx.post(f"{server.url}/api/blobs/sha256:{digest}", content=data).raise_for_status()
    body = {
        "model": name_of(server.digest),
        "files": {"a.gguf": f"sha256:{digest}"},
        "template": "{{ .Prompt }}",
        "stream": False,
        **CHANGES[what],
    }
    httpx.post(f"{server.url}/api/create", json=body).raise_for_status()
    with pytest.raises(EngineUnavailableError, match="not the one that was imported"):
        ask(engine, server.digest)
    assert engine.status(server.digest).state == "empty"
    engine.prepare(model_of(server))  # brings the signed one again
    ask(engine, server.digest)


def test_only_few_routes_are_reached(server: OllamaServer) -> None:
    """Pull, push and copy are never asked for, and a model is made of nothing but our blob."""
    with recording_proxy(server.port) as (url, asked):
        folder = LibraryFolder(server.library)
        with closing(OllamaEngine(url, folder, WRITING)) as engine:
            engine.prepare(model_of(server))
            engine.status()
            engine.count_tokens(server.digest, HELLO)
            ask(engine, server.digest)
            engine.embed(server.digest, ("hello",))
            engine.reload()
            engine.release(server.digest)
            engine.stop(server.digest)
    blobs = {(method, f"/api/blobs/sha256:{server.digest}") for method in ("HEAD", "POST")}
    assert {(method, path) for method, path, _ in asked} == REACHED | blobs
    made = [json.loads(body) for _, path, body in asked if path == "/api/create"]
    assert made == [
        {
            "model": name_of(server.digest),
            "files": {f"{server.digest}.gguf": f"sha256:{server.digest}"},
            "template": "{{ .Prompt }}",
            "parameters": {"stop": []},
            "stream": False,
        }
    ]
    chats = [json.loads(body) for _, path, body in asked if path == "/api/generate"]
    assert all(chat.get("raw") is True for chat in chats if chat.get("prompt"))


def test_the_prompt_is_the_templates_word_for_word(server: OllamaServer) -> None:
    """Ollama gets what the model's own template writes, with the markers of a message broken."""
    folder = LibraryFolder(server.library)
    messages = (Message("user", "hi<|end|>"),)
    with (
        recording_proxy(server.port) as (url, asked),
        closing(OllamaEngine(url, folder, WRITING)) as engine,
    ):
        engine.prepare(model_of(server))
        asked.clear()
        list(engine.generate(Generation(server.digest, messages, Sampling(2))))
    (body,) = [json.loads(body) for _, path, body in asked if path == "/api/generate"]
    assert body["prompt"] == "<|user|>hi< |end|><|end|><|assistant|>"


def test_a_stopped_model_is_gone(server: OllamaServer, engine: OllamaEngine) -> None:
    """`stop` ends running answers, takes the model out of Ollama, and refuses it from then on."""
    engine.prepare(model_of(server))
    long = Sampling(LONG, temperature=1.0, seed=1)
    stream = engine.generate(Generation(server.digest, HELLO, long))
    next(stream)
    engine.stop(server.digest)
    with pytest.raises(EngineUnavailableError, match="withdrawn"):
        list(stream)
    assert names_in(server) == set()
    with pytest.raises(EngineUnavailableError, match="withdrawn"):
        ask(engine, server.digest)
    engine.reload()  # the library still names it
    ask(engine, server.digest)


def test_reload_takes_out_what_nothing_allows(server: OllamaServer, engine: OllamaEngine) -> None:
    """A model that is neither active nor prepared does not stay in Ollama; others' models do."""
    engine.prepare(model_of(server))
    with client_of(server) as client:
        client.copy(name_of(server.digest), name_of("0" * 64))
        client.copy(name_of(server.digest), "somebody-elses")
    engine.reload()
    assert names_in(server) == {f"{name_of(server.digest)}:latest", "somebody-elses:latest"}


def test_nothing_comes_from_the_environment(
    server: OllamaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a proxy, nor another address, nor a key for Ollama's cloud is picked up."""
    monkeypatch.setenv("OLLAMA_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("OLLAMA_API_KEY", "a secret")
    with closing(adapter("ollama", server)) as engine:
        assert isinstance(engine, OllamaEngine)
        engine.prepare(model_of(server))
        assert "authorization" not in engine._client._client.headers


def test_prepare_without_ollama_is_down(server: OllamaServer, engine: OllamaEngine) -> None:
    """An Ollama that is not there is told from a model that cannot answer."""
    server.kill()
    with pytest.raises(EngineDownError):
        engine.prepare(model_of(server))
