"""Metadata: what a pinned root accepts, and the ways to deceive it that must fail."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from appliance.bundles import refusals, trust
from appliance.bundles.publisher import Signers, make_root
from tests.simulators.bundle_forge import EXPIRES, NOW, BundleForge, two_of_three
from tests.unit.bundles.conftest import TIME, Site


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "metadata").iterdir()}


def verify(forge: BundleForge, folder: Path, now: float = TIME) -> trust.VerifiedManifest:
    metadata = read(folder)
    root = trust.advance(trust.reload(forge.roots[0]), metadata)
    return trust.verify(root, metadata, trust.Floor(), now)


def test_good_metadata_yields_the_signed_models(forge: BundleForge) -> None:
    """Good metadata gives the models with their signed digests, lengths and descriptions."""
    (model,) = verify(forge, forge.good()).models
    assert (model.name, model.version, model.security_epoch) == ("tiny", "1.0", 1)
    assert model.architecture == "llama"
    assert model.parts[0].stored_path.startswith("tiny-1.0/" + model.sha256)


def test_manifest_names_who_signed(tmp_path: Path) -> None:
    """What was verified says whose signatures counted, and how many it took."""
    signers = two_of_three()
    forge = BundleForge(tmp_path, signers)
    manifest = verify(forge, forge.good())
    assert manifest.signers == tuple(sorted(item.public_key.keyid for item in signers.targets))
    assert (manifest.threshold, len(manifest.oms_keys)) == (2, 3)
    assert manifest.expires == EXPIRES.timestamp()


def test_one_key_under_two_names_makes_no_threshold(tmp_path: Path) -> None:
    """A root in which one person holds two of the keys by two ids is refused."""
    signer = CryptoSigner.generate_ecdsa()
    twin = CryptoSigner.generate_ecdsa()
    twin._private_key = signer._private_key
    twin._public_key = type(twin.public_key)(
        twin.public_key.keyid, "ecdsa", "ecdsa-sha2-nistp256", signer.public_key.keyval
    )
    people = (signer, twin)
    signers = Signers(people, people, people, people, {"root": 2, "targets": 2})
    with pytest.raises(refusals.SignatureError, match="one key under two names"):
        trust.reload(make_root(signers, expires=EXPIRES))


def test_our_metadata_is_accepted_by_python_tuf(forge: BundleForge) -> None:
    """python-tuf's own client workflow accepts the metadata that our publisher makes."""
    metadata = read(forge.good())
    oracle = TrustedMetadataSet(forge.roots[0], EnvelopeType.METADATA)
    oracle.reference_time = NOW
    oracle.update_timestamp(metadata["timestamp.json"])
    oracle.update_snapshot(metadata["1.snapshot.json"])
    assert "tiny-1.0/tiny.gguf" in oracle.update_targets(metadata["1.targets.json"]).targets


def test_fingerprint_must_be_that_of_the_root(forge: BundleForge) -> None:
    """A root with another fingerprint than the confirmed one is not trusted."""
    with pytest.raises(refusals.WrongFingerprintError):
        trust.pin(forge.roots[0], "0" * 64)


def test_fingerprint_may_be_typed_as_people_do(forge: BundleForge) -> None:
    """Colons, spaces and capitals in a typed fingerprint do not matter."""
    digits = trust.fingerprint(forge.roots[0]).upper()
    typed = ":".join(digits[index : index + 2] for index in range(0, 64, 2)) + "\n"
    assert trust.pin(forge.roots[0], typed).version == 1


def test_root_that_does_not_sign_itself_is_refused(
    forge: BundleForge, stranger: BundleForge
) -> None:
    """A root altered after signing is refused even with the right fingerprint."""
    altered = forge.roots[0].replace(b'"version":1', b'"version":7')
    with pytest.raises(refusals.SignatureError):
        trust.pin(altered, trust.fingerprint(altered))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b" " * 600_000])
def test_garbage_for_a_root_is_refused(data: bytes) -> None:
    """Bytes that are no root are refused as such, whatever they are."""
    with pytest.raises(refusals.SignatureError):
        trust.reload(data)


def test_expired_bundle_is_refused(site: Site, forge: BundleForge) -> None:
    """A frozen stick, valid once, is refused when its validity has ended."""
    with pytest.raises(refusals.ExpiredError, match="clock says 2027-03-01"):
        site.bring_in(forge.good(), now=(EXPIRES + timedelta(seconds=1)).timestamp())


