"""A bundle on a stick as sticks are: a real FAT32 file system, weights in parts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.bundles import building
from appliance.bundles.manifest import PART_BYTES
from appliance.errors import BadInputError
from tests.simulators.bundle_forge import BundleForge
from tests.unit.bundles.conftest import Site

# The smallest image that mkfs.vfat makes FAT32 and not FAT16 needs 65,525 clusters of 512 bytes.
IMAGE_BYTES = 40 * 2**20
SMALL_PART = 100_000

pytestmark = pytest.mark.skipif(
    not (shutil.which("mkfs.vfat") and shutil.which("mcopy")),
    reason="NOT TESTED: FAT32 needs mkfs.vfat (dosfstools) and mcopy (mtools)",
)


class Stick:
    """A FAT32 image, written and read by the tools that do so without mounting it."""

    def __init__(self, image: Path) -> None:
        self._image = image
        with image.open("xb") as file:
            file.truncate(IMAGE_BYTES)
        self._run("mkfs.vfat", "-F", "32", "-s", "1", str(image))

    def write(self, folder: Path) -> None:
        self._run("mcopy", "-i", str(self._image), "-s", str(folder), "::/")

    def read(self, name: str, folder: Path) -> Path:
        folder.mkdir()
        self._run("mcopy", "-i", str(self._image), "-s", f"::/{name}", str(folder))
        return folder / name

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below `folder`, by its path."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_bundle_survives_a_fat32_stick(site: Site, forge: BundleForge, tmp_path: Path) -> None:
    """Names and bytes come back from FAT32 as they went, and the bundle is imported from there."""
    forge.part_bytes = SMALL_PART
    bundle = forge.good()
    parts = sorted(bundle.glob("targets/*/*.gguf.*"))
    stick = Stick(tmp_path / "stick.img")
    stick.write(bundle)
    back = stick.read(bundle.name, tmp_path / "mounted")
    assert len(parts) > 1
    assert contents(back) == contents(bundle)
    assert site.bring_in(back) == ["tiny 1.0 imported"]


def test_parts_fit_a_fat32_stick() -> None:
    """Weights of 40 GiB become parts, each smaller than the 4 GiB that FAT32 cannot hold."""
    size = 40 * 2**30
    count = building.part_count(size, PART_BYTES)
    assert PART_BYTES < 2**32
    assert (count - 1) * PART_BYTES < size <= count * PART_BYTES


def test_part_larger_than_fat32_holds_is_refused(forge: BundleForge) -> None:
    """A part size of 4 GiB is refused before a byte is written; one byte less is not."""
    forge.part_bytes = 2**32
    with pytest.raises(BadInputError, match="FAT32"):
        forge.good()
    assert not (forge.desk / "bundle").exists()
    assert building.part_count(2**33, 2**32 - 1) == 3
