"""The servers that are compared, each started as its users start it, on the same model.

Guarantee: the same file, context for each of `SLOTS` answers at once, threads; one server runs at
a time, and it ends with the measurement, whatever happens. Servers keep their own defaults in
everything else. Not here: what they are asked, and figures.

`build/peers/bin` holds llama-server, llama-batched-bench and ollama (installer/peers builds them),
`build/bench/venv` holds llama_cpp.server (tests/bench/environment.sh builds it).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from appliance.config import Engine as Settings
from appliance.inference.engine import EngineModel
from appliance.inference.model_process import ModelProcess, Site
from appliance.inference.sockets import SocketFolder
from tests.bench.harness import BUILD
from tests.bench.serving_load import Address, Request
from tests.bench.serving_prompts import Messages
from tests.simulators.stack import free_port

PEERS = BUILD.parent / "peers" / "bin"
PYTHON = BUILD / "venv" / "bin" / "python"
THREADS, SLOTS, CONTEXT = 2, 8, 8_192
READY_WITHIN_S = 120.0
PR_SET_PDEATHSIG = 1

# In Ollama's own language, letter by letter what the chat template in the file writes.
OLLAMA_TEMPLATE = "{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}<|assistant|>"


@dataclass(frozen=True)
class Model:
    """The file that every server loads, and its SHA-256 in hex."""

    path: Path
    digest: str


@dataclass(frozen=True)
class Server:
    """A running server: where it listens, and how a question is put to it."""

    address: Address
    request: Callable[[Messages, int, str], Request]


Start = Callable[[Model], contextlib.AbstractContextManager[Server]]


@contextlib.contextmanager
def ours(model: Model, changed: Mapping[str, Any] | None = None) -> Iterator[Server]:
    """Our engine's process on its Unix socket, which the gateway uses in the same way."""
    given = Settings(
        threads=THREADS,
        slots=SLOTS,
        context_tokens=CONTEXT,
        pool_tokens=SLOTS * CONTEXT,
        max_answer_tokens=CONTEXT,
    )
    settings = replace(given, **(changed or {}))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        state = Path(name)
        library, sockets = state / "models", state / "run"
        library.mkdir()
        os.link(model.path, library / f"{model.digest}.gguf")
        site = Site(state, library, SocketFolder(sockets), settings)
        process = ModelProcess(site, EngineModel("speed", "1", model.digest))
        try:
            address = _awaited(lambda: next(sockets.glob("*.sock"), None))
            _await_ready(address, "/status", lambda body: body["state"] == "ready")
            yield Server(address, _openai(model.digest))
        finally:
            process.end()


@contextlib.contextmanager
def llama_server(model: Model) -> Iterator[Server]:
    """llama.cpp's own server, with a slot for each answer."""
    address = ("127.0.0.1", free_port())
    command = [str(PEERS / "llama-server"), "-m", str(model.path), "--no-webui"]
    sizes = {"-np": SLOTS, "-c": SLOTS * CONTEXT, "-t": THREADS, "-tb": THREADS}
    with _running([*command, *_flags(sizes), *_flags({"--port": address[1]})]):
        _await_ready(address, "/health", lambda body: body["status"] == "ok")
        yield Server(address, _openai("speed"))


@contextlib.contextmanager
def llama_cpp_server(model: Model) -> Iterator[Server]:
    """llama-cpp-python's own: one answer after the other, told not to break off the first."""
    address = ("127.0.0.1", free_port())
    command = [str(PYTHON), "-m", "llama_cpp.server", "--model", str(model.path)]
    sizes = {
        "--n_ctx": CONTEXT,
        "--n_threads": THREADS,
        "--n_threads_batch": THREADS,
        "--interrupt_requests": False,
        "--verbose": False,
        "--port": address[1],
    }
    with _running([*command, *_flags(sizes)]):
        _await_ready(address, "/v1/models", lambda body: bool(body["data"]))
        yield Server(address, _openai("speed"))


