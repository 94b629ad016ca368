"""What is said of the images: bills of materials by the schema, and matches by the advisories."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "installer" / "images"
sys.path.append(str(SCRIPTS))
import bom  # noqa: E402  # a script's neighbours lie beside it, in no package
import deb_version  # noqa: E402  # likewise
import go_modules  # noqa: E402  # likewise
import scan  # noqa: E402  # likewise

from tests.simulators.peers import peer  # noqa: E402  # ours come after those

OPENSSL = bom.Package("libssl3", "3.0.15-1~deb12u1", "amd64", "openssl", "3.0.15-1~deb12u1")
FLASK = bom.Wheel("flask", "3.1.3", "BSD-3-Clause")
MODULE = bom.Module("github.com/ollama/ollama", "v0.12.11")
ID = "sha256:" + "ab" * 32
# In dpkg's order; each differs from the one before in one way.
IN_ORDER = (
    "1.0~~", "1.0~rc1", "1.0", "1.0-1~bpo1", "1.0-1", "1.0-1+deb12u1", "1.0-1+deb12u10", "1.0a",
    "1.0+b", "1.0.0", "1.1", "1.10", "2-1-1", "1:0.9",
)  # fmt: skip


def document(*, image_id: str = ID) -> Any:
    return bom.cyclonedx("edge", "0.1.0", image_id, [OPENSSL], [FLASK], [MODULE])


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
    assert MODULE.purl == "pkg:golang/github.com/ollama/ollama@v0.12.11"


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


# By the rules of Semantic Versioning 2.0.0, 11, with Go's names for commits without a version.
GO_IN_ORDER = (
    "v0.0.0-20211112161151-bc219186db40", "v0.0.0-20220101000000-000000000000", "v1.0.0-alpha",
    "v1.0.0-alpha.1", "v1.0.0-alpha.beta", "v1.0.0-rc.2", "v1.0.0-rc.10", "v1.0.0",
    "v1.2.0+incompatible", "1.10",
)  # fmt: skip


def test_versions_of_go_modules_sort_as_semantic_ones() -> None:
    """Every pair, in the order that is stated here; with or without the `v`."""
    keys = [go_modules.key(version) for version in GO_IN_ORDER]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert go_modules.key("v1.2.0") == go_modules.key("1.2")


def test_a_program_in_go_says_what_it_is_made_of() -> None:
    """The same modules as Go's own tool prints, which is asked where it is installed."""
    program = peer("ollama")
    found = go_modules.modules(program.read_bytes())
    assert ("github.com/ollama/ollama", "v0.12.11") in found
    assert found[0][0] == "stdlib"
    go = shutil.which("go")
    if go is not None:
        said = subprocess.run([go, "version", "-m", program], capture_output=True, text=True)
        lines = [line.split() for line in said.stdout.splitlines()]
        assert found[1:] == [(words[1], words[2]) for words in lines if words[0] in ("mod", "dep")]


def test_other_programs_name_no_module() -> None:
    """Also one in which the mark of such a list stands by chance."""
    assert go_modules.modules(Path(sys.executable).read_bytes()) == []
    assert go_modules.modules(b"\xff Go buildinf:" + bytes(64)) == []


def advisory(package: dict[str, str], *events: dict[str, str], **more: Any) -> dict[str, Any]:
    affected = {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}
    return {"id": "X-1", "affected": [affected | more]}


SOURCE = {"ecosystem": "Debian:12", "name": "openssl"}
WHEEL = {"ecosystem": "PyPI", "name": "Flask"}
GO = {"ecosystem": "Go", "name": "github.com/ollama/ollama"}


def of_go(*events: dict[str, str]) -> dict[str, Any]:
    affected = {"package": GO, "ranges": [{"type": "SEMVER", "events": list(events)}]}
    return {"id": "GO-1", "affected": [affected]}


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
        (of_go({"introduced": "0"}), True),
        (of_go({"introduced": "0"}, {"fixed": "0.12.11"}), False),
        (of_go({"introduced": "0"}, {"fixed": "0.13.0-rc.1"}), True),
        (advisory(GO, {"introduced": "0"}), False),
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


LLAMA = re.search(r"^llama-cpp-python==(\S+)", (ROOT / "requirements.lock").read_text(), re.M)


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    """A folder as a builder brings it for a GPU."""
    assert LLAMA is not None
    folder = tmp_path / "cuda"
    (folder / "lib" / "data").mkdir(parents=True)
    (folder / f"llama_cpp_python-{LLAMA[1]}-py3-none-linux_x86_64.whl").write_bytes(b"llama")
    (folder / "nvidia_cublas_cu12-12.4.5.8-py3-none-any.whl").write_bytes(b"cublas")
    (folder / "lib" / "data" / "kernels.dat").write_bytes(b"kernels")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder)}\n"
        for file in files
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))
    (folder / "unlisted.whl").write_bytes(b"from nobody")
    return folder


def other_llama(brought: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Put together what an image for GPUs is built from; return the folder, and what was said."""
    made = brought.parent / "context"
    made.mkdir()
    done = subprocess.run(
        ["/bin/bash", "-c", f'source {SCRIPTS}/contexts.sh; other_llama engine-cuda "$0"', made],
        env={**os.environ, "APPLIANCE_CUDA": str(brought)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return made, done


def test_an_image_for_gpus_gets_what_the_builder_lists(brought: Path) -> None:
    """Each wheel by its digest, each library at its place; and no file that is not listed."""
    made, done = other_llama(brought)
    assert done.returncode == 0, done.stderr
    wheels = {file.name for file in (made / "wheels").iterdir()}
    assert wheels == {file.name for file in brought.glob("*-*.whl")}
    wanted = (made / "requirements.txt").read_text().splitlines()
    assert f"--hash=sha256:{hashlib.sha256(b'llama').hexdigest()}" in wanted[0]
    assert (made / "lib" / "data" / "kernels.dat").read_bytes() == b"kernels"
    assert not list(made.rglob("unlisted.whl"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "SHA256SUMS").unlink(), "names no folder with a SHA256SUMS"),
        (lambda folder: (folder / "lib/data/kernels.dat").write_bytes(b"x"), "is not what its"),
        (lambda folder: next(folder.glob("nvidia*")).unlink(), "is not what its"),
        (
            lambda folder: (folder / "SHA256SUMS").write_text(
                "".join((folder / "SHA256SUMS").read_text().splitlines(keepends=True)[:1])
            ),
            "there is no wheel of llama-cpp-python==",
        ),
    ],
    ids=["no list", "an altered library", "a missing wheel", "no llama.cpp"],
)
def test_an_image_for_gpus_is_not_made_of_anything_else(
    brought: Path, change: Callable[[Path], object], said: str
) -> None:
    """Nothing is built, and what is wrong with the folder is said."""
    change(brought)
    _, done = other_llama(brought)
    assert done.returncode == 1
    assert said in done.stderr
