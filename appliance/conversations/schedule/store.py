"""One row in appliance.db: the schedule's own time, when it last ran, how far the record is pruned.

Functions work inside the caller's transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.conversations.retention import TrustedTime
from appliance.database import Base

ONE = 1


class ScheduleRow(Base):
    __tablename__ = "schedule"

    one: Mapped[int] = mapped_column(primary_key=True)
    trusted: Mapped[float]
    boot: Mapped[str]
    monotonic_ns: Mapped[int] = mapped_column(BigInteger)
    ran: Mapped[float]
    pruned: Mapped[int]


@dataclass(frozen=True)
class ScheduleState:
    """The schedule's time, when (in that time) it last ran to its end, and what is pruned."""

    time: TrustedTime
    ran: float
    pruned: int


def load(session: Session) -> ScheduleState | None:
    """Return how it stands; None before its first run."""
    row = session.get(ScheduleRow, ONE)
    if row is None:
        return None
    time = TrustedTime(row.trusted, row.boot, row.monotonic_ns)
    return ScheduleState(time, row.ran, row.pruned)


def save(session: Session, state: ScheduleState) -> None:
    """Replace what is kept."""
    time = state.time
    session.merge(
        ScheduleRow(
            one=ONE, trusted=time.trusted, boot=time.boot, monotonic_ns=time.monotonic_ns,
            ran=state.ran, pruned=state.pruned,
        )
    )  # fmt: skip
