"""A small slice of the fuzzing, and that the fuzzing itself would notice (the whole: make fuzz)."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.bundles import gguf as reader
from tests.fuzz import bundles, gguf, mutations, trees
from tests.fuzz.bundles import Tally, attempt
from tests.fuzz.ground import BrokenRuleError, Ground
from tests.fuzz.trees import Odd, same

BUNDLES, HEADERS = 200, 3_000
SEED = 20260303


@pytest.fixture(scope="module")
def grounds() -> Iterator[tuple[Ground, Ground]]:
    """A machine for each kind of good bundle."""
    with bundles.grounds() as pair:
        yield pair


@pytest.fixture
def plain(grounds: tuple[Ground, Ground]) -> Ground:
    """The machine of the plain bundle."""
    return grounds[0]


def test_good_bundles_enter(grounds: tuple[Ground, Ground]) -> None:
    """The bundles that are mutated are themselves accepted, and hold what was signed."""
    for ground in grounds:
        ground.check_good_bundle_enters()


def test_no_mutated_bundle_enters(grounds: tuple[Ground, Ground]) -> None:
    """Every mutated bundle is refused in words, and leaves no row and no file."""
    tally = Tally()
    for number in range(BUNDLES):
        attempt(grounds[number % 2], SEED, number, tally)
    assert tally.counted + tally.kinds["any_file"] == BUNDLES
    assert len(tally.codes) > 4


def test_no_mutated_header_breaks_the_reader() -> None:
    """Every mutated header is read or refused in words, within bounds; some of both."""
    taken, refused = gguf.unguided(HEADERS, SEED)
    assert taken > 50
    assert refused > 500


def test_engine_reads_what_was_taken(tmp_path: Path) -> None:
    """Whatever mutated header passes here, llama.cpp's own reader takes too, and reads alike."""
    paths, expected = [], []
    for data in gguf.mutations(HEADERS, SEED):
        if gguf.check(data):
            paths.append(tmp_path / f"{len(paths)}.gguf")
            paths[-1].write_bytes(data)
            tensors, values = struct.unpack_from("<QQ", data, 8)
            expected.append(f"{values} {tensors}")
    command = [sys.executable, "-m", "tests.fuzz.engine_reader", *map(str, paths)]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert (ended.returncode, ended.stdout.splitlines()) == (0, expected), ended.stderr


def test_every_seed_keeps_the_rules() -> None:
    """The files that fuzzing starts from keep the rules, and the good ones among them pass."""
    assert sum(map(gguf.check, gguf.seeds())) == 8


def test_reader_that_breaks_a_rule_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that raises something else, or reads without end, does not pass the rules."""

    def crashes(read: object, size: int) -> object:
        raise IndexError

    def reads_on(read: object, size: int) -> object:
        for _ in range(100):
            read(0, 1_000_000)  # type: ignore[operator]
        return None

    monkeypatch.setattr(reader, "inspect", crashes)
    with pytest.raises(IndexError):
        gguf.check(b"GGUF")
    monkeypatch.setattr(reader, "inspect", reads_on)
    with pytest.raises(AssertionError, match="bytes read"):
        gguf.check(b"GGUF")


def test_bundle_that_enters_is_noticed(plain: Ground) -> None:
    """If a bundle that none may enter did, that would be said."""
    with pytest.raises(BrokenRuleError, match="it entered"):
        bundles._outcome(plain, "bits", plain.base.tree)
    plain.reset()


@pytest.mark.parametrize("folder", ["state/models", "state", "here", "stick"])
def test_file_outside_staging_is_noticed(plain: Ground, folder: str) -> None:
    """A file that appears anywhere but in staging would be noticed."""
    stray = plain.here.parent / folder / "stray"
    stray.write_text("x")
    with pytest.raises(BrokenRuleError, match="outside staging"):
        plain.check_nothing_came()
    stray.unlink()
    plain.check_nothing_came()


def test_same_content_written_otherwise_is_no_attack(plain: Ground) -> None:
    """Spaces and an extra signature in the timestamp change nothing that was signed."""
    tree = dict(plain.base.tree)
    document = json.loads(trees.content(tree["metadata/timestamp.json"]))
    document["signatures"].append({"keyid": "ab", "sig": "cd"})
    tree["metadata/timestamp.json"] = json.dumps(document, indent=7).encode()
    tree["returns/anything"] = b"x"
    assert same(plain.base.tree, tree)
    assert plain.bring_in(tree) is None
    plain.reset()


@pytest.mark.parametrize("key", ["version", "expires", "meta", "spec_version"])
def test_other_content_is_an_attack(plain: Ground, key: str) -> None:
    """A change of anything that was signed counts as a mutation."""
    tree = dict(plain.base.tree)
    document = json.loads(trees.content(tree["metadata/timestamp.json"]))
    del document["signed"][key]
    tree["metadata/timestamp.json"] = json.dumps(document).encode()
    assert not same(plain.base.tree, tree)


def test_signature_that_is_spoilt_is_an_attack(plain: Ground) -> None:
    """The same content without a good signature counts as a mutation."""
    tree = dict(plain.base.tree)
    document = json.loads(trees.content(tree["metadata/timestamp.json"]))
    document["signatures"][0]["sig"] = "00" * 64
    tree["metadata/timestamp.json"] = json.dumps(document).encode()
    assert not same(plain.base.tree, tree)


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "second name", "set-user-id"])
def test_tree_is_laid_out_and_taken_back(tmp_path: Path, kind: str) -> None:
    """Anything that a mutation puts onto the medium is gone when the good bundle lies there."""
    good: dict[str, trees.Entry] = {"a/one": b"1", "a/two": b"2"}
    odd = {"a/one": Odd(kind, b"x"), "b/c/three": b"3"}  # type: ignore[arg-type]
    medium = tmp_path / "medium"
    medium.mkdir()
    trees.lay(medium, {}, good)
    trees.lay(medium, good, odd)
    trees.lay(medium, odd, good)
    assert trees.read(medium) == good
    assert [path.name for path in tmp_path.rglob("*")] == ["medium", "a", "one", "two"]


def test_each_seed_gives_the_same_changes(plain: Ground) -> None:
    """What is done to a bundle depends on the seed and its number alone."""
    kinds = [bundles.mutant(plain.base, bundles.source_of(SEED, n))[0] for n in range(50)]
    again = [bundles.mutant(plain.base, bundles.source_of(SEED, n))[0] for n in range(50)]
    assert kinds == again
    assert {change.__name__ for change, _ in mutations.KEYLESS} & set(kinds)
