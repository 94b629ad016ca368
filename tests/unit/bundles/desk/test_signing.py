"""Signing: one person after the other, nothing unread, and a bundle only at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.bundles import oms, signatures, trust
from appliance.bundles.desk import contents, founding, keys, roots, signing
from appliance.bundles.desk.drafts import Draft
from appliance.bundles.desk.roots import Change, Holders
from appliance.bundles.publisher import ModelSource
from appliance.errors import BadInputError, ConflictError, NotFoundError, VerificationError
from tests.simulators.bundle_forge import NOW
from tests.simulators.publisher_desk import TWO_MEDIA, PublisherDesk, person, quiet, write_source


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "metadata").iterdir())


def test_one_signature_completes_a_small_sites_bundle(
    small: PublisherDesk, source: ModelSource
) -> None:
    """A hospital verifies it from the first root, and the mark of a draft is gone."""
    small.build("stick", sources=[source])
    outcome = small.sign("stick")
    assert outcome.manifest is not None
    assert [model.folder for model in outcome.manifest.models] == ["tiny-1.0"]
    assert sorted(path.name for path in (small.home / "stick").iterdir()) == ["metadata", "targets"]


def test_a_second_person_completes_it(norm: PublisherDesk, source: ModelSource) -> None:
    """After the first it says whose signature is missing; there is no timestamp yet."""
    norm.build("stick", sources=[source])
    first = norm.sign("stick", by="alice")
    assert (first.waits_for, first.missing.wanted, len(first.missing.signed)) == ("targets", 2, 1)
    assert len(first.missing.open) == 2
    assert "timestamp.json" not in names(norm.home / "stick")
    second = norm.sign("stick", by="carol")
    assert second.manifest is not None
    assert len(second.manifest.signers) == 2


def test_the_same_person_again_adds_nothing(norm: PublisherDesk, source: ModelSource) -> None:
    """Two signatures of one person are one."""
    norm.build("stick", sources=[source])
    norm.sign("stick", by="alice")
    assert norm.sign("stick", by="alice").waits_for == "targets"


def test_a_bad_signature_takes_nobodys_place(norm: PublisherDesk, source: ModelSource) -> None:
    """One put there under bob's name counts for nothing, and bob still reads before he signs."""
    norm.build("stick", sources=[source])
    norm.sign("stick", by="alice")
    path = norm.home / "stick" / "metadata" / "1.targets.json"
    value = json.loads(path.read_text())
    (good,) = value["signatures"]
    value["signatures"].append({**good, "keyid": norm.signers["bob"].public_key.keyid})
    path.write_text(json.dumps(value))
    draft = Draft.open([norm.home / "stick"])
    assert list(draft.metadata.signatures) == [good["keyid"]]
    assert signing.must_read(draft, norm.signers["bob"])
    assert norm.sign("stick", by="bob").manifest is not None


def test_the_first_person_signs_the_model_too(norm: PublisherDesk, source: ModelSource) -> None:
    """One OMS signature for each model, by a key that the root names, and it is in the list."""
    norm.build("stick", sources=[source])
    norm.sign("stick", by="alice")
    norm.sign("stick", by="bob")
    (path,) = (norm.home / "stick" / "targets").rglob("*.model.oms.sig")
    manifest = signing.check_complete(norm.home / "stick", norm.first_root, NOW)
    (model,) = manifest.models
    keys_of_models = signatures.model_keys(norm.desk.root())
    found = oms.verify(path.read_bytes(), keys_of_models, model.oms_digests)
    assert found.public_key.decode() == norm.signers["alice"].public_key.keyval["public"]


