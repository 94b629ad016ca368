"""What signed descriptions may say: names and numbers of a trusted publisher are checked too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tuf.api.metadata import Delegations, TargetFile, Targets

from appliance.bundles.listing import read_denied, read_models
from appliance.bundles.manifest import DENIED_FIELD, MAX_DENIED, SIDE_FILES, FileRole
from appliance.bundles.refusals import LayoutError

WEIGHTS, CARD = "tiny-1.0/tiny.gguf", "tiny-1.0/card.toml"
PARTS = ("tiny-1.0/tiny.gguf.001", "tiny-1.0/tiny.gguf.002")
DIGITS: dict[FileRole, str] = {"card": "b", "template": "c", "eval": "d", "bom": "e", "oms": "f"}
WITHDRAWN = {"sha256": "a" * 64, "model": "tiny", "version": "1.0", "reason": "wrong doses"}


def description(**changes: Any) -> dict[str, Any]:
    good = {
        "role": "weights",
        "part": 1,
        "parts": 1,
        "model": "tiny",
        "version": "1.0",
        "security_epoch": 1,
        "min_engine": "0.3",
        "chat_template_sha256": "c" * 64,
        "template_from": "weights",
        "architecture": "llama",
        "licence": "Apache-2.0",
        "oms_target": "tiny-1.0/model.oms.sig",
        "sha256": "a" * 64,
        "length": 10,
    }
    return {**good, **changes}


def target(path: str, custom: object, *, length: int = 10, digit: str = "a") -> TargetFile:
    return TargetFile(length, {"sha256": digit * 64}, path, {"custom": custom})


def side_files(folder: str = "tiny-1.0") -> list[TargetFile]:
    return [
        target(f"{folder}/{name}", {"role": role}, digit=DIGITS[role])
        for role, name in SIDE_FILES.items()
    ]


def signed(*extra: TargetFile, **changes: Any) -> Targets:
    files = [target(WEIGHTS, description(**changes)), *side_files(), *extra]
    return Targets(targets={item.path: item for item in files})


def in_two_parts(**changes: Any) -> Targets:
    whole = {"parts": 2, "sha256": "9" * 64, "length": 13, **changes}
    files = [
        target(PARTS[0], description(**whole)),
        target(PARTS[1], {"role": "weights", "part": 2}, length=3, digit="1"),
        *side_files(),
    ]
    return Targets(targets={item.path: item for item in files})


def test_description_becomes_a_model() -> None:
    """A complete description gives one model with its weights and the files beside them."""
    (model,) = read_models(signed())
    assert (model.name, model.version, model.min_engine) == ("tiny", "1.0", "0.3")
    assert [part.path for part in model.parts] == [WEIGHTS]
    assert model.file("card").path == CARD
    assert model.folder == "tiny-1.0"


def test_parts_come_in_the_order_of_their_numbers() -> None:
    """Weights in several files are one model, whose length and digest are those of the whole."""
    (model,) = read_models(in_two_parts())
    assert [part.path for part in model.parts] == list(PARTS)
    assert (model.length, model.sha256) == (13, "9" * 64)


def test_signature_over_a_model_covers_it_whole() -> None:
    """What the OMS signature must name is the whole weights and every other file but itself."""
    (model,) = read_models(in_two_parts())
    assert model.oms_digests == {
        "tiny.gguf": "9" * 64,
        "card.toml": "b" * 64,
        "chat_template.jinja": "c" * 64,
        "eval.jsonl": "d" * 64,
        "bom.cdx.json": "e" * 64,
    }


def test_stored_path_carries_the_digest() -> None:
    """On the medium a file's name begins with its digest."""
    (model,) = read_models(signed())
    assert model.parts[0].stored_path == f"tiny-1.0/{'a' * 64}.tiny.gguf"


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
        {"part": 2},
        {"part": None},
        {"sha256": "b" * 64},
        {"sha256": None},
        {"length": 11},
        {"length": 2**43},
        {"template_from": "engine"},
        {"template_from": None},
        {"chat_template_sha256": "b" * 64},
        {"oms_target": "other-1.0/model.oms.sig"},
        {"oms_target": None},
        {"role": "program"},
        {"role": None},
    ],
    ids=str,
)
def test_malformed_description_is_refused(changes: dict[str, Any]) -> None:
    """Each field of a description is required and checked."""
    with pytest.raises(LayoutError):
        read_models(signed(**changes))


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


