"""The Merkle tree over the record: what one checkpoint says of every entry (pure).

RFC 9162 section 2.1: a leaf hash is SHA-256(0x00 ‖ entry), a node hash SHA-256(0x01 ‖ left ‖
right), and a tree of n leaves splits at the largest power of two below n. An inclusion proof
shows that one entry is in a tree, a consistency proof that a tree only grew.

Leaves and proofs are hashes of exactly 32 bytes, anything else raises BadInputError. A proof
that does not hold raises VerificationError; nothing here returns false.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

from appliance.errors import BadInputError, VerificationError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256().digest()

Subtree = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry's bytes as a leaf."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The roots of the largest full subtrees from left to right: all that growing needs.

    Also called a compact range. At most 53 hashes for any record there can be.
    """

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """Go on from a stored frontier; raise BadInputError if the roots do not fit the size."""
        if size < 0 or len(roots) != size.bit_count():
            raise BadInputError(f"a frontier of size {size} has not {len(roots)} roots")
        self._roots = [_checked(root) for root in roots]
        self.size = size

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The subtree roots, the largest subtree first."""
        return tuple(self._roots)

    def add(self, leaf: bytes) -> None:
        """Take the next leaf hash."""
        if len(leaf) != HASH_BYTES:
            _checked(leaf)
        size, roots = self.size, self._roots
        while size & 1:
            leaf = hashlib.sha256(b"\x01" + roots.pop() + leaf).digest()
            size >>= 1
        roots.append(leaf)
        self.size += 1

    def add_subtree(self, root: bytes, leaves: int) -> None:
        """Take a whole subtree of `leaves` leaves, a power of two that divides the size so far."""
        if leaves <= 0 or leaves & (leaves - 1) or self.size % leaves:
            raise BadInputError(f"a subtree of {leaves} leaves does not fit at {self.size}")
        node, size = _checked(root), self.size // leaves
        while size & 1:
            node = node_hash(self._roots.pop(), node)
            size >>= 1
        self._roots.append(node)
        self.size += leaves

    def root(self) -> bytes:
        """Return the root hash of the tree so far."""
        if not self._roots:
            return EMPTY_ROOT
        node = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            node = node_hash(left, node)
        return node

    def copy(self) -> Frontier:
        """Return one that grows on its own."""
        twin = Frontier()
        twin._roots, twin.size = list(self._roots), self.size
        return twin


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root hash over leaf hashes; SHA-256 of nothing when there are none."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


def full_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of hashes; much quicker than `root`, which takes any."""
    if not hashes or len(hashes) & (len(hashes) - 1):
        raise BadInputError(f"{len(hashes)} hashes do not fill a subtree")
    sha256, level = hashlib.sha256, hashes
    while len(level) > 1:
        level = [
            sha256(b"\x01" + left + right).digest()
            for left, right in zip(level[::2], level[1::2], strict=True)
        ]
    return _checked(level[0])


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree of `size` leaves, lowest hash first.

    `subtree(start, stop)` returns the root over leaves start..stop-1; `start` is a multiple of
    the smallest power of two that is not below the width, as in RFC 9162.
    """
    if not 0 <= index < size:
        raise BadInputError(f"a tree of {size} leaves has no leaf {index}")
    proof: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        split = start + _split(stop - start)
        if index < split:
            proof.append(subtree(split, stop))
            stop = split
        else:
            proof.append(subtree(start, split))
            start = split
    return proof[::-1]


def consistency_proof(size1: int, size2: int, subtree: Subtree) -> list[bytes]:
    """Return the proof that the tree of `size2` leaves begins with the tree of `size1`.

    `subtree` is as in `inclusion_proof`. Empty when the sizes are equal or the first is 0.
    """
    if not 0 <= size1 <= size2:
        raise BadInputError(f"a tree of {size1} leaves cannot come before one of {size2}")
    if size1 in {0, size2}:
        return []
    proof: list[bytes] = []
    start, stop, whole = 0, size2, True
    while stop != size1:
        split = start + _split(stop - start)
        if size1 <= split:
            proof.append(subtree(split, stop))
            stop = split
        else:
            proof.append(subtree(start, split))
            start, whole = split, False
    if not whole:
        proof.append(subtree(start, stop))
    return proof[::-1]


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Return only if the leaf is at `index` of the tree with this root; else VerificationError."""
    if not 0 <= index < size:
        raise BadInputError(f"a tree of {size} leaves has no leaf {index}")
    node, place, last = _checked(leaf_hash), index, size - 1
    for sibling in map(_checked, proof):
        if last == 0:
            raise VerificationError("the inclusion proof is too long")
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise VerificationError("the inclusion proof is too short")
    if node != _checked(root):
        raise VerificationError(f"entry {index} is not in the tree of this checkpoint")


def verify_consistency(
    size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes
) -> None:
    """Return only if the second tree begins with the first; else VerificationError."""
    if not 0 <= size1 <= size2:
        raise BadInputError(f"a tree of {size1} leaves cannot come before one of {size2}")
    hashes = [_checked(item) for item in proof]
    if size1 in {0, size2}:
        _check_trivial(size1, size2, hashes, _checked(root1), _checked(root2))
        return
    if size1 & (size1 - 1) == 0:
        hashes.insert(0, root1)
    if not hashes:
        raise VerificationError("the consistency proof is too short")
    old, new = _roots_of(size1 - 1, size2 - 1, hashes)
    if old != _checked(root1):
        raise VerificationError("the consistency proof does not lead to the older checkpoint")
    if new != _checked(root2):
        raise VerificationError("the record of the newer checkpoint does not contain the older one")


def _roots_of(place: int, last: int, hashes: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return both roots that a consistency proof leads to (RFC 9162 section 2.1.4.2)."""
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise VerificationError("the consistency proof is too long")
        if place & 1 or place == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        place, last = place >> 1, last >> 1
    if last != 0:
        raise VerificationError("the consistency proof is too short")
    return old, new


def _check_trivial(
    size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes
) -> None:
    if proof:
        raise VerificationError("the consistency proof is too long")
    if size1 == size2 and root1 != root2:
        raise VerificationError("two checkpoints of the same size name different records")
    if size1 == 0 and root1 != EMPTY_ROOT:
        raise VerificationError("the older checkpoint of an empty record has a wrong root")


def _split(width: int) -> int:
    """Return the largest power of two below `width` (2 or more)."""
    return 1 << ((width - 1).bit_length() - 1)


def _checked(value: bytes) -> bytes:
    if type(value) is not bytes or len(value) != HASH_BYTES:
        raise BadInputError("a hash has exactly 32 bytes")
    return value
