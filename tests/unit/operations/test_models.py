"""What a second person decides about a model, and what the record keeps of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.bundles.refusals import DamagedModelError
from appliance.bundles.states import State
from appliance.errors import ApplianceError, BadInputError, ConflictError, ForbiddenError
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from tests.simulators.evaluated import mark_evaluated
from tests.simulators.library_site import APPROVER, CONSOLE, STEWARD, LibrarySite, person


@pytest.fixture
def site() -> Iterator[LibrarySite]:
    """A library of this test's own."""
    made = LibrarySite()
    yield made
    made.close()


def ends(site: LibrarySite, action: str) -> list[str]:
    """Return how the events of an action ended, oldest first."""
    return [entry["outcome"] for entry in site.record(action)]


# --- approving


def test_an_approval_names_what_exactly_was_agreed_to(site: LibrarySite) -> None:
    """The record holds digest, epoch, template, evaluation and roles of every approval."""
    model = site.bring(epoch=3)
    evaluation = mark_evaluated(site.appliance, model, passed=4)
    site.verbs.models.approve(APPROVER, "tiny", roles=frozenset({"clinician"}))
    done = site.record("model.approve")[-1]
    assert (done["outcome"], done["entity"]) == ("success", model.id)
    assert done["content"] == {
        "digest": model.digest, "epoch": 3, "template": model.files["template"],
        "evaluation": evaluation.id, "passed": 4, "accepted_failed": 0, "roles": ["clinician"],
    }  # fmt: skip


def test_a_model_that_was_not_tried_cannot_be_approved(site: LibrarySite) -> None:
    """Imported is not enough: the refusal says what to run first."""
    site.bring()
    with pytest.raises(ConflictError, match="has not been evaluated") as refused:
        site.verbs.models.approve(APPROVER, "tiny")
    assert "model evaluate tiny --version 1.0" in refused.value.hint
    assert ends(site, "model.approve") == ["intent", "refused"]


def test_evaluated_without_results_is_not_enough(site: LibrarySite) -> None:
    """A state without a finished evaluation behind it approves nothing."""
    model = site.bring()
    site.library.set_evaluated(model.id)
    with pytest.raises(ConflictError, match="no finished evaluation"):
        site.verbs.models.approve(APPROVER, "tiny")


def test_an_evaluation_with_other_prompts_does_not_count(site: LibrarySite) -> None:
    """Only the model's own golden prompts vouch for it."""
    model = site.bring()
    mark_evaluated(site.appliance, model, prompts="0" * 64)
    with pytest.raises(ConflictError, match="no finished evaluation"):
        site.verbs.models.approve(APPROVER, "tiny")


@pytest.mark.parametrize("accepted", [0, 1, 3])
def test_failed_prompts_are_accepted_by_their_number_only(site: LibrarySite, accepted: int) -> None:
    """Two failed: nothing but an accepted two approves."""
    model = site.bring()
    mark_evaluated(site.appliance, model, passed=5, failed=2)
    with pytest.raises(ConflictError, match="2 of 7 prompts did not pass"):
        site.verbs.models.approve(APPROVER, "tiny", accept_failed=accepted)
    site.verbs.models.approve(APPROVER, "tiny", accept_failed=2)
    assert site.record("model.approve")[-1]["content"]["accepted_failed"] == 2


def test_a_page_that_showed_an_older_evaluation_approves_nothing(site: LibrarySite) -> None:
    """What is agreed to is what was read."""
    model = site.bring()
    old = mark_evaluated(site.appliance, model)
    mark_evaluated(site.appliance, model)
    with pytest.raises(ConflictError, match="newer evaluation"):
        site.verbs.models.approve(APPROVER, "tiny", evaluation=old.id)


@pytest.mark.parametrize(
    "who", [CONSOLE, person(Role.APPROVER, "root")], ids=["same account", "same login name"]
)
def test_the_importer_never_approves(site: LibrarySite, who: Actor) -> None:
    """Neither at the machine nor through an account of the same name in the browser."""
    mark_evaluated(site.appliance, site.bring(by=CONSOLE))
    with pytest.raises(ForbiddenError, match="whoever imported"):
        site.verbs.models.approve(who, "tiny")
    assert site.verbs.models.brought_in_by(who, site.library.by_name("tiny"))


def test_a_steward_cannot_approve_pin_or_retire(site: LibrarySite) -> None:
    """Who may bring models in may not decide about them."""
    verbs = site.verbs.models
    for attempt in (
        lambda: verbs.approve(STEWARD, "tiny"),
        lambda: verbs.pin(STEWARD, "tiny", None, "a reason"),
        lambda: verbs.unpin(STEWARD, "tiny"),
        lambda: verbs.retire(STEWARD, "tiny", "1.0", "a reason"),
    ):
        with pytest.raises(ForbiddenError):
            attempt()


