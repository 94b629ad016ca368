"""Looks for known vulnerabilities in what the images hold, in a database file that was carried in.

The file is an archive of OSV entries (one JSON per advisory, https://ossf.github.io/osv-schema/),
as OSV publishes it per ecosystem: `all.zip` of PyPI, of Debian:12 and of Go. Several may be given.
No network is used, and without a file nothing is said to be free of anything.

What counts as a match, exactly:
- an entry of the same ecosystem and name (Debian: the source package; PyPI: the normalised name;
  Go: the module, or stdlib) that is not withdrawn, and whose `versions` list names the installed
  version, or whose range of type ECOSYSTEM (Go: SEMVER) covers it: from `introduced` up to and
  without `fixed`, or up to and with `last_affected`;
- versions are compared as the ecosystem does: dpkg's algorithm, PEP 440, Semantic Versioning.
A version that cannot be compared counts as affected. Exit 1 when anything matches.
Not here: whether the vulnerable code is reached, and what no advisory knows.

Usage: scan.py all.zip [Debian.zip …]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import deb_version
import go_modules
from packaging.version import InvalidVersion, Version

BUILT = Path(__file__).resolve().parents[2] / "build" / "images"
PYPI, DEBIAN, GO = "PyPI", "Debian:12", "Go"
RANGE = {PYPI: "ECOSYSTEM", DEBIAN: "ECOSYSTEM", GO: "SEMVER"}
BEGINNING = "0"
Installed = Mapping[tuple[str, str], Mapping[str, frozenset[str]]]


def installed(documents: Iterable[Mapping[str, Any]]) -> Installed:
    """Return versions by ecosystem and name, each with the images that hold it."""
    found: dict[tuple[str, str], dict[str, frozenset[str]]] = {}
    for document in documents:
        image = str(document["metadata"]["component"]["name"])
        for part in document["components"]:
            ecosystem, name, version = _identity(part)
            versions = found.setdefault((ecosystem, name), {})
            versions[version] = versions.get(version, frozenset()) | {image}
    return found


def _identity(part: Mapping[str, Any]) -> tuple[str, str, str]:
    if part["purl"].startswith("pkg:pypi/"):
        return PYPI, normalised(part["name"]), part["version"]
    if part["purl"].startswith("pkg:golang/"):
        return GO, part["name"], part["version"].removeprefix("v")
    stated = {item["name"]: item["value"] for item in part["properties"]}
    return DEBIAN, stated["appliance:deb:source"], stated["appliance:deb:source-version"]


def normalised(name: str) -> str:
    """Return a PyPI name as it is compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def matches(
    entry: Mapping[str, Any], there: Installed
) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Yield name, version and images of what an advisory covers."""
    if entry.get("withdrawn"):
        return
    for affected in entry.get("affected", []):
        package = affected.get("package", {})
        ecosystem, name = package.get("ecosystem", ""), package.get("name", "")
        key = (ecosystem, normalised(name) if ecosystem == PYPI else name)
        for version, images in there.get(key, {}).items():
            if version in affected.get("versions", []) or any(
                covers(ecosystem, version, span) for span in affected.get("ranges", [])
            ):
                yield name, version, images


def covers(ecosystem: str, version: str, span: Mapping[str, Any]) -> bool:
    """Tell whether a range holds a version; its events are in no order (OSV schema, `events`)."""
    if span.get("type") != RANGE.get(ecosystem):
        return False
    order = _order(ecosystem)
    try:
        at = order(version)
        inside = False
        for kind, place in sorted(_events(span, order), key=lambda event: event[1]):
            if kind == "introduced" and place <= at:
                inside = True
            elif (kind == "fixed" and place <= at) or (kind == "last_affected" and place < at):
                inside = False
    except InvalidVersion:
        return True
    return inside


def _events(span: Mapping[str, Any], order: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
    for event in span.get("events", []):
        for kind, version in event.items():
            if kind in {"introduced", "fixed", "last_affected"}:
                yield kind, order(version)


def _order(ecosystem: str) -> Callable[[str], Any]:
    return {PYPI: Version, DEBIAN: deb_version.key, GO: go_modules.key}[ecosystem]


def advisories(files: Iterable[Path]) -> Iterator[Mapping[str, Any]]:
    """Yield every entry of the archives."""
    for file in files:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if name.endswith(".json"):
                    yield json.loads(archive.read(name))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description="look for known vulnerabilities, offline")
    parser.add_argument("files", type=Path, nargs="+", metavar="OSV.zip")
    given = parser.parse_args()
    documents = [json.loads(path.read_text()) for path in sorted(BUILT.glob("*.cdx.json"))]
    if not documents:
        sys.exit("error: there is no bill of materials in build/images\nnext: make images")
    there, looked, found = installed(documents), 0, 0
    for entry in advisories(given.files):
        looked += 1
        for name, version, images in matches(entry, there):
            found += 1
            names = ", ".join(sorted(images))
            print(
                f"{entry.get('id')}  {name} {version}  {names}  {entry.get('summary', '')}".rstrip()
            )
    print(f"{found} known vulnerabilities in {len(there)} packages, by {looked} advisories")
    if not looked:
        sys.exit("error: the files hold no advisory, so nothing was looked for")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
