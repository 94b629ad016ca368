"""The scorer of the demo model's summaries."""

from __future__ import annotations

from demo_model.scoring import extra_numbers, read_fields, score

EXPECTED = (
    "**Summary**\n\n- Patient: 67-year-old man\n- Complaint: chest pain for 3 days\n"
    "- Pain score: 6/10\n- Heart rate: 96 per minute\n- Not stated: allergies"
)


def test_an_equal_answer_is_exact_and_wholly_right() -> None:
    """The expected answer itself scores every field."""
    result = score(EXPECTED, EXPECTED)
    assert result.exact
    assert len(result.right) == 7
    assert (result.wrong, result.missing) == ((), ())
    assert (result.extra_fields, result.extra_numbers) == ((), ())


def test_person_and_complaint_are_scored_in_parts() -> None:
    """Age, person, complaint and duration are four fields."""
    found = read_fields(EXPECTED)
    assert (found["Age"], found["Person"]) == ("67-year-old", "man")
    assert (found["Complaint"], found["Duration"]) == ("chest pain", "for 3 days")


def test_a_wrong_number_is_wrong_and_extra() -> None:
    """A changed number fails its field and counts as a number that should not be there."""
    result = score(EXPECTED.replace("96", "69"), EXPECTED)
    assert result.wrong == ("Heart rate",)
    assert result.extra_numbers == ("69",)
    assert not result.exact


def test_a_dropped_line_is_missing() -> None:
    """A field that the answer leaves out is missing, not forgiven."""
    result = score(EXPECTED.replace("- Pain score: 6/10\n", ""), EXPECTED)
    assert result.missing == ("Pain score",)


def test_an_invented_line_is_extra() -> None:
    """A field that the note does not state is counted, with its number."""
    result = score(EXPECTED + "\n- Weight: 80 kg", EXPECTED)
    assert result.extra_fields == ("Weight",)
    assert result.extra_numbers == ("80",)


def test_a_wrong_sex_is_wrong() -> None:
    """The person is a field of its own."""
    assert score(EXPECTED.replace("old man", "old woman"), EXPECTED).wrong == ("Person",)


def test_a_repeated_number_is_extra() -> None:
    """Numbers are counted with repetition."""
    assert extra_numbers("96 and 96", "96") == ("96",)
