"""The demo model's card."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any

import pytest

CARD = Path(__file__).resolve().parents[3] / "models" / "demo" / "card.toml"


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    """The parsed card."""
    return tomllib.loads(CARD.read_text("utf-8"))


def test_card_says_that_it_is_a_demo(card: dict[str, Any]) -> None:
    """Nobody can take the demo for a clinical model by its card."""
    assert (card["name"], card["version"], card["demo"]) == ("demo", "1", True)
    assert any("not for care" in limit for limit in card["known_limits"])


def test_card_holds_what_an_approver_reads(card: dict[str, Any]) -> None:
    """Licence, purpose, data, measurement and hardware floor are all stated."""
    wanted = {
        "licence",
        "architecture",
        "parameters",
        "context_length",
        "intended_use",
        "training_data",
        "known_limits",
        "evaluation",
        "hardware_floor",
        "sampling",
        "starters",
    }
    assert wanted <= set(card)
    assert card["context_length"] == 512
    assert card["sampling"]["temperature"] == 0


def test_card_figures_belong_to_this_file(card: dict[str, Any], gguf_path: Path) -> None:
    """The evaluation in the card was made with the file that is shipped."""
    assert hashlib.sha256(gguf_path.read_bytes()).hexdigest() == card["evaluation"]["sha256"]
    figure = card["evaluation"]["fields_right_percent"]
    assert any(f"{figure} %" in limit for limit in card["known_limits"])


def test_file_stays_small(gguf_path: Path) -> None:
    """The model fits in the repository: at most 8 MB."""
    assert gguf_path.stat().st_size <= 8_000_000
