"""Which engine the settings lead to, and that none leads out of the site."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.assembly import WRITING
from appliance.config import Engine as Settings
from appliance.errors import ConfigurationError
from appliance.inference.engine import Engine
from appliance.inference.engine_choice import choose_engine
from appliance.inference.local_engines import LocalEngines
from appliance.inference.ollama_engine import OllamaEngine
from appliance.inference.openai_server import OpenAIServer


def choose(folder: Path, settings: Settings) -> Engine:
    places = {name: folder / name for name in ("library", "control", "sockets")}
    return choose_engine(settings, writing=WRITING, **places)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("llama", LocalEngines), ("ollama", OllamaEngine), ("openai", OpenAIServer)],
)
def test_the_kind_decides(tmp_path: Path, kind: str, expected: type[Engine]) -> None:
    """Each kind has its adapter; all of them are engines."""
    url = "" if kind == "llama" else "http://127.0.0.1:9"
    with closing(choose(tmp_path, replace(Settings(), kind=kind, url=url))) as engine:
        assert isinstance(engine, expected)
        as_engine: Engine = engine
        assert as_engine.status().state in ("down", "empty")


@pytest.mark.parametrize("kind", ["ollama", "openai"])
@pytest.mark.parametrize(
    "url", ["", "https://api.example.com", "http://8.8.8.8", "ftp://10.0.0.1", "http://2130706433"]
)
def test_no_engine_is_asked_outside_the_site(tmp_path: Path, kind: str, url: str) -> None:
    """An address out on the open net is refused where connections begin."""
    with pytest.raises(ConfigurationError, match="inside the site"):
        choose(tmp_path, replace(Settings(), kind=kind, url=url))


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    """A word that names no engine never falls back to one."""
    with pytest.raises(ConfigurationError):
        choose(tmp_path, replace(Settings(), kind="cloud", url="http://127.0.0.1:9"))
