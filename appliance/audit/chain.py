"""The hash chain: no entry can be changed, dropped, added or moved without the chain showing it.

Every entry names the leaf hash of the entry before it, and states its own place. `Chain` walks
entries in order and raises TamperedError at the first one that does not fit.

What a chain alone does not catch: someone who can write the file, changes an entry and then
recomputes every hash after it; a tail that was cut off together with the head; an older copy of
the whole file. Signed checkpoints, and copies of them kept elsewhere, are for that.

Pure: entries come in as values, nothing is read or written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from appliance import canonical
from appliance.audit.actions import ACTIONS, Outcome
from appliance.audit.entry import FIELDS, GENESIS, MAX_BYTES, VERSION, leaf_hash
from appliance.errors import BadInputError, TamperedError

_FIELD_SET = frozenset(FIELDS)
_OUTCOMES = frozenset(str(outcome) for outcome in Outcome)


@dataclass(frozen=True, slots=True)
class Stored:
    """One entry as it is kept: its place, its exact bytes, and its 32-byte leaf hash."""

    seq: int
    data: bytes
    leaf: bytes


@dataclass(frozen=True, slots=True)
class ChainHead:
    """How many entries there are, and the leaf hash of the last one (zeros when there is none)."""

    size: int
    leaf: bytes


EMPTY = ChainHead(0, GENESIS)


class Chain:
    """Walks entries one by one from a head that is already trusted.

    Such a head is `EMPTY`, or the last entry under a signed checkpoint that was verified.
    """

    def __init__(self, log: str | None = None, start: ChainHead = EMPTY) -> None:
        self.head = start
        self._log = log

    def add(self, stored: Stored) -> dict[str, Any]:
        """Check the next entry and return what it states; raise TamperedError if it is bad.

        1. Its number follows the one before: no gap, none twice, none out of order.
        2. Its bytes give the leaf hash stored with it.
        3. Its bytes are canonical, with exactly the fields of an entry.
        4. It states this log, and its own number.
        5. It names the leaf hash of the entry before.
        """
        seq, size = stored.seq, self.head.size
        if seq != size:
            if seq > size:
                raise TamperedError(size, f"it is missing; the next one there is {seq}")
            raise TamperedError(seq, f"it stands where entry {size} should be")
        if leaf_hash(stored.data) != stored.leaf:
            raise TamperedError(seq, "its bytes do not give the leaf hash stored with it")
        value = _decode(seq, stored.data)
        self._check_statement(seq, value)
        if value["prev"] != self.head.leaf.hex():
            # Whoever rewrites one entry with a fresh hash breaks the link of the one after it.
            raise TamperedError(
                max(seq - 1, 0),
                f"entry {seq} names another leaf hash before it than the one that is stored there",
            )
        self.head = ChainHead(seq + 1, stored.leaf)
        return value

    def _check_statement(self, seq: int, value: dict[str, Any]) -> None:
        if value.keys() != _FIELD_SET or value["v"] != VERSION:
            raise TamperedError(seq, f"it has not the fields of an entry of version {VERSION}")
        if value["seq"] != seq:
            raise TamperedError(seq, f"it says that it is entry {value['seq']}")
        if self._log is not None and value["log"] != self._log:
            raise TamperedError(seq, f"it belongs to another log, {value['log']!r}")
        if ACTIONS.get(value["action"]) != value["type"] or value["outcome"] not in _OUTCOMES:
            raise TamperedError(seq, "its action, type or outcome is not in the closed list")


def verify(entries: Iterable[Stored], log: str | None = None) -> ChainHead:
    """Return the head that the entries lead to; raise TamperedError at the first bad one."""
    chain = Chain(log)
    for stored in entries:
        chain.add(stored)
    return chain.head


def _decode(seq: int, data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise TamperedError(seq, f"it has more than {MAX_BYTES} bytes")
    try:
        value = json.loads(data, parse_float=_refuse, parse_constant=_refuse, parse_int=_integer)
        # For ASCII text without floats and large integers, Python's encoder written in C gives
        # the bytes of RFC 8785; it is eight times as fast as asking the encoder of `canonical`.
        if data.isascii() and isinstance(value, dict) and _ENCODER.encode(value).encode() == data:
            return value
        return canonical.decode(data)
    except (BadInputError, ValueError, RecursionError) as error:
        raise TamperedError(seq, f"its bytes are not a canonical entry ({error})") from error


_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def _integer(text: str) -> int:
    number = int(text)
    if abs(number) > canonical.MAX_INTEGER:
        _refuse(text)
    return number


def _refuse(text: str) -> NoReturn:
    raise BadInputError(f"{text[:40]} is not allowed in hashed data")
