"""One answer of the doctor, and how a check that breaks becomes one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

from appliance.audit.anchors import Places
from appliance.audit.client import LedgerClient
from appliance.audit.ledger import VerifiedRecord
from appliance.audit.verify import verify_file
from appliance.config import Config
from appliance.errors import ApplianceError

Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, in words, and what to do next (empty when ok)."""

    check: str
    verdict: Verdict
    found: str
    next: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


class Patient:
    """What the checks look at; the record is walked once, however many ask."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.paths = config.paths

    @cached_property
    def record(self) -> VerifiedRecord:
        """The record, found whole; raises TamperedError.

        Where the ledger has a container of its own, its file is not here, and it looks itself.
        """
        if self.config.ledger.socket_folder and not self.paths.audit_db.exists():
            with contextlib.closing(LedgerClient(self.paths.ledger_socket)) as ledger:
                return ledger.verify()
        places = Places.of(self.paths.audit_db, self.config.ledger)
        return verify_file(self.paths.audit_db, places)


Check = Callable[[Patient], Finding]


def ok(check: str, found: str) -> Finding:
    return Finding(check, "ok", found)


def warn(check: str, found: str, then: str) -> Finding:
    return Finding(check, "warn", found, then)


def fail(check: str, found: str, then: str) -> Finding:
    return Finding(check, "fail", found, then)


def run(name: str, check: Check, patient: Patient) -> Finding:
    """Return what the check found; one that cannot look is a failure, not a gap in the list."""
    try:
        return check(patient)
    except ApplianceError as error:
        return fail(name, error.message, error.hint)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        what = (error.strerror or type(error).__name__).lower()
        return fail(name, f"cannot look: {place}{what}", "run it as the owner of the state folder")
