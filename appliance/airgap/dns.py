"""The few DNS messages that are needed: one question, and what an answer says (RFC 1035) (pure).

The system's own resolver is not used: it waits longer than a check may, and asks for more names
than it was given.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

A, NS, AAAA = 1, 2, 28
_INTERNET = 1
_RECURSION_DESIRED = 0x0100
_ANSWER = 0x8000
_HEADER = struct.Struct(">HHHHHH")
_POINTER = 0xC0
_ADDRESS_BYTES = {A: 4, AAAA: 16}


@dataclass(frozen=True)
class Answer:
    """What a name server said: how many records, and the addresses among them."""

    records: int
    addresses: tuple[str, ...]


def question(name: str, kind: int, number: int) -> bytes:
    """Return a question for `name` ('' is the root); `number` ties the answer to it."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".") if part)
    header = _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + labels + b"\0" + struct.pack(">HH", kind, _INTERNET)


def answer(data: bytes, number: int) -> Answer | None:
    """Return what the message says; None when it is no answer to question `number`."""
    try:
        found, flags, questions, records, authority, _ = _HEADER.unpack_from(data)
        if found != number or not flags & _ANSWER:
            return None
        at = _HEADER.size
        for _ in range(questions):
            at = _skip_name(data, at) + 4
        # A root server answers the question for itself; a referral stands beside the answers.
        return Answer(records or authority * (flags & 0xF == 0), _addresses(data, at, records))
    except (struct.error, IndexError):
        return None


def _addresses(data: bytes, at: int, records: int) -> tuple[str, ...]:
    found = []
    for _ in range(records):
        at = _skip_name(data, at)
        kind, _class, _ttl, length = struct.unpack_from(">HHIH", data, at)
        at += 10
        if _ADDRESS_BYTES.get(kind) == length and len(data) >= at + length:
            found.append(str(ip_address(data[at : at + length])))
        at += length
    return tuple(found)


def _skip_name(data: bytes, at: int) -> int:
    while data[at]:
        if data[at] & _POINTER == _POINTER:
            return at + 2
        at += 1 + data[at]
    return at + 1
