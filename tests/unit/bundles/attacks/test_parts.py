"""Weights in parts: missing, repeated, out of order, or of two models, each well signed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import TargetFile, Targets

from tests.simulators.bundle_forge import replace, stored
from tests.unit.bundles.attacks.hospital import Hospital, Publisher

LAYOUT, CONTENT, SIGNATURE = "bundle_layout", "bundle_content", "bad_signature"
UNSAFE = "unsafe_model"
Json = dict[str, Any]


@pytest.fixture
def parted(publisher: Publisher) -> Path:
    """A bundle whose weights come in three parts."""
    publisher.forge.part_bytes = 50_000
    return publisher.good()


def parts_of(targets: Targets) -> list[TargetFile]:
    return sorted(
        (item for item in targets.targets.values() if ".gguf." in item.path),
        key=lambda item: item.path,
    )


def part_missing(targets: Targets) -> None:
    del targets.targets[parts_of(targets)[1].path]


def part_repeated(targets: Targets) -> None:
    parts_of(targets)[2].unrecognized_fields["custom"]["part"] = 2


def part_numbers_swapped(targets: Targets) -> None:
    first, second = parts_of(targets)[1:]
    one, two = first.unrecognized_fields["custom"], second.unrecognized_fields["custom"]
    one["part"], two["part"] = two["part"], one["part"]


def too_many_parts(targets: Targets) -> None:
    parts_of(targets)[0].unrecognized_fields["custom"]["parts"] = 999


def no_parts(targets: Targets) -> None:
    parts_of(targets)[0].unrecognized_fields["custom"]["parts"] = 0


def shorter_whole(targets: Targets) -> None:
    parts_of(targets)[0].unrecognized_fields["custom"]["length"] -= 1


def enormous_whole(targets: Targets) -> None:
    parts_of(targets)[0].unrecognized_fields["custom"]["length"] = 2**50


@pytest.mark.parametrize(
    "lie",
    [part_missing, part_repeated, part_numbers_swapped, too_many_parts, no_parts,
     shorter_whole, enormous_whole],
)  # fmt: skip
def test_parts_that_do_not_add_up_are_refused(
    hospital: Hospital, publisher: Publisher, parted: Path, lie: Callable[[Targets], None]
) -> None:
    """Parts must be numbered without gap or repetition, and make exactly the whole."""
    folder = publisher.forge.signed(parted, lie)
    assert hospital.refuses(folder).named()[0] == LAYOUT


def test_parts_in_another_order_are_refused(
    hospital: Hospital, publisher: Publisher, parted: Path
) -> None:
    """Parts with good digests of their own, exchanged, do not have the whole's digest."""

    def swap(targets: Targets) -> None:
        first, second = parts_of(targets)[:2]
        one, two = (stored(parted, targets, item.path).read_bytes() for item in (first, second))
        replace(parted, targets, first.path, two)
        replace(parted, targets, second.path, one)

    assert hospital.refuses(publisher.forge.signed(parted, swap)).named()[0] == CONTENT


def test_parts_of_two_models_are_refused(hospital: Hospital, publisher: Publisher) -> None:
    """A part of another model with the right length and a good digest does not fit the whole."""
    publisher.forge.part_bytes = 50_000
    publisher.add("2.0")
    folder = publisher.good()

    def mix(targets: Targets) -> None:
        one, two = (f"{publisher.name}-{v}/{publisher.name}.gguf.002" for v in ("1.0", "2.0"))
        replace(folder, targets, one, stored(folder, targets, two).read_bytes())

    assert hospital.refuses(publisher.forge.signed(folder, mix)).named()[0] == CONTENT


def test_a_wrong_whole_over_right_parts_is_refused(
    hospital: Hospital, publisher: Publisher, parted: Path
) -> None:
    """Parts that are all as signed are refused when the whole is signed with another digest."""

    def lie(targets: Targets) -> None:
        parts_of(targets)[0].unrecognized_fields["custom"]["sha256"] = "0" * 64

    assert hospital.refuses(publisher.forge.signed(parted, lie)).named()[0] == CONTENT


def test_a_changed_part_is_refused(hospital: Hospital, publisher: Publisher, parted: Path) -> None:
    """One byte changed in the second of three parts is found, and the part is named."""
    path = next(parted.glob("targets/*/*.gguf.002"))
    data = bytearray(path.read_bytes())
    data[25_000] ^= 1
    path.write_bytes(data)
    refusal = hospital.refuses(parted)
    assert refusal.named()[0] == CONTENT
    assert ".gguf.002" in refusal.error.message
