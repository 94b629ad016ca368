"""The state folder: who can open it, its key, its databases, the record, the model's file."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
from datetime import datetime
from pathlib import Path

from appliance.bundles.library import Library
from appliance.bundles.states import State
from appliance.cli import presenting
from appliance.cli.checks.finding import Finding, Patient, fail, ok, warn
from appliance.clock import System
from appliance.database import Database
from appliance.errors import ApplianceError, NotInitialisedError
from appliance.sealing import KeyWrapper

OTHERS = stat.S_IRWXG | stat.S_IRWXO
LITTLE_ROOM_BYTES = 1_000_000_000
NO_ROOM_BYTES = 100_000_000


def folder(patient: Patient) -> Finding:
    """Only its owner may enter the state folder and the folders in it."""
    paths = patient.paths
    if not paths.state.is_dir():
        raise NotInitialisedError(f"there is no state folder {paths.state}")
    inside = (paths.content_key.parent, paths.library, paths.staging, paths.run)
    missing = [path for path in inside if not path.is_dir()]
    if missing:
        return fail("state folder", f"{missing[0]} is missing", "restore a backup")
    # An engine of another user reads the library by its group, where its sockets are shared too.
    readers = stat.S_IRGRP | stat.S_IXGRP if patient.config.engine.socket_folder else 0
    for path in (paths.state, *inside):
        allowed = readers if path == paths.library else 0
        if path.stat().st_mode & OTHERS & ~allowed:
            return fail("state folder", f"{path} is open to others", f"chmod 0700 {path}")
    return ok("state folder", f"{paths.state} is open to its owner alone")


def key(patient: Patient) -> Finding:
    """The key file can be read by its owner alone, and is a key."""
    path = patient.paths.content_key
    KeyWrapper.from_file(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode != 0o400:
        return warn("key file", f"{path} has mode {mode:04o}", f"chmod 0400 {path}")
    return ok("key file", f"{path} has mode 0400")


def databases(patient: Patient) -> Finding:
    """Both databases open, and SQLite finds no fault in them."""
    for path in (patient.paths.appliance_db, patient.paths.keys_db):
        problem = _fault(path)
        if problem:
            return fail("databases", f"{path.name}: {problem}", "restore a backup")
    return ok("databases", "appliance.db and keys.db are sound")


def record(patient: Patient) -> Finding:
    """Every entry of the record fits the one before it."""
    verified = patient.record
    return ok("record", f"whole: {verified.entries} entries, the last of {verified.last_t}")


def clock(patient: Patient) -> Finding:
    """The machine's clock does not stand before the last entry of the record."""
    now = System().now()
    try:
        last = patient.record.last_t
    except ApplianceError:
        return warn("clock", "not compared with the record, which cannot be read", "see the record")
    if last is not None and (behind := datetime.fromisoformat(last).timestamp() - now) > 1:
        return fail(
            "clock",
            f"it stands {behind:.0f} s before the last entry of the record",
            "set the clock: entries keep their order, but new ones would carry wrong times",
        )
    return ok("clock", f"{presenting.moment(now)}, after the last entry of the record")


def model(patient: Patient) -> Finding:
    """One model is active, and its file has the digest that was signed."""
    database = Database(patient.paths.appliance_db)
    try:
        library = Library(database, patient.paths.library, patient.paths.staging, System())
        active = [item for item in library.models() if item.state is State.ACTIVE]
        if not active:
            return fail(
                "model",
                "no model is active",
                "`appliance model list` shows what can be approved and activated",
            )
        found = library.verify(active[0].id)
    finally:
        database.close()
    label = f" {presenting.DEMO_LABEL.removeprefix('demo ')}" if found.demo else ""
    return ok("model", f"{found.name} {found.version}{label}: its file has the signed digest")


def room(patient: Patient) -> Finding:
    """There is room to write."""
    free = shutil.disk_usage(patient.paths.state).free
    found = f"{presenting.size(free)} are free"
    if free < NO_ROOM_BYTES:
        return fail("disk", found, "free space on the disk that holds the state folder")
    if free < LITTLE_ROOM_BYTES:
        return warn("disk", found, "free space soon: the appliance stops when it is full")
    return ok("disk", found)


def _fault(path: Path) -> str:
    if not path.exists():
        return "it is missing"
    try:
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as opened:
            answer = str(opened.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if answer == "ok" else answer
