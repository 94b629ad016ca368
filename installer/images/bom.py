"""A software bill of materials of one image: CycloneDX 1.6, from what is installed in it.

Pure: values in, an object for JSON out; the same image gives the same document, so it states no
time of its own. Not here: reading the image (`contents.py`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

# Names of documents are derived from the image's id (RFC 9562, version 5), and never random.
NAMESPACE = uuid.UUID("6f7a3c1e-2f0b-5d53-9a51-7f2f7c1c8a60")


@dataclass(frozen=True, order=True)
class Package:
    """A Debian package, and the source package that advisories name."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str

    @property
    def purl(self) -> str:
        """Its name across ecosystems (Package URL, type deb)."""
        name, version = quote(self.name, safe=""), quote(self.version, safe="")
        return f"pkg:deb/debian/{name}@{version}?arch={self.architecture}&distro=debian-12"


@dataclass(frozen=True, order=True)
class Wheel:
    """A Python distribution; `licence` is an SPDX expression, empty where it states none."""

    name: str
    version: str
    licence: str

    @property
    def purl(self) -> str:
        """Its name across ecosystems (Package URL, type pypi)."""
        return f"pkg:pypi/{quote(self.name, safe='')}@{quote(self.version, safe='')}"


@dataclass(frozen=True, order=True)
class Module:
    """A module that a program in Go was built of; `stdlib` is Go's own library."""

    name: str
    version: str

    @property
    def purl(self) -> str:
        """Its name across ecosystems (Package URL, type golang)."""
        return f"pkg:golang/{quote(self.name)}@{quote(self.version, safe='')}"


def cyclonedx(
    name: str,
    version: str,
    image_id: str,
    packages: Sequence[Package],
    wheels: Sequence[Wheel],
    modules: Sequence[Module] = (),
) -> Mapping[str, Any]:
    """Return the document of one image."""
    subject = f"appliance/{name}@{image_id}"
    parts = [*map(_package, packages), *map(_wheel, wheels), *map(_module, modules)]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, subject)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": subject,
                "name": f"appliance/{name}",
                "version": version,
                "properties": [{"name": "appliance:image:id", "value": image_id}],
            }
        },
        "components": parts,
        "dependencies": [{"ref": subject, "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _package(package: Package) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "properties": [
            {"name": "appliance:deb:source", "value": package.source},
            {"name": "appliance:deb:source-version", "value": package.source_version},
        ],
    }


def _wheel(wheel: Wheel) -> dict[str, Any]:
    licences = {"licenses": [{"expression": wheel.licence}]} if wheel.licence else {}
    return {
        "type": "library",
        "bom-ref": wheel.purl,
        "name": wheel.name,
        "version": wheel.version,
        "purl": wheel.purl,
        **licences,
    }


def _module(module: Module) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": module.purl,
        "name": module.name,
        "version": module.version,
        "purl": module.purl,
    }
