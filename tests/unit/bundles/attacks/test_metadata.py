"""Older, frozen, mixed, under-signed, revoked: what the metadata must not be talked into."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner, Signature, SSlibKey
from tuf.api.metadata import Metadata, Role, Root, Targets

from appliance.bundles.publisher import Signers
from appliance.errors import ApplianceError
from tests.simulators.bundle_forge import EXPIRES, NOW, two_of_three
from tests.unit.bundles.attacks.hospital import CONSOLE, Hospital, Publisher

ROLLBACK, EXPIRED, SIGNATURE = "bundle_rollback", "bundle_expired", "bad_signature"
TEN_YEARS = timedelta(days=3_652).total_seconds()


def test_an_older_stick_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """After a newer bundle an older one of the same publisher does not enter any more."""
    old = publisher.good("old")
    hospital.bring(publisher.forge.advisory("new", version=2))
    refusal = hospital.refuses(old)
    assert refusal.named()[0] == ROLLBACK
    assert "version 2 was here before" in refusal.error.message


def test_an_older_stick_is_refused_after_a_refused_one(
    hospital: Hospital, publisher: Publisher
) -> None:
    """Newer metadata counts from the moment it was verified, though the rest was refused."""
    old, new = publisher.good("old"), publisher.good("new", version=2)
    next(new.glob("targets/*/*.card.toml")).write_text("damaged")
    hospital.refuses(new)
    assert hospital.refuses(old).named()[0] == ROLLBACK


def test_a_frozen_stick_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """A stick that was good once is refused when its validity has ended."""
    folder = publisher.good(expires=NOW - timedelta(seconds=1))
    assert hospital.refuses(folder).named()[0] == EXPIRED


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_one_expired_role_is_enough(hospital: Hospital, publisher: Publisher, role: str) -> None:
    """Of the metadata every piece must be valid now, whichever it is that has ended."""
    folder = publisher.good()
    expire(publisher, folder, role)
    assert hospital.refuses(folder).named()[0] == EXPIRED


def expire(publisher: Publisher, folder: Path, role: str) -> None:
    """Let one role's metadata end, and sign what depends on it anew."""
    signer = publisher.forge.signers.root[0]
    names = {"targets": "1.targets.json", "snapshot": "1.snapshot.json", "timestamp": None}
    for name in ("targets", "snapshot", "timestamp"):
        path = folder / "metadata" / (names[name] or "timestamp.json")
        metadata = Metadata.from_bytes(path.read_bytes())
        if name == role:
            metadata.signed.expires = NOW - timedelta(days=1)
        if name == "snapshot":
            _refer(metadata.signed.meta["targets.json"], folder / "metadata/1.targets.json")
        if name == "timestamp":
            _refer(metadata.signed.snapshot_meta, folder / "metadata/1.snapshot.json")
        metadata.signatures.clear()
        metadata.sign(signer)
        path.write_bytes(metadata.to_bytes())


def _refer(meta: object, path: Path) -> None:
    import hashlib

    data = path.read_bytes()
    meta.length, meta.hashes = len(data), {"sha256": hashlib.sha256(data).hexdigest()}  # type: ignore[attr-defined]


def test_a_clock_ten_years_late_refuses(hospital: Hospital, publisher: Publisher) -> None:
    """With a clock far ahead every bundle is refused, and the words point at the clock."""
    folder = publisher.good()
    with hospital.clock_off(TEN_YEARS):
        refusal = hospital.refuses(folder)
    assert refusal.named()[0] == EXPIRED
    assert "clock" in refusal.error.hint


