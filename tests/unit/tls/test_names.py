"""Names of a server, and the names that a CA may vouch for."""

from __future__ import annotations

import pytest

from appliance.errors import BadInputError
from appliance.tls import names


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("LLM.Hospital.Example", "llm.hospital.example"),
        ("llm", "llm"),
        ("10.1.2.3", "10.1.2.3"),
        ("FD00:0:0::1", "fd00::1"),
    ],
)
def test_a_name_has_one_form(typed: str, kept: str) -> None:
    """Else one server would need two certificates."""
    assert names.parse(typed) == kept


@pytest.mark.parametrize(
    "typed",
    ["", "https://llm", "llm:443", "*.hospital.example", "a..b", "-a", "a-", "a_b", "münchen.de",
     "10.1.2.300", "a" * 64, ".".join(["a" * 60] * 5), "llm.hospital.example.", "a b", "a\nb"],
)  # fmt: skip
def test_what_is_no_name_is_refused(typed: str) -> None:
    """Such a certificate would be made, and no browser would take it."""
    with pytest.raises(BadInputError):
        names.parse(typed)


def test_a_certificate_has_at_least_one_name() -> None:
    """The common name is not read any more."""
    with pytest.raises(BadInputError):
        names.parse_all([])


@pytest.mark.parametrize(
    ("name", "permitted"),
    [
        ("hospital.example", True),
        ("llm.hospital.example", True),
        ("evilhospital.example", False),
        ("hospital.example.org", False),
        ("10.1.2.3", True),
        ("10.2.0.1", False),
        ("fd00::1", False),
    ],
)
def test_a_ca_vouches_for_what_it_was_made_for(name: str, permitted: bool) -> None:
    """A domain with all below it, a network; a kind of address that was not named is excluded."""
    limits = names.constraints(map(names.subtree, ("hospital.example", "10.1.0.0/16")))
    assert (names.forbidden([name], limits) == []) is permitted


def test_a_ca_for_addresses_alone_vouches_for_no_host() -> None:
    """An absent kind is not a free one (RFC 5280 section 4.2.1.10)."""
    limits = names.constraints([names.subtree("10.1.0.0/16")])
    assert names.forbidden(["10.1.2.3", "hospital.example"], limits) == ["hospital.example"]


def test_a_network_with_host_bits_is_refused() -> None:
    """Whoever writes 10.1.2.3/16 has one of two things in mind."""
    with pytest.raises(BadInputError, match="not a network"):
        names.subtree("10.1.2.3/16")