def test_clock_ten_years_late_is_told_to_the_operator(site: Site, forge: BundleForge) -> None:
    """With a clock far ahead the refusal names the clock, so that IT looks there first."""
    with pytest.raises(refusals.ExpiredError) as caught:
        site.bring_in(forge.good(), now=(NOW + timedelta(days=3650)).timestamp())
    assert "check this machine's clock" in caught.value.hint


def test_older_stick_is_refused(site: Site, forge: BundleForge) -> None:
    """After a newer bundle an older one of the same publisher is refused."""
    old = forge.good("old")
    site.bring_in(forge.good("new", version=2))
    with pytest.raises(refusals.RollbackError, match="version 2 was here before"):
        site.bring_in(old)


def test_floor_is_kept_even_if_the_files_are_refused(site: Site, forge: BundleForge) -> None:
    """Newer metadata on a stick with damaged files still shuts out older sticks."""
    old, new = forge.good("old"), forge.good("new", version=2)
    next((new / "targets" / "tiny-1.0").glob("*.card.toml")).unlink()
    with pytest.raises(refusals.IncompleteError):
        site.bring_in(new)
    with pytest.raises(refusals.RollbackError):
        site.bring_in(old)


def test_mixed_snapshot_is_refused(forge: BundleForge) -> None:
    """A snapshot of one bundle with the timestamp of another is refused."""
    first = forge.good("first")
    forge.add_model("other", seed=3)
    second = forge.good("second")
    shutil.copy(second / "metadata/1.snapshot.json", first / "metadata/1.snapshot.json")
    with pytest.raises(refusals.SignatureError, match="not the one that the timestamp names"):
        verify(forge, first)


def test_targets_of_another_bundle_are_refused(forge: BundleForge) -> None:
    """Targets of one bundle with the snapshot of another are refused, though both are signed."""
    first = forge.good("first")
    forge.add_model("other", seed=3)
    second = forge.good("second")
    shutil.copy(second / "metadata/1.targets.json", first / "metadata/1.targets.json")
    with pytest.raises(refusals.SignatureError, match="not those that the snapshot names"):
        verify(forge, first)


def test_renamed_newer_version_is_refused(forge: BundleForge) -> None:
    """Targets renamed to the version that is wanted are refused by the version inside."""
    first, second = forge.good("first"), forge.good("second", version=2)
    shutil.copy(first / "metadata/1.targets.json", second / "metadata/2.targets.json")
    with pytest.raises(refusals.SignatureError):
        verify(forge, second)


def test_one_role_cannot_stand_for_another(forge: BundleForge) -> None:
    """A validly signed snapshot under the name of the timestamp is refused."""
    folder = forge.good()
    shutil.copy(folder / "metadata/1.snapshot.json", folder / "metadata/timestamp.json")
    with pytest.raises(refusals.SignatureError, match="stands for timestamp"):
        verify(forge, folder)


def test_two_of_three_signatures_are_enough(tmp_path: Path) -> None:
    """With a threshold of two, a bundle signed by all is accepted."""
    forge = BundleForge(tmp_path, two_of_three())
    assert verify(forge, forge.good()).targets_version == 1


def test_one_of_three_signatures_is_too_few(tmp_path: Path) -> None:
    """With a threshold of two, targets signed by one person only are refused."""
    forge = BundleForge(tmp_path, two_of_three())
    signers = forge.signers
    alone = type(signers)(
        signers.root, signers.timestamp, signers.snapshot, signers.targets[:1], {"targets": 1}
    )
    folder = forge.signed(forge.good(), lambda targets: None, alone)
    with pytest.raises(refusals.SignatureError, match="1/2 keys"):
        verify(forge, folder)


def test_rotated_keys_are_followed(site: Site, forge: BundleForge) -> None:
    """A bundle that carries a properly signed newer root is accepted under the new keys."""
    forge.rotate(two_of_three())
    site.bring_in(forge.good())
    assert [publisher.root_version for publisher in site.library.publishers()] == [2]


def test_rotation_without_the_old_keys_is_refused(forge: BundleForge) -> None:
    """A newer root that the old keys did not sign is refused."""
    forge.signers = two_of_three()
    forge.rotate(forge.signers)
    with pytest.raises(refusals.SignatureError):
        verify(forge, forge.good())


def test_rotation_cannot_skip_a_version(forge: BundleForge) -> None:
    """A root that holds another version than its place in the chain says is refused."""
    forge.rotate(two_of_three())
    forge.rotate(two_of_three())
    folder = forge.good()
    (folder / "metadata/2.root.json").write_bytes(forge.roots[2])
    with pytest.raises(refusals.BundleError):
        verify(forge, folder)


