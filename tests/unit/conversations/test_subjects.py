"""Pseudonyms: stable while their secret exists, unlinkable by anybody afterwards."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from pathlib import Path

import pytest

from appliance.conversations.keys.store import SecretRow
from appliance.conversations.subjects.store import LOOKUP, MAX_REFERENCE, normalised
from appliance.errors import BadInputError, VerificationError
from appliance.sealing import KeyWrapper
from tests.unit.conversations.conftest import Site
from tests.unit.conversations.test_at_rest import change

REFERENCE = "MRN 4711"


def everything_in(folder: Path) -> bytes:
    """Return all bytes of all files, as somebody who took the disk has them."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_reference_always_has_the_same_pseudonym(site: Site) -> None:
    """Made once, found again, in a form that tells nothing."""
    subject = site.store.subjects.ensure(REFERENCE)
    assert re.fullmatch("pat_[0-9a-f]{24}", subject)
    assert site.store.subjects.ensure(REFERENCE) == subject
    assert site.store.subjects.find(REFERENCE) == subject


def test_looking_makes_nothing(site: Site) -> None:
    """A reference that nobody used has no pseudonym, and none is made by asking."""
    assert site.store.subjects.find(REFERENCE) is None
    site.store.subjects.ensure("another")
    assert site.store.subjects.find(REFERENCE) is None


@pytest.mark.parametrize("spelling", ["mrn 4711", "  MRN   4711\n", "\uff2d\uff32\uff2e\u00a04711"])
def test_spellings_of_one_reference_are_one(site: Site, spelling: str) -> None:
    """Case, width and spaces around do not make another patient."""
    assert site.store.subjects.ensure(spelling) == site.store.subjects.ensure(REFERENCE)


def test_other_references_are_others(site: Site) -> None:
    """No digit is dropped, wherever spaces and dashes stand."""
    made = {site.store.subjects.ensure(text) for text in ("1-23", "12-3", "1 23", "12 3", "123")}
    assert len(made) == 5
    assert normalised("1\u201323") == normalised("1-23")


@pytest.mark.parametrize("text", ["", "  ", "x" * (MAX_REFERENCE + 1), "47\u200b11", "47\x0011"])
def test_what_cannot_be_a_reference_is_refused(site: Site, text: str) -> None:
    """Nothing empty, nothing endless, nothing that cannot be seen."""
    with pytest.raises(BadInputError):
        site.store.subjects.ensure(text)


def test_the_reference_lies_in_no_file(site: Site) -> None:
    """Neither in the clear nor as a plain hash, which all numbers could be tried against."""
    site.store.subjects.ensure(REFERENCE)
    everything = everything_in(site.state)
    plain = normalised(REFERENCE).encode()
    for trace in (REFERENCE.encode(), plain, sha256(plain).digest()):
        assert trace not in everything
        assert trace.hex().encode() not in everything


def test_a_pseudonym_that_was_moved_is_noticed(site: Site) -> None:
    """A row cannot be put under another patient's number by hand."""
    site.store.subjects.ensure("one")
    site.store.subjects.ensure("two")
    change(
        site.keys,
        "UPDATE subjects SET id = (SELECT id FROM subjects s WHERE s.id != subjects.id) || 'x'",
    )
    with pytest.raises(VerificationError):
        site.store.subjects.find("one")


def test_after_erasure_trying_every_number_finds_nothing(site: Site) -> None:
    """With all that is left on disk, key file included, no number leads to the pseudonym."""
    numbers = [f"{number:04}" for number in range(10_000)]
    subject = site.store.subjects.ensure("4711")
    other = site.store.subjects.ensure("0815")
    with site.keys.reading() as session:
        kept = session.get_one(SecretRow, LOOKUP).wrapped
    wrapper = KeyWrapper.from_file(site.state / "content.key")
    site_key = wrapper.unwrap_secret(LOOKUP, kept)

    def linked() -> list[str]:
        everything = everything_in(site.state)
        return [
            number
            for number in numbers
            if hmac.new(site_key, number.encode(), sha256).hexdigest().encode() in everything
        ]

    assert linked() == ["0815", "4711"], "the search finds what can be found"
    site.store.keys.destroy([], subject)
    assert linked() == ["0815"]
    assert subject.encode() not in everything_in(site.state)
    assert site.store.subjects.find("4711") is None
    assert site.store.subjects.find("0815") == other


def test_the_same_reference_gets_another_pseudonym_after_erasure(site: Site) -> None:
    """What comes later cannot be joined to what was erased."""
    before = site.store.subjects.ensure(REFERENCE)
    site.store.keys.destroy([], before)
    assert site.store.subjects.ensure(REFERENCE) != before
