"""Pseudonyms of the people that questions are about, under a random secret for each.

What is typed as a reference (a record number, an encounter) is never stored. Its pseudonym is
`pat_` and 24 hex digits of HMAC-SHA256(secret of the subject, reference); it goes into the record
and into appliance.db. The secret lies wrapped in keys.db, under HMAC-SHA256(lookup key of the
site, reference). The lookup key is random and wrapped too, so replacing the key-encryption key
leaves it as it is. When the row is destroyed, nothing on the machine tells which reference the
pseudonym stood for, even to somebody who tries every number there is.
"""

from __future__ import annotations

import hmac
import os
import unicodedata
from hashlib import sha256

from sqlalchemy.orm import Session

from appliance.clock import Clock
from appliance.conversations.keys.store import KeyRing, SecretRow, SubjectRow
from appliance.errors import BadInputError, VerificationError
from appliance.sealing import KEY_BYTES, KeyWrapper, equal

MAX_REFERENCE = 128
LOOKUP = "lookup"
ID_HEX = 24


def normalised(reference: str) -> str:
    """Return the one spelling that all spellings of a reference share.

    NFKC, case and the width of spaces and dashes do not count; anything else does. Raises
    BadInputError for an empty text, a long one, or one with characters that cannot be seen.
    """
    text = folded(reference)
    if not text or len(text) > MAX_REFERENCE:
        raise BadInputError(f"a patient or encounter reference has 1 to {MAX_REFERENCE} characters")
    if any(unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Co", "Cn"} for sign in text):
        raise BadInputError("the patient or encounter reference has characters that do not show")
    return text


def folded(text: str) -> str:
    """Return any text in the spelling that references are compared in."""
    plain = " ".join(unicodedata.normalize("NFKC", text).split()).casefold()
    return "".join("-" if unicodedata.category(sign) == "Pd" else sign for sign in plain)


class Subjects:
    """Makes and finds pseudonyms."""

    def __init__(self, keys: KeyRing, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def ensure(self, reference: str) -> str:
        """Return the pseudonym of a reference, making its secret durably where there is none."""
        text = normalised(reference)
        with self._keys.database.reading() as session:
            found = self._find(session, text)
        if found is not None:
            return found
        with self._keys.database.session() as session:
            return self._find(session, text) or self._make(session, text)

    def find(self, reference: str) -> str | None:
        """Return the pseudonym of a reference, None when there is none or it was erased."""
        text = normalised(reference)
        with self._keys.database.reading() as session:
            return self._find(session, text)

    def _find(self, session: Session, text: str) -> str | None:
        wrapper = self._keys.wrapper(session)
        site = session.get(SecretRow, LOOKUP)
        if site is None:
            return None
        row = session.get(SubjectRow, _lookup(wrapper.unwrap_secret(LOOKUP, site.wrapped), text))
        if row is None:
            return None
        made = _pseudonym(wrapper.unwrap_secret(row.id, row.wrapped), text)
        if not equal(made.encode(), row.id.encode()):
            raise VerificationError("the pseudonym of a patient was altered in keys.db")
        return row.id

    def _make(self, session: Session, text: str) -> str:
        wrapper = self._keys.wrapper(session, claim=True)
        secret = os.urandom(KEY_BYTES)
        subject = _pseudonym(secret, text)
        session.add(
            SubjectRow(
                lookup=_lookup(_site_key(session, wrapper), text),
                id=subject,
                wrapped=wrapper.wrap(subject, secret),
                created=self._clock.now(),
            )
        )
        return subject


def _site_key(session: Session, wrapper: KeyWrapper) -> bytes:
    row = session.get(SecretRow, LOOKUP)
    if row is None:
        row = SecretRow(name=LOOKUP, wrapped=wrapper.wrap(LOOKUP, os.urandom(KEY_BYTES)))
        session.add(row)
    return wrapper.unwrap_secret(LOOKUP, row.wrapped)


def _lookup(site_key: bytes, text: str) -> str:
    return hmac.new(site_key, text.encode(), sha256).hexdigest()


def _pseudonym(secret: bytes, text: str) -> str:
    return f"pat_{hmac.new(secret, text.encode(), sha256).hexdigest()[:ID_HEX]}"