def test_a_clock_ten_years_early_does_not_thaw_a_frozen_stick(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A clock that was set back, or lost its battery, does not make an ended stick valid again."""
    hospital.bring(publisher.good("newest"))
    ended = publisher.good("ended", version=2, expires=NOW - timedelta(days=30))
    with hospital.clock_off(-TEN_YEARS):
        refusal = hospital.refuses(ended)
    assert refusal.named()[0] == EXPIRED


def test_a_clock_that_ran_ahead_once_shuts_nobody_else_out(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A long-lived bundle taken in with a wrong clock does not make all others look ended."""
    lasting = hospital.publisher()
    with hospital.clock_off(300 * 86_400.0):
        hospital.bring(lasting.good("lasting"))
    (model,) = hospital.bring(publisher.good("ordinary", expires=NOW + timedelta(days=100)))
    assert model.state == "imported"


@pytest.mark.parametrize("name", ["1.snapshot.json", "1.targets.json"])
def test_mixed_metadata_is_refused(hospital: Hospital, publisher: Publisher, name: str) -> None:
    """Metadata of two good bundles, mixed, is refused though each piece is well signed."""
    first = publisher.good("first")
    publisher.add("2.0")
    second = publisher.good("second")
    shutil.copy(second / "metadata" / name, first / "metadata" / name)
    assert hospital.refuses(first).named()[0] == SIGNATURE


def test_a_newer_number_on_older_content_is_refused(
    hospital: Hospital, publisher: Publisher
) -> None:
    """Targets renamed to a newer version are refused by the version inside."""
    first, second = publisher.good("first"), publisher.good("second", version=2)
    shutil.copy(first / "metadata/1.targets.json", second / "metadata/2.targets.json")
    assert hospital.refuses(second).named()[0] == SIGNATURE


def test_too_few_signatures_are_refused(hospital: Hospital) -> None:
    """Where two of three people must sign, what one of them signed is refused."""
    publisher = hospital.publisher(signers=two_of_three())
    alone = replace(publisher.forge.signers, targets=publisher.forge.signers.targets[:1])
    folder = publisher.forge.signed(publisher.good(), lambda targets: None, alone)
    refusal = hospital.refuses(folder)
    assert refusal.named()[0] == SIGNATURE
    assert "1/2 keys" in refusal.error.message


def test_one_person_with_two_names_cannot_meet_a_threshold(hospital: Hospital) -> None:
    """A root that lists one key twice, written differently, does not become trusted."""
    signer = CryptoSigner.generate_ecdsa()
    root = doubled(signer, lambda text: text + "\n")
    with pytest.raises(ApplianceError, match="one key under two names"):
        hospital.operations.trusting.add(CONSOLE, "doubled", root, sha256(root))


def doubled(signer: CryptoSigner, rewrite: Callable[[str], str]) -> bytes:
    """Return a root where two of two keys must sign, and both are one person's."""
    key = signer.public_key
    twin = SSlibKey("ab" * 32, key.keytype, key.scheme, {"public": rewrite(key.keyval["public"])})
    names = ("root", "timestamp", "snapshot", "targets")
    roles = {name: Role([key.keyid, twin.keyid], 2) for name in names}
    keys = {key.keyid: key, twin.keyid: twin}
    metadata = Metadata(Root(1, expires=EXPIRES, keys=keys, roles=roles, consistent_snapshot=True))
    metadata.sign(signer)
    for keyid in keys:
        signature = signer.sign(metadata.signed_bytes).signature
        metadata.signatures[keyid] = Signature(keyid, signature)
    return metadata.to_bytes()


def test_a_revoked_key_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """What a key signs that a newer root on the same stick revokes is refused."""
    revoked = publisher.forge.signers
    publisher.forge.rotate(Signers.one(CryptoSigner.generate_ecdsa()))
    folder = publisher.forge.signed(publisher.good(), lambda targets: None, revoked)
    assert hospital.refuses(folder).named()[0] == SIGNATURE


def test_a_revoked_key_is_refused_with_the_newer_root_left_off(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A root that was seen once counts, also when a later stick leaves it off."""
    stolen = publisher.good("stolen", version=5)
    publisher.forge.rotate(Signers.one(CryptoSigner.generate_ecdsa()))
    hospital.bring(publisher.forge.advisory("rotated"))
    assert hospital.refuses(stolen).named()[0] == SIGNATURE


def test_a_revoked_key_is_refused_after_a_refused_rotation(
    hospital: Hospital, publisher: Publisher
) -> None:
    """A newer root counts though everything else on the stick that brought it was refused."""
    stolen = publisher.good("stolen", version=5)
    publisher.forge.rotate(Signers.one(CryptoSigner.generate_ecdsa()))
    rotated = publisher.forge.advisory("rotated")
    (rotated / "metadata/timestamp.json").unlink()
    hospital.refuses(rotated)
    assert hospital.refuses(stolen).named()[0] == SIGNATURE


def test_a_publisher_that_lost_trust_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """After trust was taken back nothing of this publisher enters, whatever it signs."""
    hospital.operations.trusting.revoke(CONSOLE, publisher.name, "its keys were stolen")
    assert hospital.refuses(publisher.good()).named()[0] == "publisher_revoked"
    publisher.forge.rotate(Signers.one(CryptoSigner.generate_ecdsa()))
    assert hospital.refuses(publisher.good("again")).named()[0] == "publisher_revoked"


def test_a_publisher_that_lost_trust_cannot_come_back_under_another_name(
    hospital: Hospital, publisher: Publisher
) -> None:
    """The root that lost trust is not trusted anew by giving it another name."""
    hospital.operations.trusting.revoke(CONSOLE, publisher.name, "its keys were stolen")
    root = publisher.forge.roots[0]
    with pytest.raises(ApplianceError):
        hospital.operations.trusting.add(CONSOLE, "somebody else", root, sha256(root))


def test_a_lower_security_epoch_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """A newer version of a model cannot go back behind a security epoch that was here before."""
    publisher.forge.models.clear()
    publisher.add("2.0", epoch=7)
    hospital.bring(publisher.good("first"))
    publisher.add("2.1", epoch=6)
    refusal = hospital.refuses(publisher.good("second", version=2))
    assert refusal.named()[0] == ROLLBACK
    assert "security epoch 6" in refusal.error.message


def test_another_publishers_name_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """A trusted publisher cannot bring a model under the name of another's."""
    hospital.bring(publisher.good())
    squatter = hospital.publisher()
    squatter.name, squatter.forge.models = publisher.name, []
    squatter.add("9.0")
    refusal = hospital.refuses(squatter.good())
    assert refusal.named()[0] == "conflict"
    assert "belongs to another publisher" in refusal.error.message


def test_a_version_cannot_change_its_content(hospital: Hospital, publisher: Publisher) -> None:
    """The same version with other weights is refused; what it had is taken back by its list."""
    hospital.bring(publisher.good())
    publisher.forge.models.clear()
    shutil.rmtree(publisher.forge.desk / f"{publisher.name}-1.0.src")
    publisher.forge.add_model(publisher.name, "1.0", seed=99)
    gone = {f"{publisher.name} 1.0": "quarantined"}
    refusal = hospital.refuses(publisher.good("other", version=2), changed=gone)
    assert refusal.named()[0] == ROLLBACK


def test_a_second_list_of_one_version_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """Two lists under one version number do not both count: the one seen first does."""
    hospital.bring(publisher.forge.advisory("first"))
    assert hospital.refuses(publisher.good("second")).named()[0] == SIGNATURE


def test_a_field_of_enormous_size_is_refused(hospital: Hospital, publisher: Publisher) -> None:
    """A version number beyond all bounds, well signed, is refused in words."""

    def enormous(targets: Targets) -> None:
        weights = targets.targets[f"{publisher.name}-1.0/{publisher.name}.gguf"]
        weights.unrecognized_fields["custom"]["security_epoch"] = 10**400

    folder = publisher.forge.signed(publisher.good(), enormous)
    assert hospital.refuses(folder).named()[0] == "bundle_layout"


def test_a_number_that_python_does_not_parse_is_refused(
    hospital: Hospital, publisher: Publisher
) -> None:
    """Metadata with a number of ten thousand digits ends in a refusal, not in a crash."""
    folder = publisher.good()
    value = {"signed": {"_type": "timestamp", "version": 0}, "signatures": []}
    text = json.dumps(value).replace('"version": 0', '"version": ' + "9" * 10_000)
    (folder / "metadata/timestamp.json").write_text(text)
    assert hospital.refuses(folder).named()[0] == SIGNATURE


def sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
