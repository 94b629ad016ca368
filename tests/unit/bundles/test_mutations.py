"""Bundles mutated at random, with a fixed seed: none enters."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from appliance.errors import VerificationError
from tests.simulators.bundle_forge import BundleForge
from tests.unit.bundles.conftest import Site

BUNDLES = 150


def mutate(folder: Path, source: random.Random) -> None:
    """Damage one file of the bundle: bits, length, content or name."""
    path = source.choice(sorted(item for item in folder.rglob("*") if item.is_file()))
    data = bytearray(path.read_bytes())
    place = source.randrange(len(data))
    how = source.randrange(5)
    if how == 0:
        data[place] ^= 1 << source.randrange(8)
    elif how == 1:
        del data[place:]
    elif how == 2:
        data[place:place] = source.randbytes(source.randint(1, 40))
    elif how == 3:
        data[place : place + 8] = source.choice((b"\xff" * 8, bytes(8), b'"1":{}},', b"99999999"))
    else:
        letter = source.choice(path.name)
        path.rename(path.with_name(path.name.replace(letter, "x" if letter != "x" else "y", 1)))
        return
    path.write_bytes(data)


def test_no_mutated_bundle_enters(site: Site, forge: BundleForge) -> None:
    """Every mutated bundle is refused in words, and leaves no file and no row."""
    good = forge.good()
    source = random.Random(20260302)  # noqa: S311  # repeatable, not secret
    for number in range(BUNDLES):
        folder = forge.desk / f"mutated-{number}"
        shutil.copytree(good, folder)
        mutate(folder, source)
        with pytest.raises(VerificationError):
            site.bring_in(folder)
        assert site.library.models() == []
        assert site.files() == []
        shutil.rmtree(folder)