def test_unknown_roles_are_refused(site: LibrarySite) -> None:
    """A model is approved for roles that may ask, and for at least one."""
    mark_evaluated(site.appliance, site.bring())
    for roles in (frozenset[str](), frozenset({"auditor"})):
        with pytest.raises(BadInputError):
            site.verbs.models.approve(APPROVER, "tiny", roles=roles)


def test_approving_twice_says_so(site: LibrarySite) -> None:
    """A second press changes nothing and is no riddle."""
    site.agree(site.bring())
    with pytest.raises(ConflictError, match="was approved before"):
        site.verbs.models.approve(APPROVER, "tiny", "1.0")


# --- pins


def test_a_pin_keeps_other_versions_from_answering(site: LibrarySite) -> None:
    """Version 2.0 is approved, and cannot be activated until the name is let go."""
    site.agree(site.bring(), activate=True)
    site.agree(site.bring(version="2.0", seed=1))
    site.verbs.models.pin(APPROVER, "tiny", "1.0", "study 12/26")
    with pytest.raises(ConflictError, match=r"is pinned to 1\.0"):
        site.verbs.activation.activate(APPROVER, "tiny", "2.0")
    assert site.verbs.models.unpin(APPROVER, "tiny").version == "1.0"
    assert site.verbs.activation.activate(APPROVER, "tiny", "2.0").state is State.ACTIVE
    assert site.record("model.pin")[-1]["content"]["reason"] == "study 12/26"
    assert ends(site, "model.unpin") == ["intent", "success"]


def test_a_name_has_one_pin(site: LibrarySite) -> None:
    """A second pin is refused and says which one stands."""
    site.agree(site.bring())
    site.agree(site.bring(version="2.0", seed=1))
    site.verbs.models.pin(APPROVER, "tiny", "1.0", "first")
    with pytest.raises(ConflictError, match=r"pinned to 1\.0 already"):
        site.verbs.models.pin(APPROVER, "tiny", "2.0", "second")
    assert site.verbs.models.pins(APPROVER)["tiny"].version == "1.0"


def test_only_an_approved_version_is_pinned(site: LibrarySite) -> None:
    """What nobody agreed to cannot be held in place."""
    site.bring()
    with pytest.raises(ConflictError, match="nothing can be pinned"):
        site.verbs.models.pin(APPROVER, "tiny", "1.0", "a reason")


# --- retiring


def test_a_retired_model_never_comes_back(site: LibrarySite) -> None:
    """Its weights stay unless asked, its state does not change any more, importing is no way."""
    model = site.agree(site.bring())
    site.verbs.models.retire(APPROVER, "tiny", "1.0", "replaced by 2.0")
    assert site.verbs.models.has_weights(model)
    for attempt in (
        lambda: site.verbs.activation.activate(APPROVER, "tiny", "1.0"),
        lambda: site.verbs.models.approve(APPROVER, "tiny", "1.0"),
        lambda: site.verbs.models.retire(APPROVER, "tiny", "1.0", "again"),
    ):
        with pytest.raises(ConflictError):
            attempt()
    site.take(site.bundle())
    assert site.library.get(model.id).state is State.RETIRED


def test_retiring_can_free_the_disk_at_once_or_later(site: LibrarySite) -> None:
    """The weights go, what they were stays, and the record says how many bytes were freed."""
    first, second = site.bring(), site.bring(version="2.0", seed=1)
    site.verbs.models.retire(APPROVER, "tiny", "1.0", "unused", delete_weights=True)
    assert not site.library.path_of(first.digest).exists()
    assert site.record("model.retire")[-1]["content"]["bytes_freed"] >= first.bytes
    site.verbs.models.retire(APPROVER, "tiny", "2.0", "unused")
    site.verbs.models.retire(APPROVER, "tiny", "2.0", "disk space", delete_weights=True)
    assert not site.library.path_of(second.digest).exists()
    with pytest.raises(ConflictError, match="were deleted"):
        site.verbs.models.verify(CONSOLE, "tiny", "1.0")
    assert site.library.get(first.id).state is State.RETIRED


def test_what_answers_or_is_pinned_is_not_retired(site: LibrarySite) -> None:
    """The active model and a pinned one stay, and the refusal says what comes first."""
    active = site.agree(site.bring(), activate=True)
    pinned = site.agree(site.bring("other", seed=1))
    site.verbs.models.pin(APPROVER, "other", "1.0", "a study")
    with pytest.raises(ConflictError, match="answers at present"):
        site.verbs.models.retire(APPROVER, "tiny", "1.0", "a reason")
    with pytest.raises(ConflictError, match=r"is pinned to 1\.0"):
        site.verbs.models.retire(APPROVER, "other", "1.0", "a reason", delete_weights=True)
    assert {site.library.get(m.id).state for m in (active, pinned)} == {
        State.ACTIVE, State.APPROVED,
    }  # fmt: skip
    assert site.verbs.models.has_weights(pinned)


