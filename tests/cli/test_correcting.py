"""Corrections at the command line: a later entry, and one command that shows both."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


def test_an_entry_is_corrected_and_keeps_its_leaf(appliance: Run) -> None:
    """The command names both entries; the corrected one has the same hash before and after."""
    before = appliance("audit", "list", "--before", "4", "--limit", "1", "--json").value
    ended = appliance("audit", "correct", "3", "--reason", "wrong-account", "--case", "K-17/2026")
    assert ended.code == 0
    assert ended.out.endswith(" corrects entry 3, which stays as it is\n")
    assert "next: appliance audit history 3" in ended.err
    after = appliance("audit", "list", "--before", "4", "--limit", "1", "--json").value
    assert after["entries"] == before["entries"]


def test_history_answers_with_one_command(appliance: Run) -> None:
    """Original first, then the correction with reason, person, time and hash, then the proof."""
    done = appliance(
        "audit", "correct", "3", "--reason", "wrong-purpose", "--purpose", "treatment",
        "--case", "9", "--json",
    ).value  # fmt: skip
    assert done["corrects"] == 3
    lines = appliance("audit", "history", "3").out.splitlines()
    starts = [line.split("   ")[0] for line in lines if line.startswith("entry ")]
    assert starts == ["entry 3", f"entry {done['entry']}"]
    assert lines[1] == f"  leaf {done['leaf']}"
    assert "(console)" in lines[2]
    assert lines[3] == "  corrects entry 3: wrong-purpose, the right purpose is treatment, case 9"
    assert lines[4].startswith("  leaf ")
    assert lines[5].startswith(
        "the original, entry 3, is unchanged: its leaf hash is in the checkpoint of "
    )


def test_history_in_json_has_entries_and_proof(appliance: Run) -> None:
    """Every entry whole, and under which checkpoint and key the original was proved."""
    by = appliance("audit", "correct", "3", "--reason", "other", "--json").value["entry"]
    value = appliance("audit", "history", "3", "--json").value
    assert [(item["entry"]["seq"], item["corrects"]) for item in value["entries"]] == [
        (3, None), (by, 3),
    ]  # fmt: skip
    (proved,) = value["unchanged"]
    assert (proved["entry"], proved["leaf"]) == (3, value["entries"][0]["entry"]["leaf"])
    assert proved["size"] > by
    assert value["whole"] is True


def test_history_of_a_person_by_name(appliance: Run) -> None:
    """A user's name stands for the account; everything about it is shown."""
    out = appliance("audit", "history", "demo").out
    assert "user.add success   about demo" in out
    assert "is unchanged" in out


def test_history_is_recorded_as_reading_and_proving(appliance: Run) -> None:
    """Which entry, and for what purpose."""
    assert appliance("audit", "history", "3", "--reason", "incident").code == 0
    read, proved = appliance("audit", "list", "--limit", "2", "--json").value["entries"]
    assert (read["action"], read["purpose"]) == ("record.read", "incident")
    assert read["content"]["filters"] == {"entry": 3}
    assert (proved["action"], proved["content"]["entry"]) == ("record.prove", 3)


def test_list_says_which_entries_are_corrected(appliance: Run) -> None:
    """Beside the table, and in the JSON by number."""
    by = appliance("audit", "correct", "3", "--reason", "other", "--json").value["entry"]
    ended = appliance("audit", "list", "--before", "5")
    assert f"entry 3 is corrected by entry {by}: appliance audit history 3" in ended.err
    value = appliance("audit", "list", "--before", "5", "--json").value
    assert value["corrected"] == {"3": by}


@pytest.mark.parametrize(
    ("words", "code", "what"),
    [
        (["correct", "9999", "--reason", "other"], 1, "is not in the record"),
        (["correct", "3"], 2, "--reason"),
        (["correct", "3", "--reason", "typo"], 2, "typo"),
        (["correct", "3", "--reason", "other", "--case", "Smith"], 2, "a case number has"),
        (["correct", "3", "--reason", "other", "--purpose", "Smith"], 2, "no such purpose"),
        (["history", "9999"], 1, "is not in the record"),
        (["history", "99999999999999999999"], 1, "nothing is recorded about this"),
        (["history", "msg_unknown"], 1, "nothing is recorded about this"),
        (["history", "3", "--reason", "curiosity"], 2, "no such purpose of reading"),
    ],
)
def test_what_cannot_be_is_refused(appliance: Run, words: list[str], code: int, what: str) -> None:
    """The message says what is wrong, and nothing is corrected."""
    ended = appliance("audit", *words)
    assert ended.code == code
    assert what in ended.err
    query = ("--action", "record.correct", "--outcome", "success")
    assert appliance("audit", "list", *query, "--json").value["entries"] == []