def _card_by_another_name(targets: Targets) -> None:
    path = "tiny-1.0/licence.toml"
    del targets.targets[CARD]
    targets.targets[path] = target(path, {"role": "card"}, digit="b")


def _delegating(targets: Targets) -> None:
    targets.delegations = Delegations({}, {})


def _twins(targets: Targets) -> None:
    other = {"version": "1.1", "oms_target": "tiny-1.1/model.oms.sig"}
    weights = target("tiny-1.1/tiny.gguf", description(**other))
    targets.targets.update({item.path: item for item in [weights, *side_files("tiny-1.1")]})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_no_card, "no signed card"),
        (_second_card, "two files for card"),
        (_no_custom, "without a description"),
        (_no_sha256, "without a SHA-256"),
        (_huge_card, "bytes, outside"),
        (_card_by_another_name, "is not called card.toml"),
        (_delegating, "delegates"),
        (_twins, "same weights under two names or versions"),
    ],
)
def test_incomplete_bundle_is_refused(change: Callable[[Targets], None], words: str) -> None:
    """A bundle whose signed files do not make up whole models is refused."""
    targets = signed()
    change(targets)
    with pytest.raises(LayoutError, match=words):
        read_models(targets)


@pytest.mark.parametrize("role", SIDE_FILES)
def test_each_file_beside_the_weights_is_required(role: FileRole) -> None:
    """A model without a card, template, prompts, bill of materials or signature is none."""
    targets = signed()
    del targets.targets[f"tiny-1.0/{SIDE_FILES[role]}"]
    with pytest.raises(LayoutError, match=f"no signed {role}"):
        read_models(targets)


def _gap(targets: Targets) -> None:
    targets.targets[PARTS[1]].unrecognized_fields["custom"]["part"] = 3


def _repeated(targets: Targets) -> None:
    targets.targets[PARTS[1]].unrecognized_fields["custom"]["part"] = 1


def _misnamed(targets: Targets) -> None:
    custom = {"role": "weights", "part": 2}
    targets.targets["tiny-1.0/b"] = target("tiny-1.0/b", custom, length=3, digit="1")
    del targets.targets[PARTS[1]]


def _missing_part(targets: Targets) -> None:
    del targets.targets[PARTS[1]]


def _short_part(targets: Targets) -> None:
    targets.targets[PARTS[1]].length = 2


@pytest.mark.parametrize("change", [_gap, _repeated, _misnamed, _missing_part, _short_part])
def test_parts_that_make_no_whole_are_refused(change: Callable[[Targets], None]) -> None:
    """Parts with a gap, twice, out of order, or of another length in all are no model."""
    targets = in_two_parts()
    change(targets)
    with pytest.raises(LayoutError):
        read_models(targets)


def test_list_without_models_is_a_list() -> None:
    """A publisher may have nothing to offer, and still something to withdraw."""
    targets = Targets(unrecognized_fields={DENIED_FIELD: [WITHDRAWN]})
    assert read_models(targets) == ()
    (denied,) = read_denied(targets)
    assert (denied.sha256, denied.reason) == ("a" * 64, "wrong doses")


@pytest.mark.parametrize(
    "listed",
    [
        {},
        [None],
        [{**WITHDRAWN, "more": 1}],
        [{**WITHDRAWN, "sha256": "x"}],
        [{**WITHDRAWN, "reason": "a\nb"}],
        [{**WITHDRAWN, "model": "../x"}],
        [WITHDRAWN] * (MAX_DENIED + 1),
    ],
    ids=lambda value: str(value)[:40],
)
def test_malformed_list_of_withdrawn_models_is_refused(listed: object) -> None:
    """A deny list that is not exactly as documented is refused, not half read."""
    with pytest.raises(LayoutError):
        read_denied(Targets(unrecognized_fields={DENIED_FIELD: listed}))
