"""The library: publishers, states, the active model, damage."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from appliance.bundles.places import library_file
from appliance.bundles.refusals import DamagedModelError, WrongFingerprintError
from appliance.bundles.states import State
from appliance.bundles.trust import fingerprint
from appliance.errors import BadInputError, ConflictError, DiskFullError, NotFoundError
from tests.simulators.bundle_forge import BundleForge
from tests.unit.bundles.conftest import Site, open_site


def active_note(site: Site) -> dict[str, Any] | None:
    path = site.library.folder / "active.json"
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(path.read_text())["model"]
    return found


@pytest.fixture
def stocked(site: Site, forge: BundleForge) -> Site:
    """A library with two versions of one model, both approved."""
    forge.add_model("tiny", "1.0")
    forge.add_model("tiny", "1.1", seed=1)
    site.bring_in(forge.good())
    for model in site.library.models():
        site.library.set_evaluated(model.id)
        site.library.set_approved(model.id, "usr_approver", {"clinician"})
    return site


def damage(site: Site, digest: str) -> None:
    path = site.library.path_of(digest)
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_publisher_is_trusted_by_its_fingerprint(bare_site: Site, forge: BundleForge) -> None:
    """A publisher whose fingerprint was confirmed is listed with it."""
    bare_site.trust(forge, "Northern Models")
    (publisher,) = bare_site.library.publishers()
    assert (publisher.name, publisher.root_sha256, publisher.targets_version) == (
        "Northern Models",
        fingerprint(forge.roots[0]),
        0,
    )


def test_wrong_fingerprint_adds_nobody(bare_site: Site, forge: BundleForge) -> None:
    """A root with another fingerprint than the one given is not trusted."""
    with pytest.raises(WrongFingerprintError):
        bare_site.library.add_publisher("publisher", forge.roots[0], "ab" * 32, "usr_it")
    assert bare_site.library.publishers() == []


def test_publisher_is_added_once(site: Site, forge: BundleForge) -> None:
    """The same root a second time is refused, and so is a second publisher of that name."""
    with pytest.raises(ConflictError):
        site.trust(forge, "another name")


@pytest.mark.parametrize("name", ["", " padded", "x" * 101, "two\nlines"])
def test_odd_publisher_name_is_refused(bare_site: Site, forge: BundleForge, name: str) -> None:
    """A publisher's name must be short and printable."""
    with pytest.raises(BadInputError):
        bare_site.trust(forge, name)


def test_import_raises_the_publishers_versions(site: Site, forge: BundleForge) -> None:
    """After an import the publisher's row tells which targets were seen last."""
    site.bring_in(forge.good(version=4))
    assert [item.targets_version for item in site.library.publishers()] == [4]


def test_approval_keeps_who_and_for_whom(stocked: Site) -> None:
    """An approved model tells who approved it and which roles may use it."""
    model = stocked.library.by_name("tiny", "1.0")
    assert (model.state, model.approved_by, model.roles) == (
        State.APPROVED,
        "usr_approver",
        frozenset({"clinician"}),
    )


def test_approval_names_a_role(site: Site, forge: BundleForge) -> None:
    """Approving for nobody is refused."""
    site.bring_in(forge.good())
    site.library.set_evaluated(site.library.by_name("tiny").id)
    with pytest.raises(BadInputError):
        site.library.set_approved(site.library.by_name("tiny").id, "usr_approver", set())


def test_model_is_not_active_before_approval(site: Site, forge: BundleForge) -> None:
    """An imported model cannot become active, and the engine is told nothing."""
    site.bring_in(forge.good())
    with pytest.raises(ConflictError, match="is imported; it cannot become active"):
        site.library.set_active(site.library.by_name("tiny").id)
    assert active_note(site) is None


