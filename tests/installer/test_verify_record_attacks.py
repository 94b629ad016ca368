"""Each attack of the design's table, on a small record: found, and the first bad entry named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from tests.simulators.auditor import TAMPERED, WHOLE, result
from tests.simulators.forgery import (
    Change,
    all_resigned,
    database,
    made,
    replaced,
    resigned,
    restated,
)
from tests.simulators.record_forge import Forge


def change_one(forge: Forge) -> None:
    replaced(forge, 100, b'"usr_1"', b'"usr_9"')


def change_one_and_recompute(forge: Forge) -> None:
    restated(forge, 100, purpose="other")


def delete_and_recompute(forge: Forge) -> None:
    rest = [forge.entries.pop(seq) for seq in range(101, forge.size)][1:]
    del forge.leaves[101:]
    for entry in rest:
        place: dict[str, Any] = {"seq": forge.size, "prev": forge.leaves[-1].hex()}
        forge.append(rfc8785.dumps({**json.loads(entry), **place}))
    forge.handovers[1] = (1, 298, forge.key(1))


def cut_the_tail(forge: Forge) -> None:
    del forge.leaves[450:]
    for seq in range(450, len(forge.entries)):
        del forge.entries[seq]


@pytest.mark.parametrize(
    ("attack", "entry"),
    [
        (change_one, 100),
        (change_one_and_recompute, 0),
        (delete_and_recompute, 0),
        (cut_the_tail, 450),
    ],
)
def test_the_record_itself_shows_it(attack: Change, entry: int, tmp_path: Path) -> None:
    """Chain, numbers and signed checkpoints find what needs no key; no anchor is given."""
    forge = made()
    attack(forge)
    assert result(database(forge, tmp_path), "--key", forge.key(0))[:2] == (TAMPERED, entry)


def yesterday(forge: Forge) -> None:
    forge.__dict__.update(Forge().add(200).checkpoint().__dict__)


def cut_with_its_checkpoint(forge: Forge) -> None:
    cut_the_tail(forge)
    del forge.notes[520]


def rewrite_with_stolen_keys(forge: Forge) -> None:
    change_one_and_recompute(forge)
    all_resigned(forge)


def rewrite_the_present_epoch(forge: Forge) -> None:
    restated(forge, 400, purpose="other")
    resigned(forge, 520, 1)


@pytest.mark.parametrize(
    ("attack", "size", "entry"),
    [
        (yesterday, 520, 200),
        (cut_with_its_checkpoint, 520, 450),
        (rewrite_with_stolen_keys, 200, 0),
        (rewrite_the_present_epoch, 520, 0),
    ],
)
def test_only_a_checkpoint_kept_elsewhere_shows_it(
    attack: Change, size: int, entry: int, tmp_path: Path
) -> None:
    """Whole in itself, and found as soon as one anchor is at hand."""
    forge = made()
    anchor = tmp_path / "kept-elsewhere"
    anchor.write_text(forge.notes[size])
    attack(forge)
    path = database(forge, tmp_path)
    assert result(path, "--key", forge.key(0))[0] == WHOLE
    assert result(path, "--key", forge.key(0), "--anchor", anchor)[:2] == (TAMPERED, entry)


def test_a_record_made_anew_has_another_first_key(tmp_path: Path) -> None:
    """Starting over needs no stolen key, and the key on paper finds it."""
    path = database(Forge(seed="forger").add(300).checkpoint(), tmp_path)
    assert result(path, "--key", made().key(0))[:2] == (TAMPERED, None)


def test_who_holds_only_the_present_key_cannot_change_an_earlier_epoch(tmp_path: Path) -> None:
    """Signing all with today's key fails at the first checkpoint of a day before."""
    forge = made()
    change_one_and_recompute(forge)
    for size in forge.notes:
        resigned(forge, size, 1)
    assert result(database(forge, tmp_path), "--key", forge.key(0))[0] == TAMPERED
