"""The roles an account may have, one per account (pure).

Duties are kept apart by giving each to another role: whoever manages accounts reads no content,
whoever imports a model does not approve it, whoever reads the record changes nothing.
Not here: what each role may do (`permissions.py`).
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """The six roles of accounts, and two that no account can have."""

    CLINICIAN = "clinician"
    AUDITOR = "auditor"
    PRIVACY_OFFICER = "privacy-officer"
    STEWARD = "steward"
    APPROVER = "approver"
    ADMINISTRATOR = "administrator"
    # A person at the machine's own command line: whoever may read the state folder.
    CONSOLE = "console"
    # The appliance itself, for events that no person caused.
    SYSTEM = "system"


ASSIGNABLE = frozenset(Role) - {Role.CONSOLE, Role.SYSTEM}
