"""Publishers come, change their keys and go; their models go with them, and the record tells."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

from appliance.bundles.manifest import Denied
from appliance.bundles.refusals import (
    BundleError,
    RevokedPublisherError,
    SignatureError,
    WrongFingerprintError,
)
from appliance.bundles.states import State
from appliance.errors import BadInputError, ConflictError, ForbiddenError, NotFoundError
from tests.simulators.bundle_forge import BundleForge, two_of_three
from tests.simulators.library_site import (
    APPROVER,
    CONSOLE,
    EXPIRES,
    PUBLISHER,
    STEWARD,
    LibrarySite,
)


@pytest.fixture
def site() -> Iterator[LibrarySite]:
    """A library of this test's own."""
    made = LibrarySite()
    yield made
    made.close()


def roots(forge: BundleForge) -> dict[str, bytes]:
    """Return every root of a publisher by its file name."""
    return {f"{number}.root.json": data for number, data in enumerate(forge.roots, start=1)}


def test_a_root_counts_only_with_the_fingerprint_on_paper(site: LibrarySite) -> None:
    """Another fingerprint adds nobody, and both attempts are in the record."""
    root = site.forge.roots[0]
    with pytest.raises(WrongFingerprintError):
        site.verbs.trusting.add(CONSOLE, PUBLISHER, root, "00" * 32)
    assert site.verbs.trusting.list(CONSOLE) == []
    site.verbs.trusting.add(CONSOLE, PUBLISHER, root, hashlib.sha256(root).hexdigest())
    outcomes = [entry["outcome"] for entry in site.record("publisher.trust")]
    assert outcomes == ["intent", "refused", "intent", "success"]


def test_new_keys_are_followed_without_a_bundle(site: LibrarySite) -> None:
    """A root that the old keys signed is taken; the old keys sign nothing afterwards."""
    site.trust()
    old = site.bundle()
    site.forge.rotate(two_of_three())
    rotated = site.verbs.trusting.rotate(CONSOLE, PUBLISHER, roots(site.forge))
    assert rotated.root_version == 2
    assert site.record("publisher.rotate")[-1]["content"] == {"from": 1, "to": 2}
    with pytest.raises(BundleError):
        site.take(old)
    site.take(site.bundle())
    assert site.library.by_name("tiny").state is State.IMPORTED


def test_a_root_that_does_not_follow_is_refused(site: LibrarySite) -> None:
    """A stranger's second root, and no newer root at all, leave the publisher as it was."""
    site.trust()
    stranger = BundleForge(site.folder / "stranger")
    stranger.rotate(two_of_three())
    with pytest.raises(SignatureError):
        site.verbs.trusting.rotate(CONSOLE, PUBLISHER, {"2.root.json": stranger.roots[1]})
    with pytest.raises(ConflictError, match="none that follows"):
        site.verbs.trusting.rotate(CONSOLE, PUBLISHER, roots(site.forge))
    assert site.verbs.trusting.named(PUBLISHER).root_version == 1


def test_revoking_stops_every_model_of_the_publisher_at_once(site: LibrarySite) -> None:
    """The one that answers too; retired ones stay retired; each has an entry of its own."""
    active = site.agree(site.bring(), activate=True)
    waiting = site.bring("other", seed=1)
    retired = site.bring("old", seed=2)
    site.verbs.models.retire(APPROVER, "old", "1.0", "unused")
    listed = {model.id for model in site.verbs.trusting.stopping(CONSOLE, PUBLISHER)}
    assert listed == {active.id, waiting.id}
    revoked = site.verbs.trusting.revoke(CONSOLE, PUBLISHER, "keys stolen, notice of 3 May")
    assert {model.id for model in revoked.models} == listed
    assert not (site.library.folder / "active.json").exists()
    assert site.library.get(retired.id).state is State.RETIRED
    quarantined = {entry["entity"] for entry in site.record("model.quarantine")}
    assert quarantined == listed
    assert site.record("publisher.revoke")[-1]["content"]["reason"].startswith("keys stolen")


def test_a_revoked_publisher_brings_nothing_in_any_more(site: LibrarySite) -> None:
    """Neither a bundle nor a new root, and revoking twice says so."""
    site.trust()
    bundle = site.bundle()
    site.verbs.trusting.revoke(CONSOLE, PUBLISHER, "contract ended")
    with pytest.raises(RevokedPublisherError):
        site.take(bundle)
    site.forge.rotate(two_of_three())
    with pytest.raises(ConflictError, match="not trusted any more"):
        site.verbs.trusting.rotate(CONSOLE, PUBLISHER, roots(site.forge))
    with pytest.raises(ConflictError, match="taken back before"):
        site.verbs.trusting.revoke(CONSOLE, PUBLISHER, "once more")
    assert site.verbs.trusting.settle() == []


def test_what_a_crash_left_in_use_is_stopped_at_the_next_start(site: LibrarySite) -> None:
    """Revoked in the database but not yet quarantined: settling finishes it, once."""
    model = site.agree(site.bring(), activate=True)
    site.library.revoke_publisher(model.publisher, CONSOLE.user)
    assert [taken.id for taken in site.verbs.trusting.settle()] == [model.id]
    assert site.verbs.trusting.settle() == []
    entry = site.record("model.quarantine")[-1]
    assert (entry["agent"]["user"], entry["entity"]) == ("system:gateway", model.id)


def test_a_denied_model_is_stopped_although_it_answers(site: LibrarySite) -> None:
    """A signed deny list that came in by itself takes the active one out of use, for good."""
    model = site.agree(site.bring(), activate=True)
    denied = Denied(model.digest, model.name, model.version, "repeats identifiers")
    site.take(site.forge.advisory("advice", version=9, denied=(denied,), expires=EXPIRES))
    site.verbs.trusting.settle()
    found = site.library.get(model.id)
    assert found.state is State.QUARANTINED
    assert site.verbs.trusting.settle() == []
    assert "repeats identifiers" in found.reason


def test_only_the_console_decides_about_publishers(site: LibrarySite) -> None:
    """A steward and an approver are refused, and that is recorded."""
    site.trust()
    for who in (STEWARD, APPROVER):
        with pytest.raises(ForbiddenError):
            site.verbs.trusting.revoke(who, PUBLISHER, "a reason")
        with pytest.raises(ForbiddenError):
            site.verbs.trusting.rotate(who, PUBLISHER, {})
    assert [e["outcome"] for e in site.record("publisher.revoke")] == ["refused", "refused"]


def test_unknown_names_and_bad_reasons_change_nothing(site: LibrarySite) -> None:
    """What cannot be recorded, or means nobody, is refused before anything happens."""
    site.trust()
    with pytest.raises(NotFoundError, match="no publisher is called"):
        site.verbs.trusting.revoke(CONSOLE, "nobody", "a reason")
    with pytest.raises(BadInputError):
        site.verbs.trusting.revoke(CONSOLE, PUBLISHER, "x")
    assert site.verbs.trusting.named(PUBLISHER).revoked is None


def test_what_a_person_typed_is_not_in_the_record(site: LibrarySite) -> None:
    """The record is for ever, and somebody may type a password in the wrong place."""
    root = site.forge.roots[0]
    with pytest.raises(WrongFingerprintError):
        site.verbs.trusting.add(CONSOLE, PUBLISHER, root, "my secret passphrase")
    entries = site.record("publisher.trust")
    assert "secret" not in str(entries)
    assert entries[0]["content"] == {"fingerprint": hashlib.sha256(root).hexdigest()}
