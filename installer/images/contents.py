"""What is really in the images: packages, wheels, Go modules; and what is not as locked.

Reads each image as `docker export` gives it, not what was meant to be put in. Writes, in
build/images: `images.lock` (with the ids of these very images) and `<image>.cdx.json` (CycloneDX
1.6). Compares all of it with compose/images.lock and prints every difference; with --locked a
difference is an error, with --accept it becomes the lock. Images for overlays are those that are
named, and those of an earlier build that are still the same; of others the lock's lines stay.

An image's id is here the digest of its layers and of how it starts (compose/image.format), which
every engine says alike: Docker's own id depends on where an engine keeps its images. Ids are of one
build, since layers hold times. What two builds share is the list, and that is what
compose/images.lock pins.
Not here: known vulnerabilities (`scan.py`).
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import bom
import go_modules

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "build" / "images"
LOCK = ROOT / "compose" / "images.lock"
FORMAT = ROOT / "compose" / "image.format"
IMAGES = ("edge", "engine", "gateway", "ledger")
OPTIONAL = ("engine-cuda", "engine-rocm", "llama-server", "ollama")
# Programs in Go, which say themselves what they were built of.
PROGRAMS = frozenset({"usr/bin/ollama"})
HEADER = "# Made by installer/images/contents.py: what is in the images. Change it with --accept.\n"
DOCKER = shutil.which("docker") or "docker"
STATUS = "var/lib/dpkg/status"


@dataclass(frozen=True)
class Contents:
    """An image, and what is installed in it."""

    name: str
    id: str
    packages: tuple[bom.Package, ...]
    wheels: tuple[bom.Wheel, ...]
    modules: tuple[bom.Module, ...]

    def lines(self) -> Iterator[str]:
        """Yield what two builds of the same sources have in common."""
        for package in self.packages:
            yield f"{self.name} deb {package.name} {package.version} {package.architecture}"
        for wheel in self.wheels:
            yield f"{self.name} wheel {wheel.name} {wheel.version}"
        for module in self.modules:
            yield f"{self.name} go {module.name} {module.version}"


def read(name: str, version: str) -> Contents:
    """Return what an image holds, from its file system."""
    image = f"appliance/{name}:{version}"
    identity = _id(name, version)
    container = _docker("create", "--network", "none", image).strip()
    packages: list[bom.Package] = []
    wheels: list[bom.Wheel] = []
    modules: list[bom.Module] = []
    try:
        exported = subprocess.Popen([DOCKER, "export", container], stdout=subprocess.PIPE)
        with tarfile.open(fileobj=exported.stdout, mode="r|") as files:
            for file in files:
                if file.name == STATUS:
                    packages += _packages(_text(files, file))
                elif file.name.endswith(".dist-info/METADATA"):
                    wheels.append(_wheel(_text(files, file)))
                elif file.name in PROGRAMS:
                    found = go_modules.modules(_bytes(files, file))
                    modules += [bom.Module(*one) for one in found]
        if exported.wait() or not packages:
            raise SystemExit(f"error: {image} could not be read")
    finally:
        _docker("rm", "--force", container)
    held = (tuple(sorted(packages)), tuple(sorted(wheels)), tuple(sorted(modules)))
    return Contents(name, identity, *held)


def _packages(status: str) -> Iterator[bom.Package]:
    """Yield the installed packages of dpkg's list (deb822, one paragraph each)."""
    for paragraph in status.split("\n\n"):
        fields = HeaderParser().parsestr(paragraph.lstrip("\n"))
        if fields.get("Status") == "install ok installed":
            # `name (version)`, or a name alone, where the source is called otherwise.
            source, _, of = fields.get("Source", fields["Package"]).partition(" ")
            yield bom.Package(
                fields["Package"],
                fields["Version"],
                fields["Architecture"],
                source,
                of.strip("()") or fields["Version"],
            )


def _wheel(metadata: str) -> bom.Wheel:
    fields = HeaderParser().parsestr(metadata)
    licence = fields.get("License-Expression") or ""
    return bom.Wheel(fields["Name"].lower().replace("_", "-"), fields["Version"], licence)


def _text(files: tarfile.TarFile, file: tarfile.TarInfo) -> str:
    return _bytes(files, file).decode(errors="replace")


def _bytes(files: tarfile.TarFile, file: tarfile.TarInfo) -> bytes:
    data = files.extractfile(file)
    return b"" if data is None else data.read()


def _docker(*arguments: str) -> str:
    done = subprocess.run([DOCKER, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: docker {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def still_there(version: str) -> list[str]:
    """Return the optional images that an earlier build has listed, and that are what it listed."""
    listed = BUILT / "images.lock"
    lines = set(listed.read_text().splitlines()) if listed.exists() else set()
    ids = {name: _id(name, version) for name in OPTIONAL}
    return [name for name, known in ids.items() if f"image appliance/{name} {known}" in lines]


def _id(name: str, version: str) -> str:
    """Return what compose/up.sh compares; nothing where there is no such image."""
    image = f"appliance/{name}:{version}"
    done = subprocess.run(
        [DOCKER, "image", "inspect", "--format", FORMAT.read_text().strip(), image],
        capture_output=True, check=False,
    )  # fmt: skip
    return "" if done.returncode else f"sha256:{hashlib.sha256(done.stdout).hexdigest()}"


def locked_lines() -> list[str]:
    """Return what compose/images.lock holds."""
    lines = LOCK.read_text().splitlines() if LOCK.exists() else []
    return [line for line in lines if not line.startswith("#")]


def compare(lines: list[str], names: Collection[str]) -> list[str]:
    """Return how these images differ from the lock, as lines with - and +."""
    wanted = [line for line in locked_lines() if line.split()[0] in names]
    return [line for line in difflib.ndiff(wanted, lines) if line.startswith(("- ", "+ "))]


def accept(lines: list[str], names: Collection[str]) -> None:
    """Make these images the lock; what it says of others stays."""
    others = [line for line in locked_lines() if line.split()[0] not in names]
    order = [*IMAGES, *OPTIONAL]
    kept = sorted([*lines, *others], key=lambda line: order.index(line.split()[0]))
    LOCK.write_text(HEADER + "".join(f"{line}\n" for line in kept))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="list what is in the images")
    parser.add_argument("version")
    # An empty list is what argparse looks up when none is named.
    parser.add_argument("optional", nargs="*", choices=[[], *OPTIONAL], metavar="IMAGE")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--locked", action="store_true", help="refuse what differs from the lock")
    how.add_argument("--accept", action="store_true", help="make it the lock")
    given = parser.parse_args()
    names = [*IMAGES, *sorted({*given.optional, *still_there(given.version)})]
    images = [read(name, given.version) for name in names]
    lines = [line for image in images for line in image.lines()]
    differences = compare(lines, names)
    for line in differences:
        print(line)
    if given.locked and differences:
        sys.exit("error: the images differ from compose/images.lock, as said above")
    if given.accept:
        accept(lines, names)
    ids = [f"image appliance/{image.name} {image.id}" for image in images]
    BUILT.mkdir(parents=True, exist_ok=True)
    (BUILT / "images.lock").write_text("".join(f"{line}\n" for line in (*ids, *lines)))
    for image in images:
        parts = (image.packages, image.wheels, image.modules)
        made = bom.cyclonedx(image.name, given.version, image.id, *parts)
        (BUILT / f"{image.name}.cdx.json").write_text(json.dumps(made, indent=1) + "\n")
    print(f"wrote build/images/images.lock and a bill of materials for {', '.join(names)}")


if __name__ == "__main__":
    main()
