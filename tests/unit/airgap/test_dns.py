"""DNS messages: the question that is sent, and what counts as an answer to it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.airgap import dns
from appliance.airgap.dns import Answer

NUMBER = 4_711
QUESTION = dns.question("example.com", dns.A, NUMBER)


def reply(*records: tuple[int, bytes], flags: int = 0x8180, authority: int = 0) -> bytes:
    head = struct.pack(">HHHHHH", NUMBER, flags, 1, len(records), authority, 0)
    body = b"".join(
        b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data for kind, data in records
    )
    return head + QUESTION[12:] + body


def test_a_question_names_nothing_but_its_name() -> None:
    """RFC 1035 section 4.1: header, labels, type, class."""
    assert QUESTION[12:] == b"\x07example\x03com\x00\x00\x01\x00\x01"
    assert dns.question("", dns.NS, 1)[12:] == b"\x00\x00\x02\x00\x01"


def test_addresses_are_read() -> None:
    """Of both kinds, past records of others."""
    data = reply((5, b"\x01a\x00"), (dns.A, bytes([10, 0, 0, 7])), (dns.AAAA, bytes(15) + b"\x01"))
    assert dns.answer(data, NUMBER) == Answer(3, ("10.0.0.7", "::1"))


def test_a_refusal_knows_nothing() -> None:
    """SERVFAIL, as Docker's name server says it when it may ask nobody."""
    assert dns.answer(reply(flags=0x8182), NUMBER) == Answer(0, ())


def test_a_referral_is_knowledge() -> None:
    """A name server that says whom to ask has been reached, and answers for the world."""
    found = dns.answer(reply(authority=13), NUMBER)
    assert found is not None
    assert found.records == 13


@pytest.mark.parametrize("data", [b"", QUESTION, reply()[:11], b"\0\0" + reply()[2:]])
def test_what_is_no_answer_to_it(data: bytes) -> None:
    """The question come back, half a message, the answer to another question."""
    assert dns.answer(data, NUMBER) is None


@given(st.binary(max_size=80), st.integers(0, 70))
def test_no_message_makes_it_fail(noise: bytes, at: int) -> None:
    """Whoever answers may send anything."""
    data = reply((dns.A, bytes(4)))
    dns.answer(data[:at] + noise, NUMBER)
    dns.answer(data + noise, NUMBER)
