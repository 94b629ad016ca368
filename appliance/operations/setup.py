"""Make a state folder: keys, databases, the record's first entry, the first administrator.

Everything is made beside the final place and renamed into it at the end, so there is either a
whole state folder or none. Nothing that exists is ever replaced.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from appliance import durable
from appliance.assembly import Appliance, assemble
from appliance.audit.actions import Outcome
from appliance.audit.log import Log
from appliance.config import Config
from appliance.database import Database
from appliance.errors import ConflictError, VerificationError
from appliance.identity import passwords
from appliance.identity.permissions import Actor, Permission
from appliance.identity.roles import Role
from appliance.operations.imports import Imports
from appliance.operations.models import ASKING_ROLES
from appliance.operations.recording import Recorder, system
from appliance.operations.trusting import Trusting
from appliance.sealing import KeyWrapper

DEMO_PUBLISHER = "demo"
# A freshly made ext4 volume is not quite empty.
LOST_AND_FOUND = "lost+found"


@dataclass(frozen=True)
class Credential:
    """A fresh password, held in memory only, to be shown once."""

    role: str
    name: str
    password: str


@dataclass(frozen=True)
class Initialised:
    """What `initialise` made: the record's name and first verifier key, the first credentials."""

    log_id: str
    key: str
    credentials: tuple[Credential, ...]


def initialise(config: Config, actor: Actor, demo: Path | None = None) -> Initialised:
    """Make the state folder; with `demo`, a folder with the demo's bundle, also a demo user.

    Raises ConflictError when the folder exists already and holds anything.
    """
    final = config.state
    if final.exists() and any(child.name != LOST_AND_FOUND for child in final.iterdir()):
        raise ConflictError(
            f"{final} is in use already",
            hint="nothing was changed; name another folder with --state, or use this one as it is",
        )
    final.parent.mkdir(parents=True, exist_ok=True)
    # A mounted volume cannot be replaced, so there the parts are made inside and moved up.
    above = final if final.is_mount() else final.parent
    fresh = above / f".{final.name}.{secrets.token_hex(4)}.init"
    try:
        result = _fill(replace(config, state=fresh), actor, demo)
        if final.is_mount():
            _move_up(fresh, final, config.paths.audit_db.name)
        else:
            if final.exists():
                final.rmdir()
            fresh.rename(final)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    durable.sync_folder(final.parent)
    return result


def _move_up(fresh: Path, final: Path, last: str) -> None:
    """Move what was made into `final`, the record last: without it nothing starts."""
    os.chmod(final, 0o700)  # a volume comes with the modes of who made it
    for child in sorted(fresh.iterdir(), key=lambda path: path.name == last):
        child.rename(final / child.name)
    fresh.rmdir()


def _fill(config: Config, actor: Actor, demo: Path | None) -> Initialised:
    log_id = _make_parts(config)
    appliance = assemble(config)
    try:
        recorder = Recorder(appliance.ledger)
        key = appliance.ledger.keys()[0].key
        stated = {"key": key}
        recorder.note(actor, "appliance.init", Outcome.SUCCESS, entity=log_id, content=stated)
        credentials = [_account(appliance, recorder, actor, Role.ADMINISTRATOR, "admin")]
        if demo is not None:
            credentials.insert(0, _account(appliance, recorder, actor, Role.CLINICIAN, "demo"))
            _bring_in_demo(appliance, recorder, actor, demo)
    finally:
        appliance.close()
    return Initialised(log_id, key, tuple(credentials))


def _make_parts(config: Config) -> str:
    paths = config.paths
    folders = (
        paths.state, paths.content_key.parent, paths.library, paths.trust, paths.staging, paths.run
    )  # fmt: skip
    for folder in folders:
        folder.mkdir(mode=0o700)
        os.chmod(folder, 0o700)  # mkdir's mode is narrowed by the umask only
    KeyWrapper.create_file(paths.content_key)
    Database.create(paths.appliance_db, "appliance").close()
    Database.create(paths.keys_db, "keys").close()
    log_id = f"{config.site.name}/audit/{secrets.token_hex(8)}"
    Log.create(paths.audit_db, log_id, config.ledger.reserve_bytes)
    return log_id


def _account(
    appliance: Appliance, recorder: Recorder, actor: Actor, role: Role, name: str
) -> Credential:
    password = passwords.generate_password()
    with recorder.change(actor, Permission.USERS_MANAGE, "user.add", role=str(role)) as change:
        user = appliance.people.add(name, role, passwords.hash_password(password))
        change.entity = user.id
    return Credential(str(role), name, password)


def _bring_in_demo(appliance: Appliance, recorder: Recorder, actor: Actor, demo: Path) -> None:
    """Import the demo through the same door as any model, pinned by this release's fingerprint.

    The second person is waived for this one bundle, because the people do not exist yet: the
    record says so by rule, and a model that is not marked as a demo is refused here.
    """
    bundle = demo / "bundle"
    fingerprint = (demo / "root.sha256").read_text().split()[0]
    root = (bundle / "metadata/1.root.json").read_bytes()
    Trusting(appliance).add(actor, DEMO_PUBLISHER, root, fingerprint)
    # Nothing is evaluated, and nothing is written into the release's own folder.
    imports = Imports(appliance, evaluator=None, returns=False)
    for model in imports.import_bundle(actor, [bundle]):
        if not model.demo:
            raise VerificationError(f"{model.name} is not marked as a demo")
        rule = "demo-pinned-by-release"
        first = system("init")
        with recorder.change(first, None, "model.approve", model.id, rule=rule):
            # The demo was evaluated when it was released; no engine runs here yet.
            appliance.library.set_evaluated(model.id)
            appliance.library.set_approved(model.id, first.user, ASKING_ROLES)
        with recorder.change(
            first, None, "model.activate", model.id, rule=rule, digest=model.digest
        ):
            appliance.library.set_active(model.id)
