"""A throw-away engine: it answers for one model, and leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Engine as Settings
from appliance.errors import EngineUnavailableError
from appliance.inference.engine import EngineModel, Finished, Generation, Sampling
from appliance.inference.trial import trial_engine
from tests.simulators.engine_process import model_entry, put_model
from tests.simulators.managed_engine import HELLO, eventually

SETTINGS = Settings(threads=1)


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Path]:
    """A library, and a folder for temporary files that must be empty at the end."""
    models, temporary = tmp_path / "models", tmp_path / "tmp"
    models.mkdir()
    temporary.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(temporary)
    yield models
    tempfile.tempdir = before
    assert list(temporary.iterdir()) == []


def model(digest: str) -> EngineModel:
    return EngineModel.parse(model_entry(digest))


def serving(library: Path) -> list[int]:
    """Return the processes that serve a model of this library."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and str(library).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def test_a_trial_answers_without_an_appliance(library: Path) -> None:
    """No manager runs; the model answers for exactly its digest, and is gone afterwards."""
    digest = put_model(library, activate=False)
    with trial_engine(library, model(digest), SETTINGS) as engine:
        *_, end = engine.generate(Generation(digest, HELLO, Sampling(5)))
        assert isinstance(end, Finished)
        assert end.answer_tokens == 5
        assert engine.count_tokens(digest, HELLO) == end.prompt_tokens
        with pytest.raises(EngineUnavailableError):
            engine.count_tokens("f" * 64, HELLO)
    eventually(lambda: not serving(library))


def test_a_trial_ends_with_an_exception(library: Path) -> None:
    """Whatever goes wrong in the block, the process and its folder are gone."""
    digest = put_model(library, seed=1, activate=False)

    def cut_short() -> None:
        with trial_engine(library, model(digest), settings=SETTINGS) as engine:
            next(engine.generate(Generation(digest, HELLO, Sampling(400))))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_short()
    eventually(lambda: not serving(library))


def test_a_model_that_cannot_be_loaded_is_no_trial(library: Path) -> None:
    """The reason is told, and the block is not entered."""
    digest = put_model(library, seed=2, activate=False)
    with (library / f"{digest}.gguf").open("ab") as file:
        file.write(b"\0")
    with (
        pytest.raises(EngineUnavailableError, match="other content"),
        trial_engine(library, model(digest), SETTINGS),
    ):
        raise AssertionError("it was loaded")


def test_a_model_that_is_not_ready_in_time_is_no_trial(library: Path) -> None:
    """Weights whose verification does not end are given up."""
    digest = "d" * 64
    with (library / f"{digest}.gguf").open("wb") as file:
        file.truncate(20_000_000_000)
    with (
        pytest.raises(EngineUnavailableError, match="not ready within"),
        trial_engine(library, model(digest), SETTINGS, load_within_s=0.0),
    ):
        raise AssertionError("it was loaded")
    eventually(lambda: not serving(library))


def test_a_process_that_dies_is_told(library: Path) -> None:
    """A model that ends its process while it answers is an error, and nothing hangs."""
    digest = put_model(library, seed=3, activate=False, context=131_072)
    settings = Settings(threads=1, max_answer_tokens=131_072)
    with trial_engine(library, model(digest), settings) as engine:
        stream = engine.generate(Generation(digest, HELLO, Sampling(131_072)))
        next(stream)
        os.kill(max(serving(library)), 9)
        with pytest.raises(EngineUnavailableError):
            list(stream)
