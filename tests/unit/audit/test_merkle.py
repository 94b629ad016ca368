"""The Merkle tree: published roots, every small proof, and no proof that is only nearly right."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit import merkle
from appliance.audit.merkle import EMPTY_ROOT, Frontier, leaf_hash
from appliance.errors import ApplianceError, BadInputError, VerificationError
from tests.unit.audit import samples

# The inputs of Certificate Transparency's own tests, and the roots over the first n of them.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
MOST = 300
LEAVES = [leaf_hash(b"%d" % number) for number in range(MOST)]
_KNOWN: dict[tuple[int, int], bytes] = {}


def subtree(start: int, stop: int) -> bytes:
    """Return a root as RFC 9162 defines it, not as the code under test finds it."""
    if stop - start < 2:
        return samples.root(LEAVES[start:stop])
    if (start, stop) not in _KNOWN:
        split = 1
        while split * 2 < stop - start:
            split *= 2
        middle = start + split
        _KNOWN[start, stop] = samples.node(subtree(start, middle), subtree(middle, stop))
    return _KNOWN[start, stop]


@pytest.mark.parametrize("size", range(9))
def test_published_roots(size: int) -> None:
    """The roots over the published inputs are the published ones."""
    leaves = [leaf_hash(data) for data in INPUTS[:size]]
    assert merkle.root(leaves).hex() == ROOTS[size]
    assert samples.root(leaves).hex() == ROOTS[size]


def test_published_inclusion_proof() -> None:
    """The published proof of the first of eight verifies."""
    proof = [
        bytes.fromhex("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"),
        bytes.fromhex("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
        bytes.fromhex("6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"),
    ]
    merkle.verify_inclusion(leaf_hash(b""), 0, 8, proof, bytes.fromhex(ROOTS[8]))


def test_published_consistency_proof() -> None:
    """The published proof from six to eight entries verifies."""
    proof = [
        bytes.fromhex("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"),
        bytes.fromhex("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"),
        bytes.fromhex("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ]
    merkle.verify_consistency(6, 8, proof, bytes.fromhex(ROOTS[6]), bytes.fromhex(ROOTS[8]))


def test_roots_at_every_size() -> None:
    """A growing frontier has the right root at every size, and goes on from its stored form."""
    frontier = Frontier()
    for size in range(MOST):
        assert frontier.root() == subtree(0, size)
        frontier = Frontier(size, frontier.roots)
        frontier.add(LEAVES[size])


@given(st.integers(1, MOST).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_every_inclusion_proof_holds(place: tuple[int, int]) -> None:
    """The proof of any entry in any tree verifies."""
    index, size = place
    proof = merkle.inclusion_proof(index, size, subtree)
    merkle.verify_inclusion(LEAVES[index], index, size, proof, subtree(0, size))


@given(st.integers(0, MOST).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_every_consistency_proof_holds(sizes: tuple[int, int]) -> None:
    """The proof between any two sizes verifies."""
    old, new = sizes
    proof = merkle.consistency_proof(old, new, subtree)
    merkle.verify_consistency(old, new, proof, subtree(0, old), subtree(0, new))


def test_all_proofs_of_small_trees_hold() -> None:
    """Every proof of every tree of up to 40 entries verifies."""
    for size in range(41):
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, subtree)
            merkle.verify_inclusion(LEAVES[index], index, size, proof, subtree(0, size))
        for old in range(size + 1):
            proof = merkle.consistency_proof(old, size, subtree)
            merkle.verify_consistency(old, size, proof, subtree(0, old), subtree(0, size))


def spoilt(proof: list[bytes], data: st.DataObject) -> list[bytes]:
    """Return the proof with one bit changed, one hash dropped, one added or two exchanged."""
    changed = list(proof)
    way = data.draw(st.sampled_from(["bit", "drop", "add", "swap"] if proof else ["add"]))
    at = data.draw(st.integers(0, max(len(proof) - 1, 0)))
    if way == "bit":
        bit = data.draw(st.integers(0, 255))
        value = bytearray(changed[at])
        value[bit // 8] ^= 1 << bit % 8
        changed[at] = bytes(value)
    elif way == "drop":
        del changed[at]
    elif way == "add" or len(proof) == 1:
        changed.insert(at, data.draw(st.sampled_from([*proof, EMPTY_ROOT, LEAVES[0]])))
    else:
        other = (at + 1) % len(proof)
        changed[at], changed[other] = changed[other], changed[at]
    return changed


@given(st.integers(1, MOST), st.data())
def test_spoilt_inclusion_proof_is_refused(size: int, data: st.DataObject) -> None:
    """A proof with any bit changed, or a hash too few or too many, raises."""
    index = data.draw(st.integers(0, size - 1))
    proof = spoilt(merkle.inclusion_proof(index, size, subtree), data)
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(LEAVES[index], index, size, proof, subtree(0, size))


@given(st.integers(1, MOST), st.data())
def test_proof_of_another_entry_or_tree_is_refused(size: int, data: st.DataObject) -> None:
    """A proof holds for its own entry, place, and root alone; and for sizes that fit its form."""
    index = data.draw(st.integers(0, size - 1))
    proof, root = merkle.inclusion_proof(index, size, subtree), subtree(0, size)
    other = data.draw(st.integers(0, MOST - 1).filter(lambda n: n != index))
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(LEAVES[other], index, size, proof, root)
    with pytest.raises(ApplianceError):
        merkle.verify_inclusion(LEAVES[index], other, size, proof, root)
    larger = data.draw(st.integers(size + 1, MOST + 1))
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(LEAVES[index], index, larger, proof, subtree(0, larger))


@given(st.integers(2, MOST), st.data())
def test_spoilt_consistency_proof_is_refused(new: int, data: st.DataObject) -> None:
    """A proof of growth with anything changed raises, and so does one for other roots."""
    old = data.draw(st.integers(1, new - 1))
    proof, roots = merkle.consistency_proof(old, new, subtree), (subtree(0, old), subtree(0, new))
    with pytest.raises(VerificationError):
        merkle.verify_consistency(old, new, spoilt(proof, data), *roots)
    with pytest.raises(VerificationError):
        merkle.verify_consistency(old, new, proof, LEAVES[0], roots[1] if old > 1 else EMPTY_ROOT)
    with pytest.raises(VerificationError):
        merkle.verify_consistency(old, new, proof, roots[0], EMPTY_ROOT)


@pytest.mark.parametrize(
    ("old", "new", "proof", "root1", "root2"),
    [
        (0, 5, [LEAVES[0]], EMPTY_ROOT, LEAVES[0]),
        (0, 5, [], LEAVES[1], LEAVES[0]),
        (5, 5, [LEAVES[0]], LEAVES[1], LEAVES[1]),
        (5, 5, [], LEAVES[1], LEAVES[2]),
        (0, 0, [], LEAVES[1], LEAVES[1]),
        (3, 5, [], LEAVES[1], LEAVES[1]),
        (4, 5, [], LEAVES[1], LEAVES[1]),
    ],
)
def test_trivial_growth_is_checked_too(
    old: int, new: int, proof: list[bytes], root1: bytes, root2: bytes
) -> None:
    """Equal sizes, an empty record and an empty proof are no way around the check."""
    with pytest.raises(VerificationError):
        merkle.verify_consistency(old, new, proof, root1, root2)


@pytest.mark.parametrize("bad", [b"", bytes(31), bytes(33), "x" * 32, bytearray(32), None])
def test_hash_of_a_wrong_form_is_refused(bad: object) -> None:
    """A hash is exactly 32 bytes wherever one is taken."""
    whole: list[bytes] = [bad]  # type: ignore[list-item]  # the point of the test
    for call in (
        lambda: merkle.verify_inclusion(LEAVES[0], 0, 2, whole, LEAVES[0]),
        lambda: merkle.verify_inclusion(LEAVES[0], 0, 1, [], whole[0]),
        lambda: merkle.verify_consistency(1, 2, whole, LEAVES[0], LEAVES[0]),
        lambda: merkle.verify_consistency(3, 5, [LEAVES[0]] * 4, whole[0], LEAVES[0]),
        lambda: Frontier(1, whole),
        lambda: Frontier().add_subtree(whole[0], 1),
    ):
        with pytest.raises(ApplianceError):
            call()


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0)])
def test_entry_that_is_not_in_the_tree_is_refused(index: int, size: int) -> None:
    """A number outside the tree is refused before anything is hashed."""
    with pytest.raises(BadInputError):
        merkle.inclusion_proof(index, size, subtree)
    with pytest.raises(BadInputError):
        merkle.verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])


@pytest.mark.parametrize(("old", "new"), [(-1, 5), (6, 5)])
def test_growth_backwards_is_refused(old: int, new: int) -> None:
    """A larger record does not come before a smaller one."""
    with pytest.raises(BadInputError):
        merkle.consistency_proof(old, new, subtree)
    with pytest.raises(BadInputError):
        merkle.verify_consistency(old, new, [], LEAVES[0], LEAVES[0])


@pytest.mark.parametrize(("size", "leaves"), [(1, 2), (0, 3), (4, 8), (4, 0), (4, -4)])
def test_subtree_that_does_not_fit_is_refused(size: int, leaves: int) -> None:
    """Whole subtrees are added only where they stand in the tree."""
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.add(leaf)
    with pytest.raises(BadInputError):
        frontier.add_subtree(LEAVES[0], leaves)


def test_subtrees_grow_as_leaves_do() -> None:
    """A tree grown by whole subtrees is the one grown by leaves."""
    frontier = Frontier()
    for start in range(0, 256, 32):
        frontier.add_subtree(subtree(start, start + 32), 32)
    assert frontier.root() == subtree(0, 256)


def test_empty_root_is_the_hash_of_nothing() -> None:
    """As RFC 9162 has it; in base64 as a checkpoint would state it."""
    assert base64.b64encode(EMPTY_ROOT) == b"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert merkle.root([]) == Frontier().root() == EMPTY_ROOT
