"""Servers of others that do not serve what they should: nothing is asked of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from appliance.assembly import WRITING
from appliance.errors import BadInputError, ContextOverflowError, EngineUnavailableError
from appliance.inference.engine import (
    Delta,
    Engine,
    EngineModel,
    Finished,
    Generation,
    Message,
    Sampling,
    Tools,
)
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.openai_server import OpenAIServer
from appliance.inference.safe_text import SafeTexts
from tests.engines.places import TEMPLATE, adapter
from tests.engines.test_answers import GREEDY, HELLO
from tests.engines.test_features import CHOOSE
from tests.simulators.engine_process import activate_model, put_model
from tests.simulators.llama_server import LlamaServer
from tests.simulators.tiny_gguf import TEMPLATE as WITHOUT_TOOLS


@pytest.fixture
def server() -> Iterator[LlamaServer]:
    own = LlamaServer(context=4_096, template=TEMPLATE)
    yield own
    own.close()


@pytest.fixture
def engine(server: LlamaServer) -> Iterator[Engine]:
    with closing(adapter("llama-server", server)) as own:
        yield own


def refused(engine: Engine, digest: str, why: str) -> None:
    status = engine.status(digest)
    assert status.state == "empty"
    assert why in status.detail
    with pytest.raises(EngineUnavailableError, match=why):
        list(engine.generate(Generation(digest, HELLO, GREEDY)))
    with pytest.raises(EngineUnavailableError, match=why):
        engine.prepare(EngineModel("tiny", "1", digest))


def test_a_server_without_the_digest_as_its_name_is_refused(
    server: LlamaServer, engine: Engine
) -> None:
    """A model under any other name is not known to be the signed one."""
    server.start(alias="tiny")
    refused(engine, server.digest, "under its digest")


def test_a_server_that_read_another_file_is_refused(server: LlamaServer, engine: Engine) -> None:
    """A name alone is not enough where the server tells which file it has read."""
    other = put_model(server.library, seed=9, activate=False)
    server.start(file=f"{other}.gguf")
    refused(engine, server.digest, "another file")


def test_a_server_with_another_template_is_refused(server: LlamaServer, engine: Engine) -> None:
    """Where a template was signed with the model, the server has to use that one."""
    digest = hashlib.sha256(WITHOUT_TOOLS.encode()).hexdigest()
    (server.library / f"{digest}.template").write_text(WITHOUT_TOOLS)
    activate_model(server.library, server.digest, template_sha256=digest)
    server.start()
    with pytest.raises(EngineUnavailableError, match="another chat template"):
        list(engine.generate(Generation(server.digest, HELLO, GREEDY)))
    server.kill()
    server.start("--chat-template-file", str(server.library / f"{digest}.template"))
    assert isinstance(list(engine.generate(Generation(server.digest, HELLO, GREEDY)))[-1], Finished)


def test_tools_that_a_template_leaves_out_are_refused() -> None:
    """llama-server would leave tools out without a word where the template has no place for
    them; then nothing is asked."""
    server = LlamaServer(context=4_096, template=WITHOUT_TOOLS).start()
    with closing(adapter("llama-server", server)) as engine:
        request = Generation(server.digest, HELLO, GREEDY, Tools((CHOOSE,)))
        with pytest.raises(BadInputError, match="no tools"):
            list(engine.generate(request))
    server.close()


def test_a_prepared_model_may_be_asked_until_it_is_stopped(
    server: LlamaServer, engine: Engine
) -> None:
    """A model that is not active yet answers after `prepare`, and not after `stop`."""
    (server.library / "active.json").unlink()
    server.start()
    with pytest.raises(EngineUnavailableError, match="not active"):
        list(engine.generate(Generation(server.digest, HELLO, GREEDY)))
    engine.prepare(EngineModel("tiny", "1", server.digest))
    stream = engine.generate(Generation(server.digest, HELLO, Sampling(3_000)))
    next(stream)
    engine.stop(server.digest)
    with pytest.raises(EngineUnavailableError, match="withdrawn"):
        list(stream)
    with pytest.raises(EngineUnavailableError, match="withdrawn"):
        engine.count_tokens(server.digest, HELLO)


# --- a server like vLLM, which cannot run here: its answers as its documents show them


class LikeVllm(ThreadingHTTPServer):
    """Answers as vLLM does: no /props, a count at /tokenize, its own words for what is too long."""

    def __init__(self, digest: str) -> None:
        super().__init__(("127.0.0.1", 0), _VllmHandler)
        self.digest = digest
        self.asked: list[tuple[str, dict[str, Any]]] = []


class _VllmHandler(BaseHTTPRequestHandler):
    server: LikeVllm

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._say(200, {"data": [{"id": self.server.digest, "max_model_len": 2_048}]})
        else:
            self._say(200 if self.path == "/health" else 404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        if self.path == "/tokenize":
            self._say(200, {"count": 11, "max_model_len": 2_048, "tokens": list(range(11))})
        elif len(json.dumps(body)) > 4_000:
            words = (
                "This model's maximum context length is 2048 tokens. However, you requested more"
            )
            self._say(400, {"object": "error", "message": words, "code": 400})
        else:
            chunk = {"model": self.server.digest, "choices": [{"delta": {"content": "well"}}]}
            end = {"model": self.server.digest, "choices": [{"delta": {}, "finish_reason": "stop"}]}
            usage = {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 1}}
            lines = [f"data: {json.dumps(item)}\n\n" for item in (chunk, end, usage)]
            self._send(200, "".join([*lines, "data: [DONE]\n\n"]).encode())

    def _say(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, json.dumps(body).encode())

    def _send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


def test_a_server_like_vllm_answers(server: LlamaServer) -> None:
    """Without /props, the name has to do; tokens are counted over there, and its own words and
    fields are known."""
    vllm = LikeVllm(server.digest)
    thread = Thread(target=vllm.serve_forever)
    thread.start()
    library = LibraryFolder(server.library)
    texts = SafeTexts(library, WRITING.neutralise)
    with closing(OpenAIServer(f"http://127.0.0.1:{vllm.server_port}", library, texts)) as engine:
        engine.prepare(EngineModel("tiny", "1", server.digest))
        assert engine.status().context_tokens == 2_048
        assert engine.count_tokens(server.digest, HELLO) == 11
        sampling = Sampling(5, repeat_penalty=1.2)
        progress = list(engine.generate(Generation(server.digest, HELLO, sampling, person="p")))
        assert progress == [Delta("well"), Finished("stop", 11, 1)]
        assert vllm.asked[-1][1]["repetition_penalty"] == 1.2
        assert vllm.asked[-1][1]["user"] == "p"
        long = (Message("user", "x" * 5_000),)
        with pytest.raises(ContextOverflowError):
            list(engine.generate(Generation(server.digest, long, GREEDY)))
    vllm.shutdown()
    vllm.server_close()
    thread.join()