@pytest.mark.parametrize("reason", ["", "ab", "x" * 161, "<b>Mrs Smith</b>", "a\nb\x1b[0m"])
def test_a_reason_must_fit_the_record(site: LibrarySite, reason: str) -> None:
    """Nothing but a few plain words goes into a record that is kept for ever."""
    site.bring()
    with pytest.raises(BadInputError):
        site.verbs.models.retire(APPROVER, "tiny", "1.0", reason)


# --- checking and laying out


def test_altered_weights_are_quarantined_wherever_they_are_found(
    site: LibrarySite, tmp_path: Path
) -> None:
    """Verifying and exporting both end with exit into quarantine, and leave no folder behind."""
    for version, find in (
        ("1.0", lambda: site.verbs.models.verify(CONSOLE, "tiny", "1.0")),
        ("2.0", lambda: site.verbs.models.export(CONSOLE, "tiny", "2.0", tmp_path / "out")),
    ):
        model = site.bring(version=version, seed=int(version[0]))
        path = site.library.path_of(model.digest)
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
        with pytest.raises(DamagedModelError):
            find()
        assert site.library.get(model.id).state is State.QUARANTINED
    assert list(tmp_path.iterdir()) == []
    assert ends(site, "model.quarantine") == ["intent", "success"] * 2


def test_an_exported_model_verifies_with_the_published_tool(
    site: LibrarySite, tmp_path: Path
) -> None:
    """`model_signing verify key` accepts what was laid out, and refuses it once altered."""
    site.bring()
    folder = tmp_path / "out"
    site.verbs.models.export(CONSOLE, "tiny", None, folder)
    weights = folder / "model" / "tiny.gguf"
    command = [
        sys.executable, "-m", "model_signing", "verify", "key", str(folder / "model"),
        "--signature", str(folder / "model.oms.sig"),
        "--public_key", str(folder / "publisher.pem"),
    ]  # fmt: skip
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 0
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert subprocess.run(command, capture_output=True, timeout=120).returncode != 0
    assert site.library.verify(site.library.by_name("tiny").id).name == "tiny"
    assert ends(site, "model.export") == ["intent", "success"]


def test_an_export_replaces_nothing(site: LibrarySite, tmp_path: Path) -> None:
    """A folder with something in it is left as it is; an empty one is used."""
    site.bring()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    with pytest.raises(ConflictError, match="holds something"):
        site.verbs.models.export(CONSOLE, "tiny", None, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    (tmp_path / "empty").mkdir()
    site.verbs.models.export(CONSOLE, "tiny", None, tmp_path / "empty")
    assert (tmp_path / "empty" / "model" / "tiny.gguf").exists()


def test_a_failed_export_leaves_nothing(site: LibrarySite, tmp_path: Path) -> None:
    """A file that is missing in the library is found before anything is copied."""
    model = site.bring()
    (site.library.folder / f"{model.files['oms']}.oms").unlink()
    with pytest.raises(ApplianceError):
        site.verbs.models.export(CONSOLE, "tiny", None, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# --- what an approver reads


def test_a_dossier_compares_with_the_model_that_answers(site: LibrarySite) -> None:
    """Epoch, template and evaluation are set against the active model's."""
    old = site.agree(site.bring(epoch=1), activate=True)
    template = site.verbs.dossiers.template_text(old)
    assert template is not None
    new = site.bring(version="2.0", seed=1, epoch=4, template=template + "\n{# more #}")
    mark_evaluated(site.appliance, new, passed=2, failed=1)
    mark_evaluated(site.appliance, old, passed=3, prompts=new.files["eval"])
    dossier = site.verbs.dossiers.of(APPROVER, "tiny", "2.0")
    assert dossier.active is not None
    assert (dossier.active.id, dossier.epoch_change, dossier.threshold) == (old.id, 3, 1)
    assert dossier.template.against is not None
    assert dossier.template.difference is not None
    assert dossier.template.difference.added >= 1
    assert dossier.trial.counts is not None
    assert dossier.trial.counts.failed == 1
    assert [item.passed for item, _ in dossier.trial.compared] == [False, True, True]


def test_a_clinician_sees_how_many_failed_and_no_answers(site: LibrarySite) -> None:
    """Single results are for those who may read validation records."""
    mark_evaluated(site.appliance, site.bring(), passed=2, failed=1)
    trial = site.verbs.dossiers.of(person(Role.CLINICIAN), "tiny").trial
    assert trial.counts is not None
    assert (trial.counts.failed, trial.compared) == (1, [])


def test_an_altered_template_is_not_shown(site: LibrarySite) -> None:
    """A file that lost its digest is not passed off as what was signed."""
    model = site.bring()
    path = site.library.folder / f"{model.files['template']}.template"
    assert site.verbs.dossiers.template_text(model)
    path.chmod(0o600)
    path.write_text("{{ 'other' }}")
    assert site.verbs.dossiers.template_text(model) is None
    path.unlink()
    assert site.verbs.dossiers.template_text(model) is None
