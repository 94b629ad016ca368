"""Legal holds in appliance.db. A hold that was released stays listed, with who and why.

Functions work inside the caller's transaction, so that a hold and an erasure cannot pass each
other. Not here: that placing and releasing are recorded (operations).
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.conversations.retention import Hold, Scope
from appliance.database import Base
from appliance.errors import ConflictError, NotFoundError


class HoldRow(Base):
    __tablename__ = "holds"

    id: Mapped[str] = mapped_column(primary_key=True)
    scope: Mapped[str]
    target: Mapped[str]
    reason: Mapped[str]
    placed_by: Mapped[str]
    created: Mapped[float]
    released: Mapped[float | None]
    released_by: Mapped[str | None]
    release_reason: Mapped[str | None]


def place(session: Session, hold_id: str, scope: Scope, reason: str, by: str, now: float) -> Hold:
    """Add a hold; it holds from the end of this transaction on."""
    row = HoldRow(
        id=hold_id, scope=scope.kind, target=scope.target, reason=reason, placed_by=by, created=now
    )
    session.add(row)
    return _hold(row)


def release(session: Session, hold_id: str, reason: str, by: str, now: float) -> Hold:
    """End a hold; raise NotFoundError, or ConflictError when it has ended before."""
    row = session.get(HoldRow, hold_id)
    if row is None:
        raise NotFoundError("there is no such hold", hint="`appliance retention holds` lists them")
    if row.released is not None:
        raise ConflictError("this hold was released before", hint="nothing was changed")
    row.released, row.released_by, row.release_reason = now, by, reason
    return _hold(row)


def active(session: Session) -> list[Hold]:
    """Return the holds that hold, the oldest first."""
    query = sa.select(HoldRow).where(HoldRow.released.is_(None)).order_by(HoldRow.created)
    return [_hold(row) for row in session.scalars(query)]


def every(session: Session) -> Sequence[Hold]:
    """Return every hold there ever was, the newest first."""
    query = sa.select(HoldRow).order_by(HoldRow.created.desc(), HoldRow.id)
    return [_hold(row) for row in session.scalars(query)]


def _hold(row: HoldRow) -> Hold:
    return Hold(
        id=row.id,
        scope=Scope(row.scope, row.target),
        reason=row.reason,
        placed_by=row.placed_by,
        created=row.created,
        released=row.released,
        released_by=row.released_by,
        release_reason=row.release_reason,
    )
