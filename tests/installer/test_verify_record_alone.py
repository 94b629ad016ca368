"""The verifier on its own: one file, no part of the appliance, never a traceback."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import cryptography
import pytest

from tests.simulators import auditor
from tests.simulators.auditor import BAD_INPUT, INCOMPLETE, SCRIPT, TAMPERED, WHOLE, ask, result
from tests.simulators.record_forge import Forge, packed

# Finds cryptography and nothing else of this environment: not the appliance, not the tests.
LONELY = """
import runpy, sys
sys.path[:] = [path for path in sys.path if path not in ("", ".")] + [sys.argv[1]]
try:
    import appliance
except ImportError:
    pass
else:
    sys.exit("the appliance can be imported here")
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge().add(150).hand_over().add(130).checkpoint().add(3)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with links to cryptography and what it needs, and to nothing else."""
    installed = Path(cryptography.__file__).parents[1]
    folder = tmp_path_factory.mktemp("libraries")
    for name in ("cryptography", "cffi", "pycparser"):
        if (installed / name).exists():
            (folder / name).symlink_to(installed / name)
    for library in installed.glob("_cffi_backend*"):
        (folder / library.name).symlink_to(library)
    return folder


def test_it_imports_only_the_standard_library_and_cryptography() -> None:
    """Nothing is shared with what it checks, not even by a name loaded at run time."""
    tree = ast.parse(SCRIPT.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Name):
            assert node.id not in {"__import__", "eval", "exec", "compile"}
    assert names - {"cryptography"} <= sys.stdlib_module_names
    assert not names & {"importlib", "runpy", "pickle", "marshal", "ctypes", "socket", "subprocess"}


def test_it_works_where_the_appliance_is_not(forge: Forge, libraries: Path, tmp_path: Path) -> None:
    """In an empty folder, isolated from the environment, as on the auditor's own computer."""
    script = shutil.copy(SCRIPT, tmp_path)
    (tmp_path / "empty").mkdir()
    record = forge.database(tmp_path / "audit.db", auditor.schema())
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", LONELY, libraries, script, record,
         "--key", forge.key(0), "--json"],
        cwd=tmp_path / "empty", env={"PATH": os.defpath}, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (WHOLE, b"")
    report = json.loads(done.stdout)
    assert (report["result"], report["entries"]) == ("whole", forge.size)
    assert list((tmp_path / "empty").iterdir()) == []


