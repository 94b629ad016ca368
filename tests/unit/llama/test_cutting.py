"""Long texts on their way to llama.cpp's tokenizer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.llama.cutting import LONGEST, marks_of, parts
from tests.simulators.tiny_gguf import write_tiny_bpe

from .conftest import load_weights

MARKS = marks_of(["<|end|>", "<|end|", "", "  "])
# In a process of its own: what is tested for would end this one.
COUNT = """
import sys
from pathlib import Path
from tests.unit.llama.conftest import load_weights
print(len(load_weights(Path(sys.argv[1]), sys.argv[2]).tokenize(eval(sys.argv[3]))))
"""


@given(st.lists(st.sampled_from(["a" * 700, " " * 900, "<|end|>", " b", "\n", "é" * 5_000])))
def test_parts_are_short_and_together_the_text(pieces: list[str]) -> None:
    """Nothing is lost or added, and no part is long."""
    text = "".join(pieces)
    found = list(parts(text, MARKS))
    assert "".join(found) == text
    assert all(len(part) <= LONGEST + 7 for part in found)


@given(st.integers(LONGEST - 8, LONGEST + 8), st.integers(0, 40))
def test_a_mark_is_never_cut(before: int, after: int) -> None:
    """A control token's text stays in one part, wherever it stands."""
    found = list(parts("a" * before + "<|end|>" + "b" * after, MARKS))
    assert sum(part.count("<|end|>") for part in found) == 1


def test_it_is_cut_between_words() -> None:
    """Before a single blank, where splitting at words cuts as well."""
    first, *_ = parts("word " * 2_000, MARKS)
    assert first.endswith("word")


def test_cutting_changes_no_token_of_ordinary_text(tmp_path: Path) -> None:
    """A long text of words has the tokens that its halves have."""
    digest = _model(tmp_path, "gpt-4o")
    weights = load_weights(tmp_path, digest)
    words = "Aspirin 100 mg, then rest.\n" * 150
    assert weights.tokenize(words * 4) == weights.tokenize(words) * 4


@pytest.mark.parametrize("text", ["'a' * 120_000", "' ' * 120_000", "'!' * 120_000"])
def test_no_text_ends_the_process(tmp_path: Path, text: str) -> None:
    """One character over and over, which such a vocabulary takes for one word."""
    command = [sys.executable, "-c", COUNT, str(tmp_path), _model(tmp_path, "gpt-4o"), text]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "120000")


def _model(library: Path, pre: str) -> str:
    draft = library / "draft"
    digest = write_tiny_bpe(draft, pre)
    draft.rename(library / f"{digest}.gguf")
    return digest
