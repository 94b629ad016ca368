"""Building: digests computed and pinned here, the list complete, the desk never guessing."""

from __future__ import annotations

import hashlib
import os
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.bundles import listing, trust
from appliance.bundles.desk import withdrawing
from appliance.bundles.desk.desk import Desk
from appliance.bundles.desk.roots import Change
from appliance.bundles.publisher import ModelSource
from appliance.bundles.refusals import UnsafeModelError
from appliance.errors import BadInputError, ConflictError, NotFoundError, VerificationError
from tests.simulators.bundle_forge import NOW
from tests.simulators.publisher_desk import TWO_MEDIA, PublisherDesk, write_source


def listed(folder: Path, first_root: bytes) -> list[str]:
    """Return the models on a complete bundle's list, as a hospital verifies it."""
    metadata = {path.name: path.read_bytes() for path in (folder / "metadata").iterdir()}
    trusted = trust.advance(trust.reload(first_root), metadata)
    manifest = trust.verify(trusted, metadata, trust.Floor(), NOW.timestamp())
    return [model.folder for model in manifest.models]


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_draft_is_no_bundle_yet(small: PublisherDesk, source: ModelSource) -> None:
    """It carries a mark at its top, the list without signatures, and no timestamp."""
    small.build("stick", sources=[source])
    folder = small.home / "stick"
    assert sorted(path.name for path in folder.iterdir()) == ["draft.json", "metadata", "targets"]
    names = sorted(path.name for path in (folder / "metadata").iterdir())
    assert names == ["1.root.json", "1.targets.json"]


def test_the_builder_computes_and_pins_the_digest(
    small: PublisherDesk, source: ModelSource
) -> None:
    """Nobody types a digest."""
    small.build("stick", sources=[source])
    digest = hashlib.sha256(source.gguf.read_bytes()).hexdigest()
    assert Desk(small.desk.folder).state.pins == {"tiny-1.0": digest}


