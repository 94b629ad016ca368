"""How the stack's llama-server is started: which model, after which look at it, and how."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "compose/llama-server/start.py"
WEIGHTS, TEMPLATE = b"weights", b"{{ messages }}"
DIGEST, TEMPLATE_DIGEST = (hashlib.sha256(data).hexdigest() for data in (WEIGHTS, TEMPLATE))
OTHER = "cd" * 32
ACTIVE = {"model": {"digest": DIGEST, "template_sha256": TEMPLATE_DIGEST, "context_tokens": 4096}}


def script() -> Any:
    """Return the script as a module; it lies in no package."""
    spec = importlib.util.spec_from_file_location("start", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def library(tmp_path: Path) -> Path:
    (tmp_path / f"{DIGEST}.gguf").write_bytes(WEIGHTS)
    (tmp_path / f"{TEMPLATE_DIGEST}.template").write_bytes(TEMPLATE)
    return tmp_path


def words(library: Path, active: dict[str, Any], **environment: str) -> list[str]:
    start = script()
    found: list[str] = start.options(start.chosen(environment, active), environment, library)
    return found


def after(found: list[str], option: str) -> str:
    return found[found.index(option) + 1]


def test_the_active_model_is_served_under_its_digest(library: Path) -> None:
    """With its signed template, and room for each of the parallel answers."""
    found = words(library, ACTIVE, APPLIANCE_PARALLEL="3", APPLIANCE_CPUS="1.5")
    assert after(found, "--model") == str(library / f"{DIGEST}.gguf")
    assert after(found, "--alias") == DIGEST
    assert after(found, "--chat-template-file") == str(library / f"{TEMPLATE_DIGEST}.template")
    assert (after(found, "--ctx-size"), after(found, "--parallel")) == ("12288", "3")
    assert after(found, "--threads") == "1"
    assert {"--offline", "--no-webui", "--no-kv-unified"} <= set(found)


def test_a_model_is_named_before_it_is_active(library: Path) -> None:
    """By its digest and that of its template; nothing of the active one is taken for it."""
    active = {"model": {**ACTIVE["model"], "digest": OTHER}}
    found = words(library, active, APPLIANCE_MODEL=DIGEST, APPLIANCE_TEMPLATE=TEMPLATE_DIGEST)
    assert after(found, "--alias") == DIGEST
    assert after(found, "--chat-template-file") == str(library / f"{TEMPLATE_DIGEST}.template")
    assert after(found, "--ctx-size") == "0"
    assert "--chat-template-file" not in words(library, active, APPLIANCE_MODEL=DIGEST)


def test_without_a_model_nothing_starts(library: Path) -> None:
    """And it says how one is named; so for a name that is no digest."""
    for named in ("", "../../etc/passwd"):
        with pytest.raises(SystemExit, match="no model is active"):
            words(library, {}, APPLIANCE_MODEL=named)


@pytest.mark.parametrize("ending", ["gguf", "template"])
def test_altered_files_are_not_loaded(library: Path, ending: str) -> None:
    """Weights or template, by one byte."""
    (file,) = library.glob(f"*.{ending}")
    file.write_bytes(file.read_bytes() + b"!")
    with pytest.raises(SystemExit, match="not what was signed; nothing was started"):
        words(library, ACTIVE)


def test_a_link_is_not_followed(library: Path) -> None:
    """Not even to a file with the right bytes."""
    place = library / f"{DIGEST}.gguf"
    place.rename(library / "elsewhere")
    place.symlink_to(library / "elsewhere")
    with pytest.raises(SystemExit, match="cannot be read"):
        words(library, ACTIVE)