def test_revoked_key_is_refused(site: Site, forge: BundleForge) -> None:
    """A bundle signed by a key that a newer root on the same stick revokes is refused."""
    revoked = forge.signers
    forge.rotate(two_of_three())
    folder = forge.signed(forge.good(), lambda targets: None, revoked)
    with pytest.raises(refusals.SignatureError):
        site.bring_in(folder)


def test_revoked_key_is_refused_with_the_newer_root_left_off(
    site: Site, forge: BundleForge
) -> None:
    """Once a newer root was seen, leaving it off the stick does not revive the old key."""
    old = forge.good("old", version=5)
    forge.rotate(two_of_three())
    site.bring_in(forge.good("new"))
    with pytest.raises(refusals.SignatureError):
        site.bring_in(old)


def test_revocation_on_a_refused_stick_is_remembered(site: Site, forge: BundleForge) -> None:
    """A newer root counts from the moment it was verified, even if the rest was refused."""
    old = forge.good("old")
    forge.rotate(two_of_three())
    new = forge.good("new")
    (new / "metadata/timestamp.json").unlink()
    with pytest.raises(refusals.LayoutError):
        site.bring_in(new)
    with pytest.raises(refusals.SignatureError):
        site.bring_in(old)


def test_thief_cannot_block_updates_for_ever(site: Site, forge: BundleForge) -> None:
    """After stolen keys signed an enormous version, revoking them makes updates possible again."""
    site.bring_in(forge.good("stolen", version=2_000_000))
    forge.rotate(two_of_three())
    assert site.bring_in(forge.good("fresh", version=3)) == ["tiny 1.0 imported"]


def test_expired_root_is_refused_unless_it_has_a_successor(forge: BundleForge) -> None:
    """An expired root vouches for nothing but its successor."""
    late = (EXPIRES + timedelta(days=1)).timestamp()
    much_later = EXPIRES + timedelta(days=365)
    folder = forge.good("expired", expires=much_later)
    with pytest.raises(refusals.ExpiredError, match="the root"):
        verify(forge, folder, late)
    forge.rotate(forge.signers, expires=much_later)
    assert verify(forge, forge.good("fresh", expires=much_later), late).root_version == 2


def test_same_version_again_counts_as_the_trusted_one(site: Site, forge: BundleForge) -> None:
    """A second timestamp of a version already trusted cannot bring in other targets."""
    site.bring_in(forge.good("first"))
    forge.add_model("other", seed=3)
    with pytest.raises(refusals.SignatureError):
        site.bring_in(forge.good("second"))


def test_more_rotations_than_allowed_are_refused(
    forge: BundleForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle with a longer chain of roots than the limit is refused."""
    monkeypatch.setattr(trust, "MAX_ROTATIONS", 2)
    for _ in range(3):
        forge.rotate(type(forge.signers).one(CryptoSigner.generate_ecdsa()))
    with pytest.raises(refusals.SignatureError, match="more than 2 times"):
        verify(forge, forge.good())


@pytest.mark.parametrize("value", ["1.5", "NaN", "[" * 400 + "]" * 400])
def test_metadata_that_has_no_signed_form_is_refused(forge: BundleForge, value: str) -> None:
    """A fraction or deep nesting in the signed part is a bad signature, never a crash."""
    folder = forge.good()
    path = folder / "metadata" / "timestamp.json"
    path.write_text(path.read_text().replace('"signed":{', f'"signed":{{"x":{value},', 1))
    with pytest.raises(refusals.SignatureError):
        verify(forge, folder)


@pytest.mark.parametrize(("name", "who"), [("1.snapshot", "timestamp"), ("1.targets", "snapshot")])
def test_what_nobody_named_is_not_even_parsed(forge: BundleForge, name: str, who: str) -> None:
    """Other bytes than those that were named are refused before anything looks into them."""
    bundle = forge.good()
    (bundle / "metadata" / f"{name}.json").write_bytes(b"not JSON")
    with pytest.raises(refusals.SignatureError, match=f"that the {who} names"):
        verify(forge, bundle)


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_each_role_signs_for_itself(forge: BundleForge, role: str) -> None:
    """Metadata that the others name rightly counts only with the signature of its own role."""
    nobody = replace(forge.signers, **{role: ()})
    bundle = forge.signed(forge.good(), lambda targets: None, nobody)
    with pytest.raises(refusals.SignatureError, match=f"too few valid signatures: {role}"):
        verify(forge, bundle)
