"""`appliance retention`: what it prints, what it writes, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.assembly import assemble
from appliance.audit.proof import TlogProof
from appliance.config import load
from appliance.conversations.store import ModelUsed
from tests.cli.conftest import Run

BASIS = ("--basis", "GDPR Art. 17(1)(a)")
REFERENCE = "MRN 4711"


def conversation(state: Path, reference: str | None = None) -> str:
    """Keep a question of the demo user's; return the conversation's id."""
    parts = assemble(load(state, file=state / "none", environment={}))
    try:
        user = parts.people.by_name("demo")
        assert user is not None
        store = parts.conversations
        subject = store.subjects.ensure(reference) if reference else None
        used = ModelUsed("demo", "1.0", "ab" * 32)
        return store.begin(user.id, "Xylotitle", "chat", "Xyloprompt", used, subject)[0]
    finally:
        parts.close()


def test_erasing_a_patient_writes_a_certificate(
    appliance: Run, state: Path, tmp_path: Path
) -> None:
    """The number comes from standard input; the signed file and the page lie beside each other."""
    conversation(state, REFERENCE)
    file = tmp_path / "erased.tlog-proof"
    words = ("retention", "erase", "--patient", "-", *BASIS, "--certificate", str(file), "--json")
    ended = appliance(*words, typed=f"{REFERENCE}\n")
    assert ended.code == 0, ended.err
    assert ended.value["conversations"] == 1
    assert TlogProof.parse(file.read_text()).seq == ended.value["entry"]
    page = file.with_suffix(".txt").read_text()
    assert BASIS[1] in page
    assert REFERENCE not in page
    assert appliance("audit", "verify").code == 0
    again = appliance("retention", "certificate", ended.value["id"])
    assert again.out.startswith("CERTIFICATE OF DELETION")


def test_an_existing_certificate_is_not_overwritten(
    appliance: Run, state: Path, tmp_path: Path
) -> None:
    """And nothing is erased then."""
    made = conversation(state)
    file = tmp_path / "there.tlog-proof"
    file.write_text("mine")
    words = ("retention", "erase", "--conversation", made, *BASIS, "--certificate", str(file))
    assert appliance(*words).code == 1
    assert file.read_text() == "mine"
    entries = appliance("audit", "list", "--action", "content.erase", "--json").value["entries"]
    assert entries == []


@pytest.mark.parametrize(
    "words", [(), ("--user", "demo", "--patient", "1")], ids=["nobody", "two at once"]
)
def test_exactly_one_scope_is_named(appliance: Run, words: tuple[str, ...]) -> None:
    """Anything else is wrong usage."""
    assert appliance("retention", "erase", *words, *BASIS).code == 2


def test_a_hold_is_listed_and_forbids_erasing(appliance: Run, state: Path) -> None:
    """The error names the hold and says how it ends."""
    conversation(state, REFERENCE)
    hold = appliance(
        "retention", "hold", "--patient", REFERENCE, "--reason", "case 7/26", "--json"
    ).value["id"]
    ended = appliance("retention", "erase", "--user", "demo", *BASIS)
    assert ended.code == 1
    assert hold in ended.err
    assert "appliance retention release" in ended.err
    assert hold in appliance("retention", "holds").out
    assert appliance("retention", "release", hold, "--reason", "closed").code == 0
    assert appliance("retention", "release", hold, "--reason", "closed").code == 1
    assert appliance("retention", "erase", "--user", "demo", *BASIS).code == 0


def test_a_plan_for_a_day_to_come(appliance: Run, state: Path) -> None:
    """What is kept today is due in two years."""
    conversation(state)
    assert "console" in appliance("retention", "plan").out
    due = appliance("retention", "plan", "--on", "2035-01-31", "--json").value
    assert {kind["origin"]: kind["due"] for kind in due["content"]}["chat"] == 1


def test_a_new_key_is_named_and_everything_opens(appliance: Run, state: Path) -> None:
    """The number of secrets, and which key took the place of which."""
    conversation(state, REFERENCE)
    value = appliance("retention", "rewrap", "--json").value
    assert value["rows"] == 3
    assert value["key"] != value["replaced"]
    again = appliance("retention", "rewrap", "--json").value
    assert again["replaced"] == value["key"]
    assert appliance("retention", "erase", "--patient", REFERENCE, *BASIS).code == 0
