"""What is said of the images: bills of materials by the schema, and matches by the advisories."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "installer" / "images"
sys.path.append(str(SCRIPTS))
import bom  # noqa: E402  # a script's neighbours lie beside it, in no package
import deb_version  # noqa: E402
import scan  # noqa: E402

OPENSSL = bom.Package("libssl3", "3.0.15-1~deb12u1", "amd64", "openssl", "3.0.15-1~deb12u1")
FLASK = bom.Wheel("flask", "3.1.3", "BSD-3-Clause")
ID = "sha256:" + "ab" * 32
# In dpkg's order; each differs from the one before in one way.
IN_ORDER = (
    "1.0~~", "1.0~rc1", "1.0", "1.0-1~bpo1", "1.0-1", "1.0-1+deb12u1", "1.0-1+deb12u10", "1.0a",
    "1.0+b", "1.0.0", "1.1", "1.10", "2-1-1", "1:0.9",
)  # fmt: skip


def document(*, image_id: str = ID) -> Any:
    return bom.cyclonedx("edge", "0.1.0", image_id, [OPENSSL], [FLASK])


def test_the_bill_of_materials_follows_the_schema() -> None:
    """CycloneDX 1.6, by the library of those who wrote it."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document())) is None


def test_one_image_has_one_bill_of_materials() -> None:
    """Made twice it is the same document; of another image it has another number."""
    assert document() == document()
    other = document(image_id="sha256:" + "cd" * 32)
    assert other["serialNumber"] != document()["serialNumber"]


def test_packages_are_named_across_ecosystems() -> None:
    """By Package URL, with what a URL cannot hold escaped."""
    assert OPENSSL.purl == ("pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64&distro=debian-12")
    assert bom.Package("g++", "1:2+b", "amd64", "g++", "1").purl.startswith(
        "pkg:deb/debian/g%2B%2B@1%3A2%2Bb?"
    )
    assert FLASK.purl == "pkg:pypi/flask@3.1.3"


def test_debian_versions_sort_as_dpkg_sorts_them() -> None:
    """Every pair, in the order that is stated here; and dpkg itself, where it is, agrees."""
    keys = [deb_version.key(version) for version in IN_ORDER]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    dpkg = shutil.which("dpkg")
    if dpkg is not None:
        for lower, higher in itertools.pairwise(IN_ORDER):
            subprocess.run([dpkg, "--compare-versions", lower, "lt", higher], check=True)


def test_a_version_without_revision_is_revision_zero() -> None:
    """deb-version(7): 1.0 and 1.0-0 are one version."""
    assert deb_version.key("1.0") == deb_version.key("1.0-0")


def advisory(package: dict[str, str], *events: dict[str, str], **more: Any) -> dict[str, Any]:
    affected = {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}
    return {"id": "X-1", "affected": [affected | more]}


SOURCE = {"ecosystem": "Debian:12", "name": "openssl"}
WHEEL = {"ecosystem": "PyPI", "name": "Flask"}


@pytest.mark.parametrize(
    ("entry", "is_match"),
    [
        (advisory(SOURCE, {"introduced": "0"}), True),
        (advisory(SOURCE, {"introduced": "0"}, {"fixed": "3.0.15-1~deb12u1"}), False),
        (advisory(SOURCE, {"introduced": "0"}, {"fixed": "3.0.15-1"}), True),
        (advisory(SOURCE, {"introduced": "3.1"}), False),
        (advisory({**SOURCE, "ecosystem": "Debian:11"}, {"introduced": "0"}), False),
        (advisory({**SOURCE, "name": "libssl3"}, {"introduced": "0"}), False),
        (advisory(WHEEL, {"introduced": "0"}, {"last_affected": "3.1.3"}), True),
        (advisory(WHEEL, {"introduced": "0"}, {"last_affected": "3.1.2"}), False),
        (advisory(WHEEL, {"fixed": "2.0"}, {"introduced": "0"}), False),
        (advisory(WHEEL, {"introduced": "0"}, {"fixed": "2.0"}, {"introduced": "3.1"}), True),
        (advisory(WHEEL, {"introduced": "what is this"}), True),
        (advisory(WHEEL, {"introduced": "9"}, versions=["3.1.3"]), True),
        ({**advisory(WHEEL, {"introduced": "0"}), "withdrawn": "2026-01-01T00:00:00Z"}, False),
    ],
)
def test_an_advisory_matches_by_its_ranges(entry: dict[str, Any], is_match: bool) -> None:
    """Up to `fixed` and without it, up to `last_affected` and with it; one unread counts."""
    assert bool(list(scan.matches(entry, scan.installed([document()])))) is is_match


def test_the_scan_names_package_and_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And exits 1; an archive without advisories is an error, and never a clean result."""
    (tmp_path / "edge.cdx.json").write_text(json.dumps(document()))
    monkeypatch.setattr(scan, "BUILT", tmp_path)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("X-1.json", json.dumps(advisory(WHEEL, {"introduced": "0"})))
    zipfile.ZipFile(tmp_path / "none.zip", "w").close()
    monkeypatch.setattr(sys, "argv", ["scan.py", str(tmp_path / "all.zip")])
    with pytest.raises(SystemExit) as ended:
        scan.main()
    assert ended.value.code == 1
    assert "X-1  Flask 3.1.3  appliance/edge" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["scan.py", str(tmp_path / "none.zip")])
    with pytest.raises(SystemExit, match="no advisory"):
        scan.main()
