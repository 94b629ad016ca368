"""Logarithms of probabilities: exact, finite, in OpenAI's shapes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.llama import logprobs

PIECES = [b"a", b"b", b"\xc3", b"d"]


def piece(token: int) -> bytes:
    return PIECES[token] if token < len(PIECES) else b"x"


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=50))
def test_probabilities_sum_to_one(scores: list[float]) -> None:
    """Scores of any size overflow nothing."""
    logits = np.array(scores, np.float32)
    total = logprobs.log_sum(logits)
    assert np.exp(logits.astype(np.float64) - total).sum() == pytest.approx(1.0, rel=1e-4)


def test_the_likeliest_come_first() -> None:
    """Alternatives are in order, with the lower number first among equals."""
    logits = np.array([1.0, 3.0, 3.0, 2.0], np.float32)
    assert logprobs.best(logits, 3) == [1, 2, 3]
    assert logprobs.best(logits, 0) == []
    assert len(logprobs.best(logits, 20)) == 4


def test_the_impossible_is_a_number() -> None:
    """Minus infinity has no form in JSON, so a very low number stands for it."""
    logits = np.array([0.0, -np.inf], np.float32)
    found = logprobs.of_token(logits, 1, 2, piece)
    assert (found.logprob, found.top[1].logprob) == (logprobs.IMPOSSIBLE, logprobs.IMPOSSIBLE)


def test_a_conversation_has_openais_shape() -> None:
    """Token, logarithm, bytes and alternatives; half a character keeps its bytes."""
    found = logprobs.of_token(np.array([0.0, 0.0, 9.0, 0.0], np.float32), 2, 1, piece)
    (entry,) = json.loads(json.dumps(logprobs.chat_shape([found])))["content"]
    assert (entry["token"], entry["bytes"]) == ("\ufffd", [0xC3])
    assert entry["top_logprobs"] == [
        {"token": "\ufffd", "logprob": entry["logprob"], "bytes": [0xC3]}
    ]


def test_a_continued_text_has_the_older_shape() -> None:
    """Lists beside each other, with the place of each token in the text."""
    logits = np.array([1.0, 0.0, 0.0, 0.0], np.float32)
    found = [logprobs.of_token(logits, token, 1, piece) for token in (0, 3)]
    shape = logprobs.completion_shape(found, 5)
    assert (shape["tokens"], shape["text_offset"]) == (["a", "d"], [5, 6])
    assert shape["top_logprobs"] == [{"a": found[0].logprob}, {"a": found[0].logprob}]
