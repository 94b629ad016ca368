"""Evaluations in appliance.db: every run is kept, and the newest that was done counts.

A model may have several, also with the golden prompts of another model (a comparison), so that
what counts is asked for by model *and* prompts. A run that a crash left as `running` is marked
as failed by `close_left_over`, which only whoever holds the evaluation lock may call.
Not here: that evaluating is recorded and who may do it (operations).
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from appliance.bundles.evaluations.results import (
    Conditions,
    EvaluationInfo,
    PromptResult,
    bounded,
    from_text,
    to_text,
)
from appliance.database import Base, Database
from appliance.errors import ConflictError, NotFoundError

RUNNING, DONE, FAILED = "running", "done", "failed"
LEFT_OVER = "the appliance stopped while it ran"
MAX_REASON_CHARACTERS = 500


class EvaluationRow(Base):
    __tablename__ = "evaluations"

    id: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    model: Mapped[str] = mapped_column(sa.String(40), index=True)
    digest: Mapped[str] = mapped_column(sa.String(64))
    prompts_sha256: Mapped[str] = mapped_column(sa.String(64))
    engine: Mapped[str] = mapped_column(sa.Text)
    by: Mapped[str] = mapped_column(sa.String(40))
    state: Mapped[str] = mapped_column(sa.String(20))
    reason: Mapped[str] = mapped_column(sa.Text)
    started: Mapped[float]
    finished: Mapped[float | None]
    passed: Mapped[int]
    failed: Mapped[int]
    results: Mapped[str] = mapped_column(sa.Text)


class Evaluations:
    """Every evaluation there is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, info: EvaluationInfo) -> None:
        """Add a run that has just begun."""
        values = {name: getattr(info, name) for name in _COLUMNS}
        with self._database.session() as session:
            session.add(EvaluationRow(**{**values, "results": ""}))

    def finish(
        self,
        evaluation_id: str,
        conditions: Conditions,
        results: tuple[PromptResult, ...],
        now: float,
    ) -> EvaluationInfo:
        """Keep the results of a run; raise ConflictError unless it is running."""
        kept = bounded(results)
        with self._database.session() as session:
            row = _running(session, evaluation_id)
            row.state, row.finished = DONE, now
            row.passed = sum(item.passed for item in kept)
            row.failed = len(kept) - row.passed
            row.results = to_text(conditions, kept)
            return _info(row)

    def fail(self, evaluation_id: str, reason: str, now: float) -> EvaluationInfo:
        """End a run without results, and say why."""
        with self._database.session() as session:
            row = _running(session, evaluation_id)
            row.state, row.finished, row.reason = FAILED, now, reason[:MAX_REASON_CHARACTERS]
            return _info(row)

    def close_left_over(self, now: float) -> tuple[EvaluationInfo, ...]:
        """Mark what is still `running` as failed and return it; call it under the lock only."""
        query = sa.select(EvaluationRow).where(EvaluationRow.state == RUNNING)
        with self._database.session() as session:
            rows = list(session.scalars(query))
            for row in rows:
                row.state, row.finished, row.reason = FAILED, now, LEFT_OVER
            return tuple(map(_info, rows))

    def left_over(self) -> bool:
        """Say whether any run is `running`, alive or not."""
        query = sa.select(EvaluationRow.id).where(EvaluationRow.state == RUNNING).limit(1)
        with self._database.reading() as session:
            return session.scalar(query) is not None

    def get(self, evaluation_id: str) -> EvaluationInfo:
        """Return one evaluation; raise NotFoundError."""
        with self._database.reading() as session:
            row = session.get(EvaluationRow, evaluation_id)
            if row is None:
                raise NotFoundError(f"there is no evaluation {evaluation_id}")
            return _info(row)

    def of_model(self, model_id: str) -> tuple[EvaluationInfo, ...]:
        """Return every run of a model, the newest first, without conditions and results."""
        # The results of many runs would be many megabytes that nobody looks at.
        columns = [getattr(EvaluationRow, name) for name in _COLUMNS]
        query = (
            sa.select(*columns)
            .where(EvaluationRow.model == model_id)
            .order_by(EvaluationRow.started.desc(), EvaluationRow.id)
        )
        with self._database.reading() as session:
            rows = session.execute(query).mappings()
            return tuple(EvaluationInfo(**row) for row in rows)

    def newest(self, model_id: str, prompts_sha256: str) -> EvaluationInfo | None:
        """Return the run that counts for these prompts, None when none was ever done."""
        query = (
            sa.select(EvaluationRow)
            .where(
                EvaluationRow.model == model_id,
                EvaluationRow.prompts_sha256 == prompts_sha256,
                EvaluationRow.state == DONE,
            )
            .order_by(EvaluationRow.finished.desc(), EvaluationRow.started.desc())
            .limit(1)
        )
        with self._database.reading() as session:
            row = session.scalar(query)
            return None if row is None else _info(row)


_COLUMNS = tuple(
    name
    for name in EvaluationInfo.__dataclass_fields__
    if name not in {"conditions", "results"}
)  # fmt: skip


def _running(session: Session, evaluation_id: str) -> EvaluationRow:
    row = session.get(EvaluationRow, evaluation_id)
    if row is None:
        raise NotFoundError(f"there is no evaluation {evaluation_id}")
    if row.state != RUNNING:
        raise ConflictError(f"the evaluation has ended ({row.state})", hint="nothing was changed")
    return row


def _info(row: EvaluationRow) -> EvaluationInfo:
    conditions, results = from_text(row.results)
    values = {name: getattr(row, name) for name in _COLUMNS}
    return EvaluationInfo(**values, conditions=conditions, results=results)