def test_another_file_of_the_same_version_is_refused(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """Also when the first one was never completed; nothing of the second build stays."""
    small.build("stick", sources=[source])
    other = write_source(tmp_path / "other", seed=5)
    with pytest.raises(ConflictError, match="pinned"):
        small.build("second", sources=[other], abandoned=1)
    assert not (small.home / "second").exists()
    assert Desk(small.desk.folder).state.version == 1


def test_the_same_weights_are_not_built_under_a_second_version(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """Told when it is built, not when it is signed; the version stays free for another file."""
    small.publish("one", source)
    with pytest.raises(ConflictError, match=r"published as tiny-1\.0"):
        small.build("two", sources=[write_source(tmp_path / "b", version="2.0")])
    assert not (small.home / "two").exists()
    assert "tiny-2.0" not in Desk(small.desk.folder).state.pins
    small.publish("two", write_source(tmp_path / "c", version="2.0", seed=1))


def test_the_list_is_complete(small: PublisherDesk, source: ModelSource, tmp_path: Path) -> None:
    """The second bundle lists the first model too, and carries only its own."""
    small.publish("one", source)
    second = small.publish("two", write_source(tmp_path / "b", version="2.0", seed=1))
    assert listed(second, small.first_root) == ["tiny-1.0", "tiny-2.0"]
    assert [path.name for path in (second / "targets").iterdir()] == ["tiny-2.0"]


def test_a_published_version_is_not_built_again_by_accident(
    small: PublisherDesk, source: ModelSource
) -> None:
    """It takes a word, and then must be the same file."""
    small.publish("one", source)
    with pytest.raises(ConflictError, match="published already"):
        small.build("two", sources=[source])
    small.build("two", sources=[source], again=True)
    small.sign("two")
    assert listed(small.home / "two", small.first_root) == ["tiny-1.0"]


def test_an_unknown_end_of_the_former_bundle_stops_a_build(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """A list made without the former one would withdraw its models everywhere."""
    small.build("one", sources=[source])
    other = write_source(tmp_path / "b", version="2.0", seed=1)
    with pytest.raises(ConflictError, match="how bundle 1 ended") as caught:
        small.build("two", sources=[other])
    assert "--abandoned 1" in caught.value.hint
    assert not (small.home / "two").exists()


def test_a_bundle_completed_where_it_was_built_is_found(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """The stick is still there and complete: no question needs to be asked."""
    small.build("one", sources=[source])
    small.sign("one")
    small.build("two", sources=[write_source(tmp_path / "b", version="2.0", seed=1)])
    assert small.desk.state.recorded == 1


def test_versions_grow_past_an_abandoned_bundle(small: PublisherDesk, source: ModelSource) -> None:
    """A number is never given twice."""
    assert small.build("one", sources=[source]).version == 1
    assert small.build("two", sources=[source], abandoned=1).version == 2


def test_abandoning_another_version_is_no_answer(small: PublisherDesk, source: ModelSource) -> None:
    """The person must know which bundle is meant."""
    with pytest.raises(ConflictError):
        small.build("one", sources=[source], abandoned=1)
    small.build("one", sources=[source])
    with pytest.raises(ConflictError):
        small.build("two", sources=[source], abandoned=2)


def test_a_folder_in_use_is_left_alone(small: PublisherDesk, source: ModelSource) -> None:
    """A bundle goes to an empty folder; what was there stays, and only that."""
    (small.home / "stick").mkdir()
    (small.home / "stick" / "mine.txt").write_text("mine")
    with pytest.raises(ConflictError, match="not empty"):
        small.build("stick", sources=[source])
    assert everything(small.home / "stick") == {"mine.txt": b"mine"}


def test_a_failed_build_leaves_nothing(small: PublisherDesk, source: ModelSource) -> None:
    """A model that a hospital would refuse ends the build: the media and the desk are as before."""
    source.gguf.write_bytes(b"no model")
    (small.home / "stick").mkdir()
    before = everything(small.desk.folder)
    with pytest.raises(UnsafeModelError):
        small.build("stick", "new", sources=[source], media_bytes=2**30)
    assert list((small.home / "stick").iterdir()) == []
    assert not (small.home / "new").exists()
    assert everything(small.desk.folder) == {**before, ".desk.lock": b""}


def test_weights_are_split_over_media(small: PublisherDesk, source: ModelSource) -> None:
    """Every medium has all metadata; the parts lie where they fit, and the report says where."""
    size = source.gguf.stat().st_size
    built = small.build("a", "b", sources=[source], part_bytes=size // 2 + 1, media_bytes=TWO_MEDIA)
    assert [sorted(held) for _, held in built.media] == [["tiny-1.0"], ["tiny-1.0"]]
    small.sign("a", "b")
    on = [everything(small.home / name) for name in ("a", "b")]
    metadata = [{n: d for n, d in one.items() if n.startswith("metadata/")} for one in on]
    assert metadata[0] == metadata[1]
    parts = [sorted(n.rsplit(".", 1)[1] for n in one if ".gguf." in n) for one in on]
    assert parts == [["001"], ["002"]]
    assert len(metadata[0]) == 4


def test_folders_on_one_medium_need_a_size(small: PublisherDesk, source: ModelSource) -> None:
    """Free space would be counted twice."""
    with pytest.raises(BadInputError, match="one medium"):
        small.build("a", "b", sources=[source])


def test_withdrawing_takes_effect_with_an_advisory(
    small: PublisherDesk, source: ModelSource
) -> None:
    """A bundle without weights takes the model off the list and names it, signed."""
    small.publish("one", source)
    with small.desk.held():
        denied = withdrawing.withdraw(small.desk, "tiny", "1.0", "wrong doses")
    folder = small.publish("two")
    targets = small.desk.listing()
    assert targets is not None
    assert listing.read_denied(targets) == (denied,)
    assert listed(folder, small.first_root) == []
    assert small.desk.state.denied == ()


def test_a_withdrawn_version_does_not_come_back(small: PublisherDesk, source: ModelSource) -> None:
    """Neither under its name nor as the same weights under another."""
    small.publish("one", source)
    with small.desk.held():
        withdrawing.withdraw(small.desk, "tiny", "1.0", "wrong doses")
    with pytest.raises(ConflictError, match="withdrawn"):
        small.build("two", sources=[source], again=True)
    renamed = write_source(source.gguf.parent, version="1.1")
    with pytest.raises(ConflictError, match="withdrawn"):
        small.build("two", sources=[renamed])


def test_only_what_was_built_here_is_withdrawn_and_once(
    small: PublisherDesk, source: ModelSource
) -> None:
    """A misspelt name withdraws nothing."""
    small.publish("one", source)
    with pytest.raises(NotFoundError):
        withdrawing.withdraw(small.desk, "tyni", "1.0", "wrong doses")
    with pytest.raises(BadInputError):
        withdrawing.withdraw(small.desk, "tiny", "1.0", "two\nlines")
    withdrawing.withdraw(small.desk, "tiny", "1.0", "wrong doses")
    with pytest.raises(ConflictError, match="already"):
        withdrawing.withdraw(small.desk, "tiny", "1.0", "again")


def test_a_security_epoch_never_goes_down(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """A new version takes over the model's epoch; a lower one is refused."""
    small.build("one", sources=[source], epoch=3)
    small.sign("one")
    other = write_source(tmp_path / "b", version="2.0", seed=1)
    with pytest.raises(ConflictError, match="epoch 3"):
        small.build("two", sources=[other], epoch=2)
    small.publish("two", other)
    targets = small.desk.listing()
    assert targets is not None
    assert {model.security_epoch for model in listing.read_models(targets)} == {3}


def test_nothing_to_publish_is_said(small: PublisherDesk) -> None:
    """An empty first bundle makes no sense."""
    with pytest.raises(BadInputError, match="nothing to publish"):
        small.build("one")


def test_an_expired_root_stops_a_build(small: PublisherDesk, source: ModelSource) -> None:
    """No hospital would take what follows from it; renewing is the way on."""
    later = small.desk.root().expires + timedelta(days=1)
    with pytest.raises(ConflictError, match="the root expired") as caught:
        small.build("one", sources=[source], now=later)
    assert "rotate" in caught.value.hint


def test_without_a_root_nothing_is_built(norm: PublisherDesk, source: ModelSource) -> None:
    """People sign the root before anything else."""
    os.unlink(norm.desk.folder / "roots" / "1.root.json")
    with pytest.raises(ConflictError, match="first root"):
        norm.build("one", sources=[source])


def test_a_bundle_carries_every_root(small: PublisherDesk, source: ModelSource) -> None:
    """A hospital that knows only the first one follows by itself."""
    small.propose(Change())
    assert small.sign_root("alone")
    folder = small.publish("one", source)
    assert listed(folder, small.first_root) == ["tiny-1.0"]
    assert (folder / "metadata" / "2.root.json").exists()


def test_another_publishers_bundle_is_not_recorded(
    small: PublisherDesk, norm: PublisherDesk, source: ModelSource
) -> None:
    """The desk believes only its own signatures."""
    norm.publish("one", source, by=("alice", "bob"))
    with pytest.raises(VerificationError):
        small.record("../norm/one")
    assert small.desk.state.recorded == 0


def test_an_older_bundle_is_not_recorded(
    small: PublisherDesk, source: ModelSource, tmp_path: Path
) -> None:
    """The list never goes back."""
    small.publish("one", source)
    small.publish("two", write_source(tmp_path / "b", version="2.0", seed=1))
    with pytest.raises(ConflictError, match="recorded already"):
        small.record("one")


def test_a_damaged_desk_says_so(small: PublisherDesk) -> None:
    """In words, with what to do."""
    (small.desk.folder / "desk.json").write_text("{")
    with pytest.raises(BadInputError, match="damaged"):
        Desk(small.desk.folder)


def test_nothing_is_recorded_before_the_first_root(
    small: PublisherDesk, tmp_path: Path, source: ModelSource
) -> None:
    """A desk whose people have not signed yet says so."""
    small.publish("stick", source)
    waiting = PublisherDesk(tmp_path / "waiting", ("alice", "bob"), 2)
    for path in (waiting.desk.folder / "roots").iterdir():
        path.unlink()
    with pytest.raises(ConflictError, match="not signed by enough people"):
        waiting.record(str(small.home / "stick"))