def run(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def test_the_report_is_plain_words_with_the_exit_code(forge: Forge, tmp_path: Path) -> None:
    """The first line says the result, the last one what to do next."""
    record = forge.database(tmp_path / "audit.db", auditor.schema())
    anchor = tmp_path / "old"
    anchor.write_text(forge.notes[151])
    code, said = run(record, "--key", forge.key(0), "--anchor", anchor)
    assert (code, said.splitlines()[0]) == (WHOLE, "result: whole (exit 0)")
    for line in (
        "anchored: entries 0 to 150, 2026-03-01T08:00:00.000Z to 2026-03-01T08:02:30.000Z",
        "signed, not anchored: entries 151 to 280, ",
        "unsealed tail: entries 281 to 283, ",
        "    1: key ",
    ):
        assert f"\n{line}" in said
    assert said.splitlines()[-1].startswith("next: ")
    assert run(record)[0] == INCOMPLETE
    forge_with = Forge().add(5, entity="x").checkpoint()
    forge_with.entries[2] = forge_with.entries[2].replace(b"usr_1", b"usr_2")
    bad = forge_with.database(tmp_path / "bad.db", auditor.schema())
    code, said = run(bad, "--key", forge.key(0))
    assert (code, said.splitlines()[:2]) == (
        TAMPERED,
        ["result: tampered (exit 3)", "first bad entry: 2"],
    )
    assert run(tmp_path / "nothing")[0] == BAD_INPUT


def test_help_says_what_to_give_and_what_to_do() -> None:
    """Whoever has only the file learns from it how to use it."""
    code, said = run("--help")
    assert code == 0
    for words in ("--key", "--anchor", "--receipt", "exit codes:", "what to do:", "audit.db-wal"):
        assert words in said


def test_the_page_for_auditors_names_only_options_that_there_are() -> None:
    """README and help agree."""
    named = set(re.findall(r"--[a-z]+", (SCRIPT.parent / "README.md").read_text()))
    assert named - {"--format"} <= set(re.findall(r"--[a-z]+", run("--help")[1]))


def test_names_in_a_report_cannot_play_tricks_on_a_terminal(tmp_path: Path) -> None:
    """Escape sequences in a record come out harmless."""
    forge = Forge(log="ward\u202e\u200b").add(2).checkpoint()
    record = forge.database(tmp_path / "audit.db", auditor.schema())
    text = "\n".join(auditor.VERIFIER.show(ask(record, "--key", forge.key(0))))
    assert "\u202e" not in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def numbers(count: int, below: int, label: str) -> list[int]:
    """Return the same numbers each time, spread over 0 to below-1."""
    made = [hashlib.sha256(f"{label} {place}".encode()).digest() for place in range(count)]
    return [int.from_bytes(digest[:8], "big") % below for digest in made]


def test_no_damage_of_an_export_is_whole_or_a_traceback(forge: Forge, tmp_path: Path) -> None:
    """200 bytes of a tar replaced one by one: found, or no file in it reads differently."""
    path = packed(forge.export(tmp_path / "x"), tmp_path / "x.tar")
    good = path.read_bytes()
    before = read_all(path)
    for at in numbers(200, len(good), "tar"):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        code, _, what = result(path, "--key", forge.key(0))
        assert "Error:" not in what, what
        if code == WHOLE:
            assert read_all(path) == before, f"byte {at}"


def read_all(path: Path) -> dict[str, bytes]:
    with tarfile.open(path, "r:") as archive:
        found = [(item.name, archive.extractfile(item)) for item in archive if item.isreg()]
        return {name: stream.read() for name, stream in found if stream is not None}


def test_no_cut_of_any_input_is_whole_or_a_traceback(forge: Forge, tmp_path: Path) -> None:
    """The first half of a database, a tar, a receipt, an anchor: said so, in order."""
    database = forge.database(tmp_path / "audit.db", auditor.schema())
    tar = packed(forge.export(tmp_path / "x"), tmp_path / "x.tar")
    receipt = tmp_path / "receipt"
    receipt.write_text(forge.receipt(3, 151))
    key = ["--key", forge.key(0)]
    for path, arguments in ((database, [database]), (tar, [tar]), (receipt, ["--receipt", receipt]),
                            (receipt, [database, "--anchor", receipt])):  # fmt: skip
        whole = path.read_bytes()
        for part in range(20):
            path.write_bytes(whole[: len(whole) * part // 20])
            assert result(*arguments, *key)[0] != WHOLE
        path.write_bytes(whole)


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "parent", "root", "twice"])
def test_a_tar_with_anything_but_plain_files_is_refused(
    forge: Forge, tmp_path: Path, kind: str
) -> None:
    """Links, devices, ways out of the folder and second copies have no place in an export."""
    path = packed(forge.export(tmp_path / "x"), tmp_path / "x.tar")
    names = {"parent": "../keys", "root": "/keys", "twice": "keys"}
    types = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE}
    item = tarfile.TarInfo(names.get(kind, "another"))
    item.type = types.get(kind, tarfile.REGTYPE)
    item.linkname = "keys"
    with tarfile.open(path, "a:") as archive:
        archive.addfile(item, io.BytesIO())
    assert result(path, "--key", forge.key(0))[0] == BAD_INPUT


def test_links_and_pipes_in_a_folder_are_not_followed(forge: Forge, tmp_path: Path) -> None:
    """A pipe does not hang the check, a link does not lead it elsewhere, an endless file ends."""
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir):
        folder = forge.export(tmp_path / "x")
        (folder / "keys").unlink()
        make(folder / "keys")
        assert result(folder, "--key", forge.key(0))[0] == TAMPERED
        shutil.rmtree(folder)
