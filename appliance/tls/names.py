"""Names of a server: what may stand in a certificate, what a CA may vouch for (pure).

A name is a DNS name in lower case or an IP address, as text. Guarantee: what `parse` returns can
be put into a subject alternative name (RFC 5280 section 4.2.1.6) as it stands.
Not here: names in other scripts; they are given in their ASCII form (RFC 5891, `xn--…`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from cryptography import x509

from appliance.errors import BadInputError

# RFC 1123 section 2.1: letters, digits and hyphens, the hyphen neither first nor last.
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS = re.compile(rf"{_LABEL}(\.{_LABEL})*")
MAX_DNS = 253
MAX_NAMES = 50
Network = IPv4Network | IPv6Network
# Every name of the kind, for what a CA must never vouch for (RFC 5280 section 4.2.1.10).
ALL_ADDRESSES = (ip_network("0.0.0.0/0"), ip_network("::/0"))


def parse(text: str) -> str:
    """Return the name in the one form it is compared in; raise BadInputError for what is none."""
    address = _address(text)
    if address is not None:
        return str(address)
    name = text.lower()
    # An address with a digit too many must not pass for a host of that name.
    if len(name) > MAX_DNS or not _DNS.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise BadInputError(
            f"{text!r} is neither a host name nor an address",
            hint="write it as people type it into the browser, without https:// and without a "
            "port; other scripts in their ASCII form (xn--...)",
        )
    return name


def parse_all(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names, each once, in the order given; raise BadInputError when there is none."""
    names = tuple(dict.fromkeys(parse(text) for text in texts))
    if not 1 <= len(names) <= MAX_NAMES:
        raise BadInputError(f"{len(names)} names were given; a certificate has 1 to {MAX_NAMES}")
    return names


def general(names: Iterable[str]) -> list[x509.GeneralName]:
    """Return the names as a certificate holds them."""
    return [
        x509.DNSName(name) if (address := _address(name)) is None else x509.IPAddress(address)
        for name in names
    ]


def stated(extensions: x509.Extensions) -> tuple[str, ...]:
    """Return the DNS names and addresses that a certificate or request states; () without any."""
    try:
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses = map(str, found.get_values_for_type(x509.IPAddress))
    return (*(name.lower() for name in found.get_values_for_type(x509.DNSName)), *addresses)


def missing(wanted: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return which of `wanted` none of the certificate's `names` covers."""
    return [name for name in wanted if name not in names and f"*.{_above(name)}" not in names]


def subtree(text: str) -> x509.GeneralName:
    """Return what a CA may vouch for: a domain with all below it, or a network such as 10.1.0.0/16.

    Raises BadInputError.
    """
    if "/" in text or _address(text) is not None:
        try:
            return x509.IPAddress(ip_network(text))
        except ValueError as error:
            raise BadInputError(
                f"{text!r} is not a network: {error}", hint="write it as 10.1.0.0/16"
            ) from error
    return x509.DNSName(parse(text))


def constraints(permitted: Iterable[x509.GeneralName]) -> x509.NameConstraints:
    """Return constraints that permit these alone: a kind of which none is named is excluded."""
    kept = list(permitted)
    excluded: list[x509.GeneralName] = [
        x509.IPAddress(every)
        for every in ALL_ADDRESSES
        if not any(_is_network(one, every.version) for one in kept)
    ]
    if not any(isinstance(one, x509.DNSName) for one in kept):
        excluded.append(x509.DNSName(""))
    return x509.NameConstraints(kept, excluded or None)


def forbidden(names: Iterable[str], limits: x509.NameConstraints) -> list[str]:
    """Return which names a CA under these constraints must not vouch for."""
    return [name for name in names if not _is_permitted(name, limits)]


def _is_permitted(name: str, limits: x509.NameConstraints) -> bool:
    if any(_is_under(name, one) for one in limits.excluded_subtrees or ()):
        return False
    kind = x509.DNSName if _address(name) is None else x509.IPAddress
    same = [one for one in limits.permitted_subtrees or () if isinstance(one, kind)]
    # Without a subtree of its kind, a name is not limited (RFC 5280 section 4.2.1.10).
    return not same or any(_is_under(name, one) for one in same)


def _is_under(name: str, subtree_: x509.GeneralName) -> bool:
    address = _address(name)
    if isinstance(subtree_, x509.IPAddress):
        network = subtree_.value
        return (
            address is not None
            and isinstance(network, IPv4Network | IPv6Network)
            and address.version == network.version
            and address in network
        )
    if isinstance(subtree_, x509.DNSName) and address is None:
        above = subtree_.value.lower().lstrip(".")
        return not above or name == above or name.endswith(f".{above}")
    return False


def _is_network(name: x509.GeneralName, version: int) -> bool:
    return isinstance(name, x509.IPAddress) and name.value.version == version


def _above(name: str) -> str:
    return "" if _address(name) is not None else name.partition(".")[2]


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
