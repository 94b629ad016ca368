"""What signed descriptions may say: names and numbers of a trusted publisher are checked too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tuf.api.metadata import Delegations, TargetFile, Targets

from appliance.bundles.manifest import read_models
from appliance.bundles.refusals import LayoutError

WEIGHTS, CARD = "tiny-1.0/tiny.gguf", "tiny-1.0/card.toml"


def description(**changes: Any) -> dict[str, Any]:
    good = {
        "role": "weights",
        "model": "tiny",
        "version": "1.0",
        "security_epoch": 1,
        "min_engine": "0.3",
        "chat_template_sha256": "ab" * 32,
        "architecture": "llama",
        "licence": "Apache-2.0",
        "parts": 1,
    }
    return {**good, **changes}


def target(path: str, custom: object, *, length: int = 10, digit: str = "a") -> TargetFile:
    return TargetFile(length, {"sha256": digit * 64}, path, {"custom": custom})


def signed(*extra: TargetFile) -> Targets:
    files = [target(WEIGHTS, description()), target(CARD, {"role": "card"}, digit="b"), *extra]
    return Targets(targets={item.path: item for item in files})


def test_description_becomes_a_model() -> None:
    """A complete description gives one model with its weights and its card."""
    (model,) = read_models(signed())
    assert (model.name, model.version, model.min_engine) == ("tiny", "1.0", "0.3")
    assert (model.weights.path, model.card.path) == (WEIGHTS, CARD)


def test_stored_path_carries_the_digest() -> None:
    """On the medium a file's name begins with its digest."""
    (model,) = read_models(signed())
    assert model.weights.stored_path == f"tiny-1.0/{'a' * 64}.tiny.gguf"


@pytest.mark.parametrize(
    "path",
    [
        "../tiny.gguf",
        "tiny-1.0/../../x",
        "/etc/passwd",
        "tiny-1.0/..",
        "tiny-1.0/a..b",
        "tiny.gguf",
        "a/b/c.gguf",
        "tiny-1.0/Tiny.gguf",
        "tiny-1.0/.hidden",
        "tiny-1.0/a b",
        "tiny-1.0/a\\b",
        "tiny-1.0/a\nb",
        "tiny-1.0/a\0b",
        "tiny-1.0/é",
        "tiny-1.0/" + "x" * 200,
        "-rf/x",
    ],
)
def test_unsafe_name_is_refused_although_signed(path: str) -> None:
    """A name that is no plain lower-case file name is refused, whoever signed it."""
    with pytest.raises(LayoutError, match="not a plain lower-case file name"):
        read_models(signed(target(path, {"role": "card"})))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "Tiny"},
        {"model": None},
        {"model": "other"},
        {"version": "latest"},
        {"version": 1},
        {"security_epoch": -1},
        {"security_epoch": True},
        {"security_epoch": "1"},
        {"security_epoch": 2**40},
        {"min_engine": "new"},
        {"chat_template_sha256": "ab"},
        {"chat_template_sha256": "AB" * 32},
        {"architecture": "la ma"},
        {"licence": ""},
        {"licence": "a\nb"},
        {"licence": 7},
        {"parts": 2},
        {"parts": 0},
        {"role": "program"},
        {"role": None},
    ],
    ids=str,
)
def test_malformed_description_is_refused(changes: dict[str, Any]) -> None:
    """Each field of a description is required and checked."""
    with pytest.raises(LayoutError):
        read_models(
            Targets(
                targets={
                    WEIGHTS: target(WEIGHTS, description(**changes)),
                    CARD: target(CARD, {"role": "card"}, digit="b"),
                }
            )
        )


def _no_card(targets: Targets) -> None:
    del targets.targets[CARD]


def _second_card(targets: Targets) -> None:
    path = "tiny-1.0/card2.toml"
    targets.targets[path] = target(path, {"role": "card"}, digit="c")


def _no_custom(targets: Targets) -> None:
    targets.targets[CARD].unrecognized_fields.clear()


def _no_sha256(targets: Targets) -> None:
    targets.targets[CARD].hashes = {"sha512": "a" * 128}


def _huge_card(targets: Targets) -> None:
    targets.targets[CARD].length = 10_000_000


def _empty(targets: Targets) -> None:
    targets.targets.clear()


def _delegating(targets: Targets) -> None:
    targets.delegations = Delegations({}, {})


def _twins(targets: Targets) -> None:
    weights, card = "tiny-1.1/tiny.gguf", "tiny-1.1/card.toml"
    targets.targets[weights] = target(weights, description(version="1.1"))
    targets.targets[card] = target(card, {"role": "card"}, digit="d")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_no_card, "no signed card"),
        (_second_card, "two files for card"),
        (_no_custom, "without a description"),
        (_no_sha256, "without a SHA-256"),
        (_huge_card, "bytes, outside"),
        (_empty, "names 0 files"),
        (_delegating, "delegates"),
        (_twins, "same weights under two names"),
    ],
)
def test_incomplete_bundle_is_refused(change: Callable[[Targets], None], words: str) -> None:
    """A bundle whose signed files do not make up whole models is refused."""
    targets = signed()
    change(targets)
    with pytest.raises(LayoutError, match=words):
        read_models(targets)
