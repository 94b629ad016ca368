"""What a correction is: an entry that names an earlier one, and what is wrong with it (pure).

It names the entry's number and its leaf hash, so it speaks of exactly those bytes, and gives a
reason from a closed list. It holds no free text: the record is for ever, and a text may name a
patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.audit.actions import Outcome

ACTION = "record.correct"
REASONS = ("wrong-purpose", "wrong-patient", "wrong-account", "clock-was-wrong", "other")
# What verification itself reads: nobody may doubt a key by stating something.
NEVER = frozenset({"record.epoch", "record.prune"})


@dataclass(frozen=True)
class Correction:
    """What is right instead: a reason of REASONS, the right purpose and a case, where given."""

    reason: str
    purpose: str | None = None
    case: str | None = None


def facts(original: Mapping[str, Any], correction: Correction) -> dict[str, Any]:
    """Return what the record holds of a correction; about the same patient, where there is one."""
    stated = {"purpose": correction.purpose, "case": correction.case}
    stated["subject"] = (original["content"] or {}).get("subject")
    return {
        "corrects": original["seq"],
        "leaf": original["leaf"],
        "reason": correction.reason,
        **{name: value for name, value in stated.items() if value is not None},
    }


def claim(entry: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return number and leaf hash of what this entry says it corrects; None if it is no correction.

    Whether it does is another question: see `corrects`.
    """
    if entry["action"] != ACTION or entry["outcome"] != Outcome.SUCCESS:
        return None
    content = entry["content"] or {}
    seq, leaf = content.get("corrects"), content.get("leaf")
    if type(seq) is not int or type(leaf) is not str or not 0 <= seq < entry["seq"]:
        return None
    return seq, leaf


def corrects(entry: Mapping[str, Any], original: Mapping[str, Any]) -> bool:
    """Return whether one entry corrects the other: by its number and by its leaf hash."""
    return claim(entry) == (original["seq"], original["leaf"])
