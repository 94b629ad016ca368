"""Engines for these tests: real processes with a tiny model of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as api
import pytest

from appliance.config import Engine as Settings
from appliance.llama.library_view import ActiveModel, verified
from appliance.llama.model import Model, load
from appliance.llama.weights import Weights
from tests.simulators.engine_process import EngineProcess, put_model

LONG = 131_072


@dataclass(frozen=True)
class Running:
    """An engine and the digest it serves."""

    engine: EngineProcess
    digest: str

    def body(self, text: str = "hello", **rest: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": text}]
        return {"model": self.digest, "messages": messages, "max_tokens": 8, **rest}

    def ask(self, text: str = "hello", **rest: Any) -> Any:
        return self.engine.post("/v1/chat/completions", self.body(text, **rest))


@pytest.fixture(scope="session")
def shared() -> Iterator[Running]:
    """One engine with a context long enough for an answer of many seconds."""
    engine = EngineProcess(max_answer_tokens=LONG)
    digest = put_model(engine.library, context=LONG)
    yield Running(engine.start(), digest)
    engine.close()


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    """An engine that is not started yet, for a test that arranges its library first."""
    own = EngineProcess()
    yield own
    own.close()


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path


def load_model(library: Path, digest: str, **settings: int) -> Model:
    return load(library, ActiveModel("tiny", "1", digest), Settings(threads=1, **settings))


def load_weights(library: Path, digest: str) -> Weights:
    with verified(library, digest) as source:
        return Weights(source)


def is_control(weights: Weights, token: int) -> bool:
    """Say whether llama.cpp takes a token for a mark and not for text."""
    return bool(api.llama_vocab_is_control(weights.vocabulary, token))