def test_engine_is_told_of_the_active_model(stocked: Site) -> None:
    """Activating a model writes its name, version, digest and context for the engine."""
    model = stocked.library.set_active(stocked.library.by_name("tiny", "1.0").id)
    assert active_note(stocked) == {
        "name": "tiny",
        "version": "1.0",
        "digest": model.digest,
        "context_tokens": 512,
        "template_sha256": model.files["template"],
        "chunks_sha256": model.files["chunks"],
    }


def test_one_model_is_active(stocked: Site) -> None:
    """Activating another model makes the former one approved again."""
    library = stocked.library
    library.set_active(library.by_name("tiny", "1.0").id)
    library.set_active(library.by_name("tiny", "1.1").id)
    assert {model.version: model.state for model in library.models()} == {
        "1.0": State.APPROVED,
        "1.1": State.ACTIVE,
    }


def test_a_second_model_is_active_beside_the_first(stocked: Site) -> None:
    """The engine is told of both, the default first; each place is taken over by itself."""
    library = stocked.library
    first = library.set_active(library.by_name("tiny", "1.0").id)
    second = library.set_active(library.by_name("tiny", "1.1").id, beside=True)
    named = json.loads((library.folder / "active.json").read_bytes())
    assert (first.beside, second.beside) == (False, True)
    assert [named[key]["digest"] for key in ("model", "beside")] == [first.digest, second.digest]
    assert library.set_active(second.id).beside is False
    assert library.get(first.id).state is State.APPROVED


def test_the_second_model_answers_alone_when_the_first_may_not(stocked: Site) -> None:
    """A quarantine of the default leaves the other one, which then answers by default."""
    library = stocked.library
    first = library.set_active(library.by_name("tiny", "1.0").id)
    second = library.set_active(library.by_name("tiny", "1.1").id, beside=True)
    library.quarantine(first.id, "altered")
    note = active_note(stocked)
    assert note is not None
    assert note["digest"] == second.digest
    assert library.step_down(second.id).state is State.APPROVED
    assert active_note(stocked) is None


def test_activating_the_active_model_changes_nothing(stocked: Site) -> None:
    """Activating a model twice is no error."""
    library = stocked.library
    first = library.set_active(library.by_name("tiny", "1.0").id)
    assert library.set_active(first.id) == first


