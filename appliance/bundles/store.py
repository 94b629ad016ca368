"""Rows of models and publishers in appliance.db; every method is one transaction.

`(name, version)` and the digest are unique: a version never changes its content, and content
never changes its name. A publisher's row holds the newest metadata that was ever trusted, which
is the floor below which no later bundle may go.
Not here: files (`library`), whether a change is allowed (`states`), who may ask for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.exc import IntegrityError

from appliance.bundles.imports import store as imports
from appliance.bundles.inventory import ModelInfo, PublisherInfo, active_first
from appliance.bundles.manifest import VerifiedManifest
from appliance.bundles.refusals import RevokedPublisherError
from appliance.bundles.states import State, require
from appliance.database import Base, Database
from appliance.errors import ConflictError, NotFoundError
from appliance.prepared import Prepared

# Told which models are active, the one that answers by default first.
Told = Callable[[Sequence[ModelInfo]], None]


class PublisherRow(Base):
    """One publisher of models, and the newest of its metadata that this appliance trusts."""

    __tablename__ = "publishers"

    id: orm.Mapped[str] = orm.mapped_column(sa.String(40), primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(100), unique=True)
    root_sha256: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    root: orm.Mapped[bytes] = orm.mapped_column(sa.LargeBinary)
    root_version: orm.Mapped[int]
    timestamp: orm.Mapped[bytes | None] = orm.mapped_column(sa.LargeBinary)
    snapshot: orm.Mapped[bytes | None] = orm.mapped_column(sa.LargeBinary)
    targets: orm.Mapped[bytes | None] = orm.mapped_column(sa.LargeBinary)
    targets_version: orm.Mapped[int] = orm.mapped_column(default=0)
    added_by: orm.Mapped[str] = orm.mapped_column(sa.String(40))
    created: orm.Mapped[float]
    revoked: orm.Mapped[float | None]
    revoked_by: orm.Mapped[str | None] = orm.mapped_column(sa.String(40))


class ModelRow(Base):
    """One version of one model; its weights lie in the library under `digest`."""

    __tablename__ = "models"
    __table_args__ = (sa.UniqueConstraint("name", "version", name="models_name_version"),)

    id: orm.Mapped[str] = orm.mapped_column(sa.String(40), primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(64), index=True)
    version: orm.Mapped[str] = orm.mapped_column(sa.String(64))
    digest: orm.Mapped[str] = orm.mapped_column(sa.String(64), unique=True)
    state: orm.Mapped[str] = orm.mapped_column(sa.String(20))
    reason: orm.Mapped[str] = orm.mapped_column(sa.Text, default="")
    roles: orm.Mapped[str] = orm.mapped_column(sa.String(200), default="")
    card_text: orm.Mapped[str] = orm.mapped_column("card", sa.Text)
    publisher: orm.Mapped[str] = orm.mapped_column(sa.ForeignKey("publishers.id"))
    security_epoch: orm.Mapped[int]
    context_tokens: orm.Mapped[int]
    bytes: orm.Mapped[int] = orm.mapped_column(sa.BigInteger)
    demo: orm.Mapped[bool] = orm.mapped_column(default=False)
    imported_by: orm.Mapped[str] = orm.mapped_column(sa.String(40))
    approved_by: orm.Mapped[str | None] = orm.mapped_column(sa.String(40))
    created: orm.Mapped[float]
    changed: orm.Mapped[float]
    files: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default="{}")
    signers: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default="[]")
    oms_key: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default=sa.text("''"))
    template_from: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default="weights")
    architecture: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default=sa.text("''"))
    licence: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default=sa.text("''"))
    quantisation: orm.Mapped[str] = orm.mapped_column(sa.Text, server_default=sa.text("''"))
    parameters: orm.Mapped[int] = orm.mapped_column(sa.BigInteger, server_default="0")
    beside: orm.Mapped[bool] = orm.mapped_column(default=False, server_default=sa.false())


_LISTED = Prepared(
    sa.select(
        *(getattr(ModelRow, name).label(name) for name in ModelInfo.__annotations__)
    ).order_by(ModelRow.name, ModelRow.created.desc(), ModelRow.version.desc())
)


class ModelStore:
    """Reads and writes the rows; every change of state goes through `states.require`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_publisher(self, publisher: PublisherInfo) -> None:
        """Add a publisher; raise ConflictError when its name or root is known already."""
        try:
            with self._database.session() as session:
                session.add(PublisherRow(**vars(publisher)))
        except IntegrityError as error:
            raise ConflictError(
                f"a publisher named {publisher.name}, or one with this root, is trusted already",
                hint="nothing was changed; `appliance trust list` shows it",
            ) from error

    def publishers(self) -> list[PublisherInfo]:
        """Return every publisher, by name."""
        with self._database.reading() as session:
            rows = session.scalars(sa.select(PublisherRow).order_by(PublisherRow.name))
            return [_publisher(row) for row in rows]

    def keep_root(self, publisher_id: str, root: bytes, version: int) -> None:
        """Make `root` the trusted root; an older version than the present one changes nothing."""
        with self._database.session() as session:
            row = session.get_one(PublisherRow, publisher_id)
            if version > row.root_version:
                row.root, row.root_version = root, version

    def keep_floor(self, publisher_id: str, manifest: VerifiedManifest) -> None:
        """Make the metadata of `manifest` the floor for later bundles.

        Its list stays, and with it what this publisher has taken back. Raises
        RevokedPublisherError, or ConflictError when its keys are others than when it was verified.
        """
        with self._database.session() as session:
            row = _trusted(session, publisher_id, manifest.root_version)
            row.timestamp, row.snapshot = manifest.timestamp, manifest.snapshot
            row.targets, row.targets_version = manifest.targets, manifest.targets_version

    def last_verified(self, publisher_id: str) -> float:
        """Return when a bundle of a publisher was last found good here; 0 before the first.

        Of that publisher alone: a long-lived bundle taken in under a clock that ran years ahead
        must not shut out all others.
        """
        query = sa.select(sa.func.max(imports.ImportRow.created))
        query = query.where(imports.ImportRow.publisher == publisher_id)
        with self._database.reading() as session:
            return session.scalar(query) or 0.0

    def revoke_publisher(self, publisher_id: str, by: str, now: float) -> PublisherInfo:
        """Take trust in a publisher back; raise ConflictError when it was taken back before."""
        with self._database.session() as session:
            row = session.get_one(PublisherRow, publisher_id)
            if row.revoked is not None:
                raise ConflictError(
                    f"trust in {row.name} was taken back before", hint="nothing was changed"
                )
            row.revoked, row.revoked_by = now, by
            return _publisher(row)

    def models(self) -> list[ModelInfo]:
        """Return every model, by name, newest first."""
        with self._database.looking() as connection:
            return [_model(row) for row in _LISTED.all(connection, {})]

    def model(self, model_id: str) -> ModelInfo:
        """Return one model; raise NotFoundError."""
        with self._database.reading() as session:
            return _model(_row(session, model_id))

    def add_models(
        self, models: Iterable[ModelInfo], root_version: int, import_id: str, now: float
    ) -> None:
        """Add models that were verified under that root, all or none; note the import as done.

        A quarantined row of the same content returns to `imported`: it may have been damaged on
        this disk, and its verified file has just been put back. It needs approval anew.
        """
        try:
            with self._database.session() as session:
                for info in models:
                    # Reading takes long, and a person may have taken trust back meanwhile.
                    _trusted(session, info.publisher, root_version)
                    _put(session, info)
                imports.note(session, import_id, imports.COMMITTED, now)
        except IntegrityError as error:
            raise ConflictError(
                "a model of the bundle is in the library under another name or version",
                hint="no model of the bundle was added; `appliance model list` shows what there is",
            ) from error

    def change(self, model_id: str, state: State, now: float, **values: Any) -> ModelInfo:
        """Move a model to `state` and set `values`; raise ConflictError where not allowed."""
        with self._database.session() as session:
            row = _row(session, model_id)
            _move(row, state, now)
            for key, value in values.items():
                setattr(row, key, value)
            return _model(row)

    def quarantine(self, model_id: str, reason: str, now: float) -> ModelInfo:
        """Take a model out of use; one that is out of use so already keeps its first reason."""
        with self._database.session() as session:
            row = _row(session, model_id)
            # Asked here, because an import and the gateway may find out in the same moment.
            if row.state != State.QUARANTINED:
                _move(row, State.QUARANTINED, now)
                row.reason = reason
            return _model(row)

    def with_active(self, act: Told) -> None:
        """Call `act` with the active models, while nobody can change which those are."""
        with self._database.session() as session:
            act(_active(session))

    def activate(
        self, model_id: str, now: float, before_commit: Told, *, beside: bool = False
    ) -> ModelInfo:
        """Make one model active in its place, and the former one there approved again.

        `beside` is the second place. `before_commit` runs last inside the transaction: when it
        raises, no row has changed.
        """
        with self._database.session() as session:
            row = _row(session, model_id)
            if row.state != State.ACTIVE or row.beside != beside:
                query = sa.select(ModelRow).where(
                    ModelRow.state == State.ACTIVE,
                    ModelRow.beside == beside,
                    ModelRow.id != model_id,
                )
                for former in session.scalars(query):
                    _move(former, State.APPROVED, now)
                if row.state != State.ACTIVE:
                    _move(row, State.ACTIVE, now)
                row.beside, row.changed = beside, now
                session.flush()
            before_commit(_active(session))
            return _model(row)

    def step_down(self, model_id: str, now: float, before_commit: Told) -> ModelInfo:
        """Make an active model approved again with none in its place; otherwise as `activate`."""
        with self._database.session() as session:
            row = _row(session, model_id)
            _move(row, State.APPROVED, now)
            session.flush()
            before_commit(_active(session))
            return _model(row)


