"""A database that was lost or put back from an older backup does not make an old stick good."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance.assembly import assemble
from appliance.bundles.refusals import BundleError, RevokedPublisherError, RollbackError
from appliance.bundles.states import State
from appliance.errors import ConflictError, VerificationError
from appliance.operations import operations_for
from appliance.operations.imports import Imports
from tests.simulators.bundle_forge import two_of_three
from tests.simulators.library_site import CONSOLE, EXPIRES, PUBLISHER, STEWARD, LibrarySite


@pytest.fixture
def site() -> Iterator[LibrarySite]:
    """A library of this test's own, whose publisher is trusted and has one model."""
    made = LibrarySite()
    made.trust()
    made.forge.add_model("tiny", "1.0")
    yield made
    made.close()


def bring(site: LibrarySite, bundle: Path) -> None:
    """Import as the steward does, with every step in the record; nothing is evaluated."""
    Imports(site.appliance, None).import_bundle(STEWARD, [bundle])


def backup(site: LibrarySite) -> Path:
    """Copy the database as a backup does."""
    copy = site.folder / "backup.db"
    with closing(sqlite3.connect(copy)) as to, closing(_open(site)) as source:
        source.backup(to)
    return copy


def restore(site: LibrarySite, copy: Path) -> None:
    """Put an older database back under the same record, and start again."""
    site.appliance.close()
    path = site.appliance.config.paths.appliance_db
    for name in (path.name + "-wal", path.name + "-shm"):
        path.with_name(name).unlink(missing_ok=True)
    shutil.copyfile(copy, path)
    site.appliance = assemble(site.appliance.config)
    site.verbs, site.library = operations_for(site.appliance), site.appliance.library


def _open(site: LibrarySite) -> sqlite3.Connection:
    return sqlite3.connect(site.appliance.config.paths.appliance_db)


def test_an_older_stick_is_refused_after_an_older_backup(site: LibrarySite) -> None:
    """The record holds the versions that the database forgot, and the newest still enters."""
    before, old, new = backup(site), site.bundle(), site.bundle()
    bring(site, new)
    restore(site, before)
    with pytest.raises(RollbackError, match="by the record, version 2"):
        bring(site, old)
    for look in (site.verbs.imports.verify_bundle, site.verbs.imports.inspect_bundle):
        with pytest.raises(RollbackError):
            look(CONSOLE, [old])
    assert site.library.models() == []
    bring(site, new)
    assert site.library.by_name("tiny").state is State.IMPORTED


def test_a_refused_bundle_raises_the_floor_in_the_record_too(site: LibrarySite) -> None:
    """A newer stick that was damaged on purpose does not make the older one good."""
    before, old, new = backup(site), site.bundle(), site.bundle()
    (new / "targets" / "stray").write_bytes(b"")
    with pytest.raises(BundleError):
        bring(site, new)
    outcome = site.record("bundle.import")[-1]
    assert (outcome["outcome"], outcome["content"]["targets"]) == ("refused", 2)
    restore(site, before)
    with pytest.raises(RollbackError):
        bring(site, old)


def test_a_left_off_root_is_missed_after_an_older_backup(site: LibrarySite) -> None:
    """Keys that a later root revoked sign nothing, though the database has forgotten that root."""
    before, old = backup(site), site.bundle()
    site.forge.rotate(two_of_three())
    site.verbs.trusting.rotate(CONSOLE, PUBLISHER, {"2.root.json": site.forge.roots[1]})
    restore(site, before)
    with pytest.raises(RollbackError, match="root"):
        bring(site, old)


def test_a_publisher_trusted_again_after_a_loss_gets_its_floor(site: LibrarySite) -> None:
    """With every row of it gone, the root that a person confirms anew is known to the record."""
    old, new = site.bundle(), site.bundle()
    empty = backup(site)
    with closing(sqlite3.connect(empty)) as rows:
        rows.execute("DELETE FROM publishers")
        rows.commit()
    bring(site, new)
    restore(site, empty)
    site.trust()
    with pytest.raises(RollbackError):
        bring(site, old)
    bring(site, new)


def test_a_thiefs_enormous_version_falls_with_the_stolen_keys(site: LibrarySite) -> None:
    """After a root without those keys, the record shuts out neither database nor publisher."""
    bring(site, site.forge.good("stolen", version=9_000_000, expires=EXPIRES))
    site.forge.rotate(two_of_three())
    bring(site, site.bundle())
    second, third, before = site.bundle(), site.bundle(), backup(site)
    bring(site, third)
    restore(site, before)
    with pytest.raises(RollbackError, match="by the record, version 3"):
        bring(site, second)
    bring(site, third)


def test_trust_that_was_taken_back_stays_so_after_an_older_backup(site: LibrarySite) -> None:
    """Its bundles are refused at once, its models stop at the start, its root is not taken anew."""
    bundle = site.bundle()
    bring(site, bundle)
    model = site.agree(site.library.by_name("tiny"), activate=True)
    before = backup(site)
    site.verbs.trusting.revoke(CONSOLE, PUBLISHER, "keys stolen")
    restore(site, before)
    assert site.library.get(model.id).state is State.ACTIVE
    with pytest.raises(RevokedPublisherError):
        bring(site, bundle)
    stopped = site.verbs.trusting.catch_up()
    assert [taken.id for taken in stopped] == [model.id]
    assert site.verbs.trusting.catch_up() == []
    assert site.verbs.trusting.named(PUBLISHER).revoked is not None
    with pytest.raises(ConflictError):
        site.trust()


def test_a_root_that_lost_trust_is_not_trusted_by_an_empty_database(site: LibrarySite) -> None:
    """The record alone is enough to refuse it."""
    site.verbs.trusting.revoke(CONSOLE, PUBLISHER, "keys stolen")
    with closing(_open(site)) as rows:
        rows.execute("DELETE FROM publishers")
        rows.commit()
    with pytest.raises(ConflictError, match="by the record"):
        site.trust()


def test_a_quarantine_outlives_an_older_backup(site: LibrarySite) -> None:
    """What was quarantined since the backup is so again at the start; a re-import frees it."""
    bundle = site.bundle()
    bring(site, bundle)
    model = site.agree(site.library.by_name("tiny"), activate=True)
    before = backup(site)
    site.library.path_of(model.digest).chmod(0o600)
    site.library.path_of(model.digest).write_bytes(b"altered")
    with pytest.raises(VerificationError):
        site.verbs.models.verify(CONSOLE, "tiny", "1.0")
    restore(site, before)
    site.verbs.trusting.catch_up()
    assert site.library.get(model.id).state is State.QUARANTINED
    bring(site, bundle)
    assert site.verbs.trusting.catch_up() == []
    assert site.library.get(model.id).state is State.IMPORTED
