"""Bundles mutated at random, with a fixed seed: none enters with other content than the signed."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from appliance.errors import UnavailableError, VerificationError
from tests.simulators.bundle_forge import BundleForge
from tests.unit.bundles.conftest import TIME, Site

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
        path.rename(path.with_name(path.name.replace(source.choice("0123456789aet"), "x", 1)))
        return
    path.write_bytes(data)


def test_no_mutated_bundle_brings_in_other_content(site: Site, forge: BundleForge) -> None:
    """A mutated bundle is refused in words, or brings in exactly what was signed; never else.

    The second happens where bytes do not matter, such as the case of hexadecimal digits.
    """
    good = forge.good()
    source = random.Random(20260302)  # noqa: S311  # repeatable, not secret
    signed = sorted(path.name.split(".")[0] for path in good.glob("targets/*/*.gguf"))
    entered = 0
    for number in range(BUNDLES):
        folder = forge.desk / f"mutated-{number}"
        shutil.copytree(good, folder)
        mutate(folder, source)
        try:
            models = site.library.import_bundle(folder, TIME, "usr_steward")
        except (VerificationError, UnavailableError):
            assert site.library.models() == []
            assert site.files() == []
        else:
            assert [model.digest for model in models] == signed
            entered += 1
            break
        shutil.rmtree(folder)
    assert entered == 0
