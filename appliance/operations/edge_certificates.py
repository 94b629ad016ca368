"""The edge's certificate: asked for, checked, put in place, renewed. Each is in the record.

The record holds names, end and fingerprints, so that a certificate that a ward saw in a browser
can be found in it years later. The key is made here and is in no request and in no entry.
Not here: the own CA, which lies on a stick and keeps its own list of what it signed.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from appliance.assembly import Appliance
from appliance.errors import CertificateError, NotFoundError
from appliance.identity.permissions import Actor, Permission
from appliance.operations.recording import Recorder
from appliance.tls import checking, keys, names, requests
from appliance.tls.authority import Authority
from appliance.tls.checking import Checked
from appliance.tls.folder import Folder, Pending, Stored

LEAVE = Permission.CERTIFICATES_MANAGE


class EdgeCertificates:
    """What may be done with them. Every method raises ForbiddenError for who may not."""

    def __init__(self, appliance: Appliance) -> None:
        self._recorder = Recorder(appliance.ledger)
        self._clock = appliance.clock
        self._folder = Folder(appliance.config.paths.tls)

    def request(self, actor: Actor, wanted: Sequence[str]) -> bytes:
        """Make a key and a request for it, for these names or those served now; return the request.

        The certificate in use stays until another one is put in place.
        """
        with (
            self._recorder.change(actor, LEAVE, "certificate.request") as change,
            self._folder.locked(),
        ):
            chosen = self._names(wanted)
            key = keys.new()
            request = requests.make(key, chosen)
            change.facts |= {
                "names": list(chosen), "key_sha256": keys.public_digest(key.public_key())
            }  # fmt: skip
            self._folder.ask(keys.to_pem(key), request)
        return request

    def install(self, actor: Actor, given: Sequence[x509.Certificate]) -> Checked:
        """Check a signed certificate with its chain and put it in place for the edge.

        It belongs to the pending request, or to the key in use. Raises CertificateError.
        """
        with (
            self._recorder.change(actor, LEAVE, "certificate.install", way="ca") as change,
            self._folder.locked(),
        ):
            waits = self._pending_or_current()
            key = keys.from_pem(waits.key)
            _, wanted = requests.read(waits.request) if waits.request else (None, ())
            checked = checking.check(given, key.public_key(), wanted, self._clock.now())
            change.facts |= checked.facts()
            self._folder.put(checked, waits.key)
        return checked

    def renew(
        self, actor: Actor, authority: Authority, wanted: Sequence[str], days: int
    ) -> Checked:
        """Make a key, have the own CA sign it, and put both in place; see `request` for names."""
        with (
            self._recorder.change(actor, LEAVE, "certificate.install", way="own-ca") as change,
            self._folder.locked(),
        ):
            chosen = self._names(wanted)
            key, now = keys.new(), self._clock.now()
            signed = authority.issue(requests.make(key, chosen), now, days)
            # A CA of our own gets no more trust than any other.
            checked = checking.check(checking.read(signed), key.public_key(), chosen, now)
            change.facts |= checked.facts()
            self._folder.put(checked, keys.to_pem(key))
        return checked

    def _names(self, wanted: Sequence[str]) -> tuple[str, ...]:
        if wanted:
            return names.parse_all(wanted)
        current = self._folder.current()
        if current is None:
            raise NotFoundError("there is no certificate yet whose names could be kept",
                                hint="name the server with --name")  # fmt: skip
        return names.stated(checking.read(current.chain)[0].extensions)

    def _pending_or_current(self) -> Pending:
        pending = self._folder.pending()
        if pending is not None:
            return pending
        current = self._folder.current()
        if current is None:
            raise CertificateError(
                "no certificate was asked for, so there is no key that one could be for",
                hint="begin with `appliance tls request --name NAME`",
            )
        return Pending(b"", current.key)


def standing(folder: Folder, now: float) -> Checked | None:
    """Return the certificate in use, None without one; raise CertificateError if it is not fit."""
    current: Stored | None = folder.current()
    if current is None:
        return None
    given = [*checking.read(current.chain), *checking.read(current.root)]
    key = keys.from_pem(current.key)
    return checking.check(given, key.public_key(), (), now)