def test_activation_and_its_note_stand_or_fall_together(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the engine's note cannot be written, the model does not become active."""

    def full(*_: object, **__: object) -> None:
        raise DiskFullError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("appliance.durable.write", full)
        with pytest.raises(DiskFullError):
            stocked.library.set_active(stocked.library.by_name("tiny", "1.0").id)
    assert stocked.library.by_name("tiny", "1.0").state is State.APPROVED
    assert active_note(stocked) is None


def test_note_follows_the_rows_after_a_crash(stocked: Site) -> None:
    """Settling makes the engine's note say what the rows say, whatever it said before."""
    library = stocked.library
    library.set_active(library.by_name("tiny", "1.0").id)
    (library.folder / "active.json").write_text("{}")
    library.settle()
    note = active_note(stocked)
    assert note is not None
    assert note["version"] == "1.0"


def test_name_means_the_active_version(stocked: Site) -> None:
    """A name without a version means the active model, else the newest."""
    library = stocked.library
    assert library.by_name("tiny").version == "1.1"
    library.set_active(library.by_name("tiny", "1.0").id)
    assert library.by_name("tiny").version == "1.0"


@pytest.mark.parametrize(("name", "version"), [("nothing", None), ("tiny", "9.9")])
def test_unknown_model_is_not_found(stocked: Site, name: str, version: str | None) -> None:
    """A name or version that is not there is reported as such."""
    with pytest.raises(NotFoundError):
        stocked.library.by_name(name, version)


def test_whole_file_verifies(stocked: Site) -> None:
    """Verifying an undamaged model gives the model."""
    model = stocked.library.by_name("tiny", "1.0")
    assert stocked.library.verify(model.id) == model


def test_altered_file_is_noticed(stocked: Site) -> None:
    """One flipped bit in the library is found, and both digests are named."""
    model = stocked.library.by_name("tiny", "1.0")
    damage(stocked, model.digest)
    with pytest.raises(DamagedModelError, match=f"signed was {model.digest}"):
        stocked.library.verify(model.id)


@pytest.mark.parametrize("role", ["template", "oms", "chunks"])
def test_altered_file_beside_the_weights_is_noticed(stocked: Site, role: str) -> None:
    """A changed chat template, signature or list of chunks is as much damage as changed weights."""
    model = stocked.library.by_name("tiny", "1.0")
    named = model.digest if role == "chunks" else model.files[role]
    path = library_file(stocked.library.folder, named, role)
    path.chmod(0o600)
    path.write_bytes(b"{{ other }}")
    with pytest.raises(DamagedModelError, match=f"the {role} file of model tiny"):
        stocked.library.verify(model.id)


def test_missing_file_is_noticed(stocked: Site) -> None:
    """A model whose file is gone neither verifies nor becomes active."""
    model = stocked.library.by_name("tiny", "1.0")
    stocked.library.path_of(model.digest).unlink()
    with pytest.raises(DamagedModelError, match="missing"):
        stocked.library.verify(model.id)
    with pytest.raises(DamagedModelError, match="missing"):
        stocked.library.set_active(model.id)


def test_quarantine_takes_the_active_model_away(stocked: Site) -> None:
    """Quarantining the active model leaves none active, and the engine's note is gone."""
    library = stocked.library
    model = library.set_active(library.by_name("tiny", "1.0").id)
    assert library.quarantine(model.id, "its bytes changed").reason == "its bytes changed"
    assert active_note(stocked) is None


def test_quarantined_model_stays_out(stocked: Site) -> None:
    """A quarantined model can be neither approved nor activated; quarantining twice is no error."""
    library = stocked.library
    model = library.quarantine(library.by_name("tiny", "1.0").id, "damaged")
    for change in (
        lambda: library.set_active(model.id),
        lambda: library.set_approved(model.id, "usr_approver", {"clinician"}),
    ):
        with pytest.raises(ConflictError):
            change()
    assert library.quarantine(model.id, "again") == model


def test_damaged_model_can_be_brought_in_anew(stocked: Site, forge: BundleForge) -> None:
    """Importing the bundle again repairs a damaged model, which then needs approval anew."""
    library = stocked.library
    model = library.by_name("tiny", "1.0")
    damage(stocked, model.digest)
    library.quarantine(model.id, "its bytes changed")
    stocked.bring_in(forge.desk / "bundle")
    again = library.verify(model.id)
    assert (again.state, again.approved_by, again.roles) == (State.IMPORTED, None, frozenset())


def test_without_cores_to_spare_no_list_of_chunks_is_kept(
    tmp_path: Path, forge: BundleForge
) -> None:
    """A second digest helps only where many cores re-hash: else the whole is hashed at load."""
    site, database = open_site(tmp_path / "few", list_chunks=False)
    site.trust(forge)
    site.bring_in(forge.good())
    model = site.library.by_name("tiny")
    assert "chunks" not in model.files
    assert not list(site.library.folder.glob("*.chunks"))
    assert site.library.verify(model.id) == model
    database.close()


def test_nobody_changes_what_is_active_while_it_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a quarantine between reading and writing would be undone for the next engine's start."""
    site, database = open_site(tmp_path / "state")
    tried: list[str] = []

    def note(library: Path, model: object) -> None:
        other = sqlite3.connect(database.path, timeout=0)
        with contextlib.closing(other), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        tried.append(library.name)

    monkeypatch.setattr("appliance.bundles.active.note", note)
    site.library.settle()
    assert tried == ["models"]
    database.close()


def test_two_may_quarantine_a_model_in_one_moment(
    stocked: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes second finds it done, however old what it had read is."""
    library = stocked.library
    seen = library.by_name("tiny")
    library.quarantine(seen.id, "first")
    monkeypatch.setattr("appliance.bundles.store.ModelStore.model", lambda *_: seen)
    assert library.quarantine(seen.id, "second").reason == "first"
