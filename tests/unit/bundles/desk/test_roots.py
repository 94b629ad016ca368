"""Roots: enough people of the old and of the new one, or the root waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.bundles import trust
from appliance.bundles.desk import roots
from appliance.bundles.desk.roots import Change, Holders
from appliance.errors import BadInputError, ConflictError, NotFoundError
from tests.simulators.bundle_forge import EXPIRES
from tests.simulators.publisher_desk import PublisherDesk, person


def test_a_small_sites_root_is_complete_at_once(small: PublisherDesk) -> None:
    """One key, one root, which a hospital can pin."""
    assert trust.reload(small.first_root).version == 1
    assert small.desk.pending() is None


def test_a_root_waits_until_enough_people_signed(tmp_path: Path) -> None:
    """Three of five: the root counts with the third signature and not before."""
    names = ("alice", "bob", "carol", "dora", "emil")
    site = PublisherDesk(tmp_path, names, 3)
    assert trust.reload(site.first_root).root.roles["root"].threshold == 3
    other = PublisherDesk(tmp_path / "slow", names, 3)
    fresh = roots.first(
        {role: Holders(tuple(s.public_key for s in other.signers.values()), 3 if role == "root"
                       else 1) for role in roots.ROLES}, EXPIRES
    )  # fmt: skip
    done = []
    for name in names[:3]:
        fresh = roots.sign(fresh, None, other.signers[name])
        done.append(roots.missing(fresh, None)[0].done)
    assert done == [False, False, True]


def test_one_person_counts_once(norm: PublisherDesk) -> None:
    """Signing twice does not make two."""
    norm.propose(Change())
    assert not norm.sign_root("alice")
    assert not norm.sign_root("alice")
    assert norm.sign_root("bob")


def test_a_strangers_key_signs_no_root(norm: PublisherDesk, tmp_path: Path) -> None:
    """A key without a part in the root is refused, and the root stays as it was."""
    norm.propose(Change())
    norm.signers["mallory"] = person(tmp_path / "elsewhere", "mallory")[1]
    before = norm.desk.pending()
    with pytest.raises(ConflictError, match="no part"):
        norm.sign_root("mallory")
    assert norm.desk.pending() == before


def test_a_successor_needs_the_old_people_and_the_new(norm: PublisherDesk, tmp_path: Path) -> None:
    """Two new people alone cannot take over; a hospital follows the finished rotation."""
    added = []
    for name in ("dora", "emil"):
        pair, norm.signers[name] = person(tmp_path / "new", name)
        added.append(pair.key)
    gone = [norm.signers[name].public_key.keyid for name in ("bob", "carol")]
    norm.propose(Change(("root",), tuple(added), tuple(gone)))
    assert not norm.sign_root("dora")
    assert not norm.sign_root("emil")
    assert not norm.sign_root("alice")
    assert norm.sign_root("bob")
    chain = norm.desk.chain()
    metadata = {"2.root.json": chain[1]}
    assert trust.advance(trust.reload(chain[0]), metadata).version == 2


def test_changes_add_up_while_a_root_waits(norm: PublisherDesk, tmp_path: Path) -> None:
    """A second change goes on from the first, and the signatures so far are dropped."""
    pair, _ = person(tmp_path / "new", "dora")
    norm.propose(Change(("root",), (pair.key,)))
    norm.sign_root("alice")
    norm.propose(Change(("targets",), (pair.key,)))
    pending = norm.desk.pending()
    assert pending is not None
    metadata = roots.parse(pending)
    assert (metadata.signed.version, metadata.signatures) == (2, {})
    assert all(pair.key.keyid in metadata.signed.roles[r].keyids for r in ("root", "targets"))


def test_freshness_follows_the_targets_people(norm: PublisherDesk, tmp_path: Path) -> None:
    """Whoever publishes also signs snapshot and timestamp, unless another key was named."""
    pair, _ = person(tmp_path / "new", "dora")
    norm.propose(Change(("targets",), (pair.key,)))
    pending = norm.desk.pending()
    assert pending is not None
    assert pair.key.keyid in roots.parse(pending).signed.roles["timestamp"].keyids


def test_the_last_key_of_a_role_cannot_leave(small: PublisherDesk) -> None:
    """A publisher without a key could never speak again; a replacement must come with it."""
    keyid = small.signers["alone"].public_key.keyid
    with pytest.raises(BadInputError, match="0 keys"):
        small.propose(Change(roots.ROLES, (), (keyid,)))
    assert small.desk.pending() is None


def test_a_revoked_key_is_replaced(small: PublisherDesk, tmp_path: Path) -> None:
    """At a small site the old key introduces the new one, and then signs nothing any more."""
    pair, small.signers["new"] = person(tmp_path / "new", "new")
    keyid = small.signers["alone"].public_key.keyid
    small.propose(Change(roots.ROLES, (pair.key,), (keyid,)))
    assert not small.sign_root("new")
    assert small.sign_root("alone")
    assert roots.roles_of(small.desk.root(), keyid) == ()
    assert roots.roles_of(small.desk.root(), pair.key.keyid) == roots.ROLES


@pytest.mark.parametrize("threshold", [0, 4])
def test_a_threshold_nobody_can_meet_is_refused(norm: PublisherDesk, threshold: int) -> None:
    """More signatures than people, or none at all."""
    with pytest.raises(BadInputError):
        norm.propose(Change(("root",), thresholds={"root": threshold}))


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_freshness_takes_one_signature(norm: PublisherDesk, role: str) -> None:
    """Whoever completes a bundle signs it alone, so a higher threshold could never be met."""
    with pytest.raises(BadInputError, match="one signature"):
        norm.propose(Change((role,), thresholds={role: 2}))


def test_a_key_is_found_by_holder_or_beginning(norm: PublisherDesk) -> None:
    """People name keys by their holder, or by eight characters of the id; nothing shorter."""
    root, keyid = norm.desk.root(), norm.signers["bob"].public_key.keyid
    assert roots.find_key(root, "bob") == roots.find_key(root, keyid[:8]) == keyid
    for given in (keyid[:7], "mallory", ""):
        with pytest.raises(NotFoundError):
            roots.find_key(root, given)


def test_a_crash_after_the_last_signature_leaves_no_root_to_sign(norm: PublisherDesk) -> None:
    """The root was written down as complete; signing what waited before would break the chain."""
    norm.propose(Change())
    norm.sign_root("alice")
    waiting = norm.desk.pending()
    assert waiting is not None
    norm.sign_root("bob")
    (norm.desk.folder / "roots" / "pending.json").write_bytes(waiting)
    assert (len(norm.desk.chain()), norm.desk.pending()) == (2, None)
    norm.propose(Change())
    assert [norm.sign_root("alice"), norm.sign_root("carol")] == [False, True]
    chain = {f"{n}.root.json": data for n, data in enumerate(norm.desk.chain(), start=1)}
    assert trust.advance(trust.reload(norm.first_root), chain).version == 3