@contextlib.contextmanager
def ollama(model: Model) -> Iterator[Server]:
    """Ollama, told to answer as many at once; its copy of the model is kept for the next time."""
    address = ("127.0.0.1", free_port())
    folder = BUILD / "ollama"
    settings = {
        "OLLAMA_HOST": f"127.0.0.1:{address[1]}",
        "OLLAMA_MODELS": str(folder / "models"),
        "OLLAMA_NUM_PARALLEL": str(SLOTS),
        "OLLAMA_KEEP_ALIVE": "-1",
        "HOME": str(folder),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with _running([str(PEERS / "ollama"), "serve"], settings):
        _await_ready(address, "/api/version", lambda body: "version" in body)
        name = f"speed-{model.digest[:12]}"
        _create_in_ollama(address, model, name)
        yield Server(address, _ollama(name))


ALL: Mapping[str, Start] = {
    "our engine": ours,
    "llama-server": llama_server,
    "llama_cpp.server": llama_cpp_server,
    "ollama": ollama,
}


def missing(subject: str) -> str:
    """Return what a subject lacks on this machine, or nothing."""
    needs = {
        "llama-server": PEERS / "llama-server",
        "llama_cpp.server": PYTHON,
        "ollama": PEERS / "ollama",
        "llama-batched-bench": PEERS / "llama-batched-bench",
    }
    needed = needs.get(subject)
    return "" if needed is None or needed.exists() else f"there is no {needed}"


def batched_bench(model: Model, prompt: int, answer: int, *, unified: bool) -> dict[str, float]:
    """Return tokens/s of llama.cpp without any server: prompt shared by `SLOTS` sequences."""
    sizes = {
        "-m": model.path,
        "-c": SLOTS * (prompt + answer),
        "-t": THREADS,
        "-tb": THREADS,
        "-npp": prompt,
        "-ntg": answer,
        "-npl": SLOTS,
        "--output-format": "jsonl",
    }
    command = [str(PEERS / "llama-batched-bench"), *_flags(sizes), "-pps"]
    command.append("-kvu" if unified else "-no-kvu")
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True)
    last = json.loads(done.stdout.strip().splitlines()[-1])
    return {"prompt_tokens_per_s": last["speed_pp"], "decode_tokens_per_s": last["speed_tg"]}


def _openai(name: str) -> Callable[[Messages, int, str], Request]:
    def request(messages: Messages, tokens: int, person: str) -> Request:
        body = {
            "model": name,
            "messages": messages,
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "user": person,
        }
        return Request("/v1/chat/completions", body)

    return request


def _ollama(name: str) -> Callable[[Messages, int, str], Request]:
    # Ollama punishes repetition unless told not to, and ends an answer in which one token comes
    # thirty times in a row, as this model may write; so it alone draws among its likeliest tokens.
    sampling = {"temperature": 50, "repeat_penalty": 1.0}
    options = {"num_ctx": CONTEXT, "num_thread": THREADS, **sampling}

    def request(messages: Messages, tokens: int, person: str) -> Request:
        given = options | {"num_predict": tokens}
        body = {"model": name, "messages": messages, "stream": True, "options": given}
        return Request("/api/chat", body)

    return request


def _create_in_ollama(address: tuple[str, int], model: Model, name: str) -> None:
    with _client(address) as client:
        held = client.get("/api/tags").json()["models"] or []
        if any(entry["name"].startswith(name) for entry in held):
            return
        digest = f"sha256:{model.digest}"
        with model.path.open("rb") as file:
            client.post(f"/api/blobs/{digest}", content=file).raise_for_status()
        body = {
            "model": name,
            "files": {"speed.gguf": digest},
            "template": OLLAMA_TEMPLATE,
            "stream": False,
        }
        client.post("/api/create", json=body).raise_for_status()


@contextlib.contextmanager
def _running(command: list[str], settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a server in a group of its own; its output is shown when it did not come up."""
    BUILD.mkdir(parents=True, exist_ok=True)
    log = BUILD / f"{Path(command[0]).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**_environment(), **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
    try:
        yield
    except BaseException:
        print(f"{command[0]} said:\n{log.read_text(errors='replace')[-3000:]}")
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _die_with_parent() -> None:
    """Runs in the child: a benchmark that is killed leaves no server behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _environment() -> dict[str, str]:
    """Return the environment without what would set a server up differently."""
    foreign = ("LLAMA_", "OLLAMA_", "GGML_", "OMP_", "APPLIANCE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


def _flags(values: Mapping[str, object]) -> list[str]:
    return [text for name, value in values.items() for text in (name, str(value))]


def _await_ready(address: Address, path: str, check: Callable[[Any], bool]) -> None:
    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError), _client(address) as client:
            answer = client.get(path)
            return answer.status_code == 200 and check(answer.json())
        return False

    _awaited(ready)


def _awaited(check: Callable[[], Any]) -> Any:
    """Return what a check brings once it brings something."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not (found := check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"a server was not ready within {READY_WITHIN_S:.0f} s")
        time.sleep(0.1)
    return found


def _client(address: Address) -> httpx.Client:
    if isinstance(address, Path):
        transport = httpx.HTTPTransport(uds=str(address))
        return httpx.Client(transport=transport, base_url="http://engine", timeout=60)
    return httpx.Client(base_url=f"http://{address[0]}:{address[1]}", timeout=60)
