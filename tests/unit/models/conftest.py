"""Put the demo model's package on the path and load its GGUF once per session."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

MODEL_FOLDER = Path(__file__).resolve().parents[3] / "models" / "demo"
sys.path.insert(0, str(MODEL_FOLDER))

if TYPE_CHECKING:
    from demo_model.answering import DemoModel


@pytest.fixture(scope="session")
def gguf_path() -> Path:
    """The one GGUF below models/demo, wherever a signed bundle has put it."""
    # Freshly trained weights lie higher than those of the bundle, and are the ones to test.
    found = sorted(MODEL_FOLDER.glob("**/*.gguf"), key=lambda path: len(path.parts))
    assert found, f"no GGUF below {MODEL_FOLDER}; write one with models/demo/train.py"
    return found[0]


@pytest.fixture(scope="session")
def demo(gguf_path: Path) -> DemoModel:
    """The real model, on one thread."""
    from demo_model.answering import DemoModel

    return DemoModel(gguf_path)
