"""The tree of a stored record: what tiles say is what the entries say, at every size."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit import merkle
from appliance.audit.merkle import Frontier
from appliance.audit.tree import TILE_BYTES, Growth, Tree, split
from appliance.errors import TamperedError
from tests.unit.audit import samples

COUNT = 1_111
LARGE = 256 * 256 + 700


@pytest.fixture(scope="module")
def leaves(connection: sqlite3.Connection) -> list[bytes]:
    """The leaf hashes of its entries, computed here."""
    rows = connection.execute("SELECT entry FROM entries ORDER BY seq").fetchall()
    return [samples.leaf(data) for (data,) in rows]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A record of 1,111 entries: four full tiles and a part of one."""
    reader = sqlite3.connect(samples.make(tmp_path_factory.mktemp("tree"), COUNT))
    yield reader
    reader.close()


def test_tiles_hold_the_leaf_hashes(connection: sqlite3.Connection, leaves: list[bytes]) -> None:
    """Only full tiles are stored, each of 256 leaf hashes in order."""
    rows = connection.execute("SELECT level, idx, hashes FROM tiles ORDER BY level, idx").fetchall()
    assert [row[:2] for row in rows] == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert b"".join(row[2] for row in rows) == b"".join(leaves[:1_024])


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 1_000, 1_024, 1_025, COUNT])
def test_root_at_any_size(connection: sqlite3.Connection, leaves: list[bytes], size: int) -> None:
    """The root over any prefix is that of RFC 9162."""
    tree = Tree(connection)
    assert tree.root(size) == samples.root(leaves[:size])
    assert tree.frontier(size).root() == samples.root(leaves[:size])


@given(st.integers(1, COUNT).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_proofs_out_of_the_file_hold(
    connection: sqlite3.Connection, leaves: list[bytes], place: tuple[int, int]
) -> None:
    """Inclusion and growth are proved for any entry and size."""
    index, size = place
    tree = Tree(connection)
    root = tree.root(size)
    proof = merkle.inclusion_proof(index, size, tree.subtree)
    merkle.verify_inclusion(leaves[index], index, size, proof, root)
    proof = merkle.consistency_proof(index, size, tree.subtree)
    merkle.verify_consistency(index, size, proof, tree.root(index), root)


@pytest.mark.parametrize("seq", [0, 255, 256, 1_023, 1_024, COUNT - 1])
def test_leaf_of_any_entry(connection: sqlite3.Connection, leaves: list[bytes], seq: int) -> None:
    """The leaf hash of an entry comes from its tile, or from its bytes."""
    assert Tree(connection).leaf(seq) == leaves[seq]


def test_entry_that_is_nowhere_is_missing(connection: sqlite3.Connection) -> None:
    """Without tile and entry there is nothing to hash."""
    with pytest.raises(TamperedError) as caught:
        Tree(connection).root(COUNT + 1)
    assert caught.value.seq == COUNT


def test_gap_in_the_last_entries_is_named(tmp_path: Path) -> None:
    """An entry that is gone from the part without a tile is named."""
    path = samples.make(tmp_path, 20)
    samples.attack(path, ("DELETE FROM entries WHERE seq = 11", ()))
    reader = sqlite3.connect(path)
    with pytest.raises(TamperedError) as caught:
        Tree(reader).root(20)
    assert caught.value.seq == 11
    reader.close()


@pytest.mark.parametrize("bad", [b"", bytes(TILE_BYTES - 1), bytes(TILE_BYTES + 1)])
def test_tile_of_a_wrong_length_is_refused(tmp_path: Path, bad: bytes) -> None:
    """What is not 8,192 bytes is not taken for hashes."""
    path = samples.make(tmp_path, 600)
    samples.attack(path, ("UPDATE tiles SET hashes = ? WHERE idx = 1", (bad,)))
    reader = sqlite3.connect(path)
    with pytest.raises(TamperedError) as caught:
        Tree(reader).leaf(300)
    assert caught.value.seq == 256
    reader.close()


def grown(hashes: list[bytes]) -> tuple[Frontier, dict[tuple[int, int], bytes]]:
    growth = Growth(Frontier(), [[]])
    tiles: dict[tuple[int, int], bytes] = {}
    for leaf in hashes:
        for level, index, data in growth.add(leaf):
            assert (level, index) not in tiles
            tiles[level, index] = data
    return growth.frontier, tiles


def test_growth_of_two_levels() -> None:
    """After 65,536 leaves there is a tile of tiles, as C2SP tlog-tiles has it."""
    hashes = [samples.leaf(b"%d" % n) for n in range(LARGE)]
    frontier, tiles = grown(hashes)
    assert sorted(tiles) == [(0, n) for n in range(258)] + [(1, 0)]
    assert split(tiles[1, 0]) == [samples.root(hashes[n * 256 : (n + 1) * 256]) for n in range(256)]
    assert frontier.size == LARGE
    tree = Tree(_stored(tiles, hashes))
    assert tree.root(65_536) == samples.root(hashes[:65_536])
    assert tree.root(256 * 258) == frontier_root(frontier, hashes)
    for index in (0, 65_535, 65_536, 256 * 258 - 1):
        proof = merkle.inclusion_proof(index, 256 * 258, tree.subtree)
        merkle.verify_inclusion(hashes[index], index, 256 * 258, proof, tree.root(256 * 258))


def frontier_root(frontier: Frontier, hashes: list[bytes]) -> bytes:
    """Return the root over all full tiles, by way of the subtrees that the frontier has of them."""
    whole = Frontier(256 * 258, frontier.roots[: (256 * 258).bit_count()])
    assert whole.roots[0] == samples.root(hashes[:65_536])
    return whole.root()


def _stored(tiles: dict[tuple[int, int], bytes], hashes: list[bytes]) -> sqlite3.Connection:
    assert len(hashes) == LARGE
    reader = sqlite3.connect(":memory:")
    reader.execute("CREATE TABLE tiles (level, idx, hashes)")
    rows = [(level, index, data) for (level, index), data in tiles.items()]
    reader.executemany("INSERT INTO tiles VALUES (?, ?, ?)", rows)
    return reader


@pytest.mark.parametrize("size", [0, 1, 255, 256, 700, 1_024])
def test_growth_goes_on_from_a_file(tmp_path: Path, size: int) -> None:
    """What a restarted ledger grows on is what it had before: same tiles, same root."""
    path = samples.make(tmp_path, size)
    log = samples.opened(path)
    samples.fill(log, 300)
    log.close()
    hashes = [leaf for _, _, leaf in samples.rows(path)]
    frontier, tiles = grown(hashes)
    stored = samples.read(path, "SELECT level, idx, hashes FROM tiles")
    assert {(level, index): data for level, index, data in stored} == tiles
    [(found,)] = samples.read(path, "SELECT frontier FROM head")
    assert found == b"".join(frontier.roots)


def test_copy_grows_on_its_own() -> None:
    """A transaction that fails leaves what it began with."""
    growth = Growth(Frontier(), [[]])
    growth.add(bytes(32))
    copy = growth.copy()
    copy.add(bytes(32))
    assert (growth.frontier.size, copy.frontier.size) == (1, 2)
    assert growth.add(bytes(32)) == []