def test_a_strangers_key_signs_nothing(
    norm: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """It is refused before anything is read, and the draft stays as it was."""
    norm.build("stick", sources=[source])
    norm.signers["mallory"] = person(tmp_path / "elsewhere", "mallory")[1]
    before = (norm.home / "stick" / "metadata" / "1.targets.json").read_bytes()
    with pytest.raises(ConflictError, match="no part"):
        norm.sign("stick", by="mallory")
    assert (norm.home / "stick" / "metadata" / "1.targets.json").read_bytes() == before


def test_nothing_is_signed_that_was_not_read(small: PublisherDesk, source: ModelSource) -> None:
    """The signing function takes what was read, and nothing else."""
    small.build("stick", sources=[source])
    with pytest.raises(ConflictError, match="not read"):
        signing.sign(Draft.open([small.home / "stick"]), small.signers["alone"], None, NOW)


@pytest.mark.parametrize("which", ["*.gguf", "*.card.toml", "*.eval.jsonl", "*.jinja", "*.json"])
def test_a_changed_file_is_found_before_signing(
    small: PublisherDesk, source: ModelSource, which: str
) -> None:
    """Every file of the draft is hashed by whoever signs it."""
    small.build("stick", sources=[source])
    path = sorted((small.home / "stick" / "targets").rglob(which))[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerificationError):
        small.sign("stick")
    assert names(small.home / "stick") == ["1.root.json", "1.targets.json"]


def test_a_missing_or_foreign_file_stops_it(small: PublisherDesk, source: ModelSource) -> None:
    """A hospital would refuse the bundle for it, and the publisher hears it first."""
    small.build("stick", sources=[source])
    stray = small.home / "stick" / "targets" / "tiny-1.0" / "run-me.sh"
    stray.write_text("true\n")
    with pytest.raises(VerificationError, match="does not belong"):
        small.sign("stick")
    stray.unlink()
    (small.home / "stick" / "Autorun.inf").write_text("")
    with pytest.raises(VerificationError, match="does not belong"):
        small.sign("stick")
    (small.home / "stick" / "Autorun.inf").unlink()
    next((small.home / "stick" / "targets").rglob("*.gguf")).unlink()
    with pytest.raises(VerificationError, match="on none of the media"):
        small.sign("stick")


def test_a_link_in_place_of_a_file_is_not_followed(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """What is signed must lie on the medium itself."""
    small.build("stick", sources=[source])
    path = next((small.home / "stick" / "targets").rglob("*.gguf"))
    path.rename(tmp_path / "elsewhere.gguf")
    path.symlink_to(tmp_path / "elsewhere.gguf")
    with pytest.raises(OSError, match="symbolic"):
        small.sign("stick")


def test_a_model_slipped_into_the_list_is_found(small: PublisherDesk, source: ModelSource) -> None:
    """What is listed and not carried must stand, unchanged, in the list signed before."""
    small.build("stick", sources=[source])
    path = small.home / "stick" / "draft.json"
    value = json.loads(path.read_text())
    value["carried"] = []
    path.write_text(json.dumps(value))
    with pytest.raises(VerificationError):
        small.sign("stick")


def test_a_forged_former_list_is_not_believed(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """`draft.json` is signed by nobody, so what it calls the former list is verified."""
    small.publish("one", source)
    small.build("two", sources=[write_source(tmp_path / "b", version="2.0", seed=1)])
    path = small.home / "two" / "draft.json"
    value = json.loads(path.read_text())
    former = json.loads(value["former"])
    former["signed"]["targets"]["tiny-1.0/tiny.gguf"]["hashes"]["sha256"] = "0" * 64
    value["former"] = json.dumps(former)
    path.write_text(json.dumps(value))
    with pytest.raises(VerificationError, match="former list"):
        small.sign("two")


def test_a_withdrawal_cannot_be_taken_back(small: PublisherDesk, source: ModelSource) -> None:
    """Whoever edits the draft between desk and signature does not get a signature."""
    from appliance.bundles.desk import withdrawing

    small.publish("one", source)
    withdrawing.withdraw(small.desk, "tiny", "1.0", "wrong doses")
    small.publish("two")
    small.build("three", sources=[write_source(source.gguf.parent, version="2.0", seed=1)])
    path = small.home / "three" / "metadata" / "3.targets.json"
    value = json.loads(path.read_text())
    del value["signed"]["x-appliance-denied"]
    path.write_text(json.dumps(value))
    with pytest.raises(VerificationError, match="takes back"):
        small.sign("three")


def test_all_media_must_be_there(small: PublisherDesk, source: ModelSource) -> None:
    """What is not read is not signed, so each stick is asked for by its number."""
    size = source.gguf.stat().st_size // 2 + 1
    small.build("a", "b", sources=[source], part_bytes=size, media_bytes=TWO_MEDIA)
    with pytest.raises(BadInputError, match="number 2 is not here"):
        small.sign("a")


def test_an_online_key_signs_after_the_people(tmp_path: Path, source: ModelSource) -> None:
    """Where freshness has a key of its own, the people come first and it completes the bundle."""
    site = PublisherDesk(tmp_path / "site", ("alice",))
    pair, site.signers["online"] = person(tmp_path / "keys", "online")
    site.propose(Change(("snapshot", "timestamp"), (pair.key,),
                        (site.signers["alice"].public_key.keyid,)))  # fmt: skip
    assert site.sign_root("alice")
    site.build("stick", sources=[source])
    with pytest.raises(ConflictError, match="comes first"):
        site.sign("stick", by="online")
    waiting = site.sign("stick", by="alice")
    assert waiting.waits_for == "freshness"
    assert waiting.may_finish[0].startswith("online")
    assert site.sign("stick", by="online").manifest is not None


def test_a_revoked_key_signs_no_new_bundle(small: PublisherDesk, source: ModelSource) -> None:
    """From the next bundle on only the new key counts, and the model is signed with it."""
    pair, small.signers["new"] = person(small.home / "keys", "new")
    small.publish("one", source)
    small.propose(Change(roots.ROLES, (pair.key,), (small.signers["alone"].public_key.keyid,)))
    small.sign_root("alone")
    small.sign_root("new")
    small.build("two", sources=[source], again=True)
    with pytest.raises(ConflictError, match="no part"):
        small.sign("two")
    outcome = small.sign("two", by="new")
    assert outcome.manifest is not None
    assert outcome.manifest.root_version == 2


def test_a_cut_short_completion_can_be_finished(small: PublisherDesk, source: ModelSource) -> None:
    """The power went between the two sticks: the same command again completes the second."""
    size = source.gguf.stat().st_size // 2 + 1
    small.build("a", "b", sources=[source], part_bytes=size, media_bytes=TWO_MEDIA)
    mark = (small.home / "b" / "draft.json").read_bytes()
    small.sign("a", "b")
    (small.home / "b" / "draft.json").write_bytes(mark)
    assert small.sign("a", "b").manifest is not None
    assert not (small.home / "b" / "draft.json").exists()


def test_a_cut_short_first_signature_can_be_given_again(
    small: PublisherDesk, source: ModelSource
) -> None:
    """A model's signature that never got into the list is made anew, and half-written files go."""
    small.build("stick", sources=[source])
    folder = small.home / "stick"
    stray = folder / "targets" / "tiny-1.0" / f"{'a' * 64}.model.oms.sig"
    stray.write_bytes(b"cut")
    (folder / "metadata" / ".1.targets.json.0123abcd.new").write_bytes(b"cut")
    assert small.sign("stick").manifest is not None
    assert len(list((folder / "targets").rglob("*.model.oms.sig"))) == 1


def test_media_that_were_signed_unevenly_agree_again(
    norm: PublisherDesk, source: ModelSource
) -> None:
    """The power went after the first stick got the signed list: the second one follows."""
    size = source.gguf.stat().st_size // 2 + 1
    norm.build("a", "b", sources=[source], part_bytes=size, media_bytes=TWO_MEDIA)
    path = norm.home / "b" / "metadata" / "1.targets.json"
    unsigned = path.read_bytes()
    norm.sign("a", "b", by="alice")
    path.write_bytes(unsigned)
    assert norm.sign("a", "b", by="bob").manifest is not None
    assert path.read_bytes() == (norm.home / "a" / "metadata" / "1.targets.json").read_bytes()


def test_an_expired_draft_is_not_completed(small: PublisherDesk, source: ModelSource) -> None:
    """A hospital would refuse it, so it stays a draft."""
    small.build("stick", sources=[source], valid_days=10)
    with pytest.raises(VerificationError, match="expired"):
        small.sign("stick", now=NOW + timedelta(days=11))
    assert (small.home / "stick" / "draft.json").exists()


def test_a_complete_bundle_and_a_stray_folder_are_told_apart(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """One needs nothing more, the other was never a bundle."""
    folder = small.publish("stick", source)
    with pytest.raises(ConflictError, match="complete"):
        Draft.open([folder])
    with pytest.raises(NotFoundError):
        Draft.open([tmp_path])


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "[" * 5_000, '{"format": 2}', '{"format": 1, "desk": 5}']
)
def test_a_damaged_mark_is_refused(small: PublisherDesk, source: ModelSource, text: str) -> None:
    """Whatever stands in `draft.json`, it ends in words."""
    small.build("stick", sources=[source])
    (small.home / "stick" / "draft.json").write_text(text)
    with pytest.raises(VerificationError):
        Draft.open([small.home / "stick"])


def test_what_is_shown_is_what_is_signed(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """New models, models that stay, and withdrawals are told apart."""
    from appliance.bundles.desk import withdrawing

    small.publish("one", source, write_source(tmp_path / "b", "other", seed=1))
    withdrawing.withdraw(small.desk, "other", "1.0", "wrong doses")
    small.build("two", sources=[write_source(tmp_path / "c", version="2.0", seed=2)])
    found = contents.read(Draft.open([small.home / "two"]), quiet)
    assert [model.folder for model in found.carried] == ["tiny-2.0"]
    assert [model.folder for model in found.listed] == ["tiny-1.0"]
    assert [item.model for item in found.newly_denied] == ["other"]
    assert found.dropped == ()


def test_a_failed_founding_leaves_nothing(tmp_path: Path) -> None:
    """Neither a desk nor a key without one."""
    one = Holders((keys.create(tmp_path / "a", "correct horse battery", rounds=1).key,), 2)
    with pytest.raises(BadInputError):
        founding.found_together(tmp_path / "desk", "x", dict.fromkeys(roots.ROLES, one), NOW)
    with pytest.raises(BadInputError):
        founding.found_alone(tmp_path / "desk", "x", "short", NOW)
    assert not (tmp_path / "desk").exists()


def test_a_template_that_hides_something_is_not_signed(
    small: PublisherDesk, source: ModelSource
) -> None:
    """A draft that was changed at the desk is read as a hospital would, the template too."""
    small.build("stick", sources=[source])
    folder = small.home / "stick" / "targets" / "tiny-1.0"
    path = small.home / "stick" / "metadata" / "1.targets.json"
    value = json.loads(path.read_text())
    targets = value["signed"]["targets"]

    def replace(name: str, change: Callable[[bytes], bytes]) -> tuple[str, str]:
        listed = targets[f"tiny-1.0/{name}"]
        old = listed["hashes"]["sha256"]
        data = change((folder / f"{old}.{name}").read_bytes())
        new = hashlib.sha256(data).hexdigest()
        (folder / f"{old}.{name}").unlink()
        (folder / f"{new}.{name}").write_bytes(data)
        listed["length"], listed["hashes"]["sha256"] = len(data), new
        return old, new

    old, new = replace("chat_template.jinja", lambda data: data + "\u202e".encode())
    replace("bom.cdx.json", lambda data: data.replace(old.encode(), new.encode()))
    targets["tiny-1.0/tiny.gguf"]["custom"]["chat_template_sha256"] = new
    path.write_text(json.dumps(value))
    with pytest.raises(VerificationError, match=r"U\+202E"):
        small.sign("stick")


def test_metadata_without_end_are_not_read_to_the_end(
    small: PublisherDesk, source: ModelSource
) -> None:
    """A stick full of small files does not fill the memory of whoever signs."""
    small.build("stick", sources=[source])
    for number in range(2, 80):
        path = small.home / "stick" / "metadata" / f"{number}.root.json"
        path.write_bytes(bytes(trust.LIMITS["root"]))
    with pytest.raises(VerificationError, match="larger than any bundle"):
        small.sign("stick")


def test_a_link_among_the_metadata_is_not_followed(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """It is refused in words for a person."""
    small.build("stick", sources=[source])
    path = small.home / "stick" / "metadata" / "1.targets.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(VerificationError, match="cannot be read"):
        small.sign("stick")
