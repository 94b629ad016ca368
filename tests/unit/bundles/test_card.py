"""Model cards: required values, and agreement with what was signed."""

from __future__ import annotations

import pytest

from appliance.bundles import card
from appliance.bundles.refusals import UnsafeModelError

GOOD = b'name = "m"\nversion = "1.0"\nlicence = "MIT"\nlimits = "none known"\n'


def test_card_keeps_its_text_and_values() -> None:
    """A card gives its exact text, and every value in it."""
    parsed = card.parse(GOOD)
    assert (parsed.text, parsed.values["limits"], parsed.demo) == (
        GOOD.decode(),
        "none known",
        False,
    )


def test_demo_is_marked() -> None:
    """A card says that its model is a demo."""
    assert card.parse(GOOD + b"demo = true\n").demo is True


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff", "not TOML"),
        (b"name =", "not TOML"),
        (b'version = "1.0"\nlicence = "MIT"\n', "no name"),
        (b'name = "m"\nversion = 1.0\nlicence = "MIT"\n', "no version"),
        (b'name = "m"\nversion = "1.0"\nlicence = ""\n', "no licence"),
        (GOOD + b'demo = "yes"\n', "neither true nor false"),
        (b"# " + b"x" * 70_000, "larger than"),
        (b"a = " + b"[" * 20_000, "not TOML"),
    ],
)
def test_malformed_card_is_refused(data: bytes, words: str) -> None:
    """A card that is no TOML, or lacks a required value, is refused."""
    with pytest.raises(UnsafeModelError, match=words):
        card.parse(data)


@pytest.mark.parametrize("stated", ['"mamba"', "7"])
def test_card_of_another_architecture_is_refused(stated: str) -> None:
    """A card that was copied from another kind of model is noticed, where it says its kind."""
    found = card.parse(GOOD + f"architecture = {stated}\n".encode())
    with pytest.raises(UnsafeModelError, match="architecture"):
        card.check_architecture(found, "llama")
