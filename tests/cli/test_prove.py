"""Proofs at the command line: one entry, without any other, for whoever has the public keys."""

from __future__ import annotations

import json
from pathlib import Path

from appliance.assembly import assemble
from appliance.audit.actions import Outcome
from appliance.audit.checkpoint import VerifierKey
from appliance.audit.proof import TlogProof
from appliance.config import load
from appliance.operations.recording import event_of, system
from tests.cli.conftest import Run

ANSWER = f"msg_{1:024x}"


def newest_key(state: Path) -> VerifierKey:
    appliance = assemble(load(state))
    try:
        return VerifierKey.parse(appliance.ledger.keys()[-1].key)
    finally:
        appliance.close()


def note(state: Path, action: str, outcome: Outcome) -> int:
    """Write one entry about ANSWER as the gateway would; return its number."""
    appliance = assemble(load(state))
    try:
        event = event_of(system("gateway"), action, outcome, entity=ANSWER)
        return appliance.ledger.append(event).seq
    finally:
        appliance.close()


def test_an_entry_is_proved_under_the_records_key(appliance: Run, state: Path) -> None:
    """What is printed is the proof itself, and holds exactly that entry."""
    proof = TlogProof.parse(appliance("audit", "prove", "3").out)
    proof.verify(newest_key(state))
    assert json.loads(proof.entry)["seq"] == 3


def test_an_answer_is_proved_by_its_outcome(appliance: Run, state: Path) -> None:
    """The entry that ended the answer is proved, not the one that asked."""
    note(state, "answer.request", Outcome.INTENT)
    seq = note(state, "answer.complete", Outcome.SUCCESS)
    value = appliance("audit", "prove", "--answer", ANSWER, "--json").value
    assert value["entry"] == seq
    assert TlogProof.parse(value["proof"]).seq == seq


def test_an_answer_that_has_not_ended_is_no_proof_yet(appliance: Run, state: Path) -> None:
    """The command says that the outcome is not in the record, and leaves no file."""
    note(state, "answer.request", Outcome.INTENT)
    out = state.parent / "proof"
    ended = appliance("audit", "prove", "--answer", ANSWER, "--out", str(out))
    assert ended.code == 1
    assert "has no receipt yet" in ended.err
    assert not out.exists()


def test_a_proof_is_written_to_a_new_file(appliance: Run, tmp_path: Path) -> None:
    """The file is named with what it proves; a file that exists is left alone."""
    out = tmp_path / "entry-2.tlog-proof"
    assert appliance("audit", "prove", "2", "--out", str(out)).out.startswith(f"wrote {out}: ")
    assert TlogProof.parse(out.read_text()).seq == 2
    assert appliance("audit", "prove", "2", "--out", str(out)).code == 1


def test_proving_is_recorded_with_its_reason(appliance: Run) -> None:
    """Who took which entry along, why, and under which case."""
    appliance("audit", "prove", "2", "--reason", "complaint", "--case", "K-17")
    entry = appliance("audit", "list", "--action", "record.prove", "--json").value["entries"][-1]
    assert (entry["purpose"], entry["content"]["case"]) == ("complaint", "K-17")
    assert entry["content"]["entry"] == 2


def test_an_entry_that_is_not_there_is_refused(appliance: Run) -> None:
    """A number beyond the record is exit 1 and no proof."""
    ended = appliance("audit", "prove", "100000")
    assert (ended.code, ended.out) == (1, "")


def test_one_thing_is_proved_at_a_time(appliance: Run) -> None:
    """Neither nothing nor both."""
    assert appliance("audit", "prove").code == 2
    assert appliance("audit", "prove", "1", "--answer", ANSWER).code == 2


def test_a_listing_can_say_why(appliance: Run) -> None:
    """The console may state a purpose and a case; a wrong one is refused."""
    appliance("audit", "list", "--reason", "incident", "--case", "9/2026")
    entry = appliance("audit", "list", "--action", "record.read", "--json").value["entries"][-1]
    assert (entry["purpose"], entry["content"]["case"]) == ("incident", "9/2026")
    assert appliance("audit", "list", "--case", "Mrs Smith").code == 2
    assert appliance("audit", "list", "--reason", "curiosity").code == 2


def test_a_patient_is_found_by_pseudonym(appliance: Run) -> None:
    """`--subject` takes the pseudonym that the record has for a patient."""
    ended = appliance("audit", "list", "--subject", f"pat_{1:024x}", "--json")
    assert ended.value["entries"] == []