def _active(session: orm.Session) -> list[ModelInfo]:
    rows = session.scalars(sa.select(ModelRow).where(ModelRow.state == State.ACTIVE))
    return active_first(map(_model, rows))


def _trusted(session: orm.Session, publisher_id: str, root_version: int) -> PublisherRow:
    row = session.get_one(PublisherRow, publisher_id)
    if row.revoked is not None:
        raise RevokedPublisherError(f"trust in {row.name} was taken back here")
    if row.root_version != root_version:
        raise ConflictError(
            f"the keys of {row.name} were changed while its bundle was read",
            hint="nothing was imported; run the import again",
        )
    return row


def _put(session: orm.Session, info: ModelInfo) -> None:
    query = sa.select(ModelRow).where(
        ModelRow.digest == info.digest,
        ModelRow.name == info.name,
        ModelRow.version == info.version,
    )
    row = session.scalars(query).one_or_none()
    if row is None:
        session.add(ModelRow(**_columns(info)))
    elif row.state == State.QUARANTINED:
        _move(row, State.IMPORTED, info.changed)
        # What is known of it may be more than when it was first imported, and never less.
        for name, value in _columns(info).items():
            if name not in {"id", "created"}:
                setattr(row, name, value)


def _columns(info: ModelInfo) -> dict[str, Any]:
    """Return a model as the columns of its row."""
    return {
        **vars(info),
        "roles": ",".join(sorted(info.roles)),
        "files": json.dumps(dict(info.files), sort_keys=True),
        "signers": json.dumps(list(info.signers)),
    }


def _move(row: ModelRow, state: State, now: float) -> None:
    require(State(row.state), state, f"model {row.name} {row.version}")
    row.state, row.changed, row.beside = state.value, now, False


def _row(session: orm.Session, model_id: str) -> ModelRow:
    row = session.get(ModelRow, model_id)
    if row is None:
        raise NotFoundError(f"there is no model {model_id}")
    return row


def _publisher(row: PublisherRow) -> PublisherInfo:
    return PublisherInfo(**{name: getattr(row, name) for name in PublisherInfo.__annotations__})


def _model(row: Any) -> ModelInfo:
    values = {name: getattr(row, name) for name in ModelInfo.__annotations__}
    values["state"] = State(row.state)
    values["roles"] = frozenset(filter(None, row.roles.split(",")))
    values["files"] = json.loads(row.files)
    values["signers"] = tuple(json.loads(row.signers))
    return ModelInfo(**values)
