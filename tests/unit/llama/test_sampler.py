"""The choice of each token: llama.cpp's samplers, as a request wants them."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Iterator
from dataclasses import replace

import llama_cpp.llama_cpp as api
import numpy as np
import pytest

from appliance.errors import BadInputError, EngineUnavailableError
from appliance.llama import sampler
from appliance.llama.sampler import Sampler
from tests.simulators.engine_process import put_model

from .conftest import load_weights
from .writing import GREEDY, WILD, Writer

SHORT = replace(GREEDY, max_tokens=20)
LETTERS = "root ::= [a-z]{40}\n"


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Writer]:
    folder = tmp_path_factory.mktemp("library")
    own = Writer(load_weights(folder, put_model(folder, context=2048)))
    yield own
    own.close()


def logits(writer: Writer) -> np.ndarray:
    row = ctypes.cast(api.llama_get_logits_ith(writer.pointer, -1), ctypes.c_void_p)
    size = len(writer.weights.texts)
    return np.array((ctypes.c_float * size).from_address(row.value or 0))


def test_greedy_takes_the_likeliest(writer: Writer) -> None:
    """At temperature 0 the highest score is chosen."""
    writer.begin("hello")
    own = Sampler(writer.weights, GREEDY)
    assert own.choose(writer.pointer, -1).token == int(logits(writer).argmax())
    own.close()


def test_a_seed_gives_the_same_answer_again(writer: Writer) -> None:
    """The same seed chooses the same tokens, another one others."""
    seeded = replace(WILD, max_tokens=40, seed=7)
    first = writer.tokens(seeded)
    assert writer.tokens(seeded) == first
    assert writer.tokens(replace(seeded, seed=8)) != first


def test_without_a_seed_answers_differ(writer: Writer) -> None:
    """A fresh seed is drawn for each answer."""
    unseeded = replace(WILD, max_tokens=40, seed=None)
    assert writer.tokens(unseeded) != writer.tokens(unseeded)


@pytest.mark.parametrize("change", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}])
def test_a_filter_that_leaves_one_token_is_greedy(writer: Writer, change: dict[str, float]) -> None:
    """Each of the filters, at its narrowest, leaves the likeliest token alone."""
    narrow = replace(WILD, max_tokens=20, **change)  # type: ignore[arg-type]
    assert writer.tokens(narrow) == writer.tokens(SHORT)


def test_a_bias_forbids_and_forces(writer: Writer) -> None:
    """-100 keeps a token out, 100 makes it win."""
    usual = writer.tokens(SHORT)[0]
    assert usual not in writer.tokens(replace(SHORT, logit_bias=((usual, -100.0),)))
    other = next(token for token in range(300, 310) if token != usual)
    assert set(writer.tokens(replace(SHORT, logit_bias=((other, 100.0),)))) == {other}


def test_a_bias_for_a_token_that_does_not_exist_is_refused(writer: Writer) -> None:
    """A number beyond the vocabulary is an error and not ignored."""
    with pytest.raises(BadInputError, match="token 999999"):
        Sampler(writer.weights, replace(GREEDY, logit_bias=((999_999, 1.0),)))


@pytest.mark.parametrize(
    "change", [{"repeat_penalty": 2.0}, {"frequency_penalty": 2.0}, {"presence_penalty": 2.0}]
)
def test_penalties_make_an_answer_repeat_less(writer: Writer, change: dict[str, float]) -> None:
    """What was said already becomes less likely."""
    loop = replace(GREEDY, max_tokens=60, logit_bias=((300, 3.0), (301, 2.9)))
    plain, varied = writer.tokens(loop), writer.tokens(replace(loop, **change))  # type: ignore[arg-type]
    assert len(set(varied)) > len(set(plain))


def test_penalties_count_the_end_of_the_prompt(writer: Writer) -> None:
    """As in llama.cpp's server, the last 64 tokens of the prompt count as said."""
    usual = writer.tokens(SHORT, "ab")[0]
    said = replace(SHORT, max_tokens=1, presence_penalty=2.0, logit_bias=((usual, -1.0),))
    writer.begin("ab")
    scores = logits(writer)
    gap = float(scores[usual] - np.partition(scores, -2)[-2])
    tied = replace(said, logit_bias=((usual, -gap + 1.0),))

    def choice(prompt: list[int]) -> int:
        own = Sampler(writer.weights, tied, prompt)
        chosen = own.choose(writer.pointer, -1).token
        own.close()
        return chosen

    assert choice([]) == usual
    assert choice([usual]) != usual
    assert choice([usual] + [5] * 64) == usual


def test_a_grammar_is_followed_from_the_first_token_to_the_end(writer: Writer) -> None:
    """Only what the grammar allows comes out, and the end only where it may."""
    end, text = writer.text(replace(WILD, grammar=LETTERS))
    assert (end, len(text), text.isascii(), text.islower()) == ("stop", 40, True, True)


def test_a_grammar_goes_with_penalties_and_biases(writer: Writer) -> None:
    """Everything else that changes scores still counts under a grammar."""
    letter = writer.weights.tokenize("q")[-1]
    biased = replace(
        WILD, grammar=LETTERS, logit_bias=((letter, 100.0),), repeat_penalty=1.2, temperature=0.0
    )
    assert writer.text(biased) == ("stop", "q" * 40)
    assert writer.text(replace(biased, frequency_penalty=2.0, logit_bias=()))[0] == "stop"


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"min_p": 0.2, "max_tokens": 41}])
def test_the_likeliest_are_enough(
    writer: Writer, change: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is chosen among the likeliest tokens is what the whole vocabulary would have given."""
    asked = replace(WILD, grammar=LETTERS, **change)  # type: ignore[arg-type]
    quick = [writer.tokens(replace(asked, seed=seed)) for seed in range(40)]
    monkeypatch.setattr(sampler, "SHORTLIST", 10**9)
    slow = [writer.tokens(replace(asked, seed=seed)) for seed in range(40)]
    firsts = {tokens[0] for tokens in slow}
    assert {tokens[0] for tokens in quick} <= firsts if asked.temperature else quick == slow


def test_a_control_token_cannot_pose_as_its_text(writer: Writer) -> None:
    """Where a grammar wants the text of a control token, the text is written."""
    marks = 'root ::= "<|user|>" "</s>"\n'
    biases = tuple((token, 100.0) for token in range(259, 263))
    found = writer.text(replace(WILD, grammar=marks, logit_bias=biases))
    assert found == ("stop", "<|user|></s>")


def test_half_characters_are_whole_in_the_end(writer: Writer) -> None:
    """Characters of several tokens count as one, and no byte is lost or doubled."""
    wide = "root ::= [\\U00000800-\\U0000D7FF\\U00010000-\\U0010FFFF]{12}\n"
    for seed in range(20):
        end, text = writer.text(replace(WILD, grammar=wide, seed=seed))
        assert (end, len(text), "\ufffd" in text) == ("stop", 12, False)


def test_a_grammar_nobody_can_read_is_refused(writer: Writer) -> None:
    """llama.cpp's refusal is an error and not an answer without a grammar."""
    with pytest.raises(BadInputError, match="cannot use the grammar"):
        Sampler(writer.weights, replace(GREEDY, grammar="root ::= missing\n"))


def test_a_vocabulary_that_cannot_go_on_is_an_error(writer: Writer) -> None:
    """Where no token fits, the request fails and the process lives."""
    nothing = replace(GREEDY, grammar="root ::= [\\x00]\n")
    with pytest.raises(EngineUnavailableError, match="no token that goes on"):
        writer.tokens(nothing)


def test_logprobs_are_those_of_the_model(writer: Writer) -> None:
    """Natural logarithms of the model's own probabilities, the likeliest first."""
    writer.begin("hello")
    scores = logits(writer).astype(np.float64)
    expected = scores - np.log(np.exp(scores).sum())
    own = Sampler(writer.weights, replace(GREEDY, logprobs=5))
    chosen = own.choose(writer.pointer, -1)
    own.close()
    assert chosen.logprobs is not None
    assert chosen.logprobs.logprob == pytest.approx(expected[chosen.token], abs=1e-5)
    assert [token.logprob for token in chosen.logprobs.top] == pytest.approx(
        sorted(expected, reverse=True)[:5], abs=1e-5
    )
    assert chosen.logprobs.top[0].data == writer.weights.piece(chosen.token)


def test_logprobs_do_not_change_what_is_chosen(writer: Writer) -> None:
    """With or without them, a seed gives the same answer."""
    seeded = replace(WILD, max_tokens=30)
    assert writer.tokens(replace(seeded, logprobs=3)) == writer.tokens(seeded)


def test_closing_twice_is_harmless(writer: Writer) -> None:
    """Memory is freed once."""
    own = Sampler(writer.weights, replace(WILD, grammar=LETTERS))
    own.close()
    own.close()


def test_a_choice_is_quick(writer: Writer) -> None:
    """Choosing costs far less than computing; the bound is wide for a busy machine."""
    writer.begin("hello")
    own = Sampler(writer.weights, WILD)
    began = time.perf_counter()
    for _ in range(200):
        own.choose(writer.pointer, -1)
    took = time.perf_counter() - began
    own.close()
    assert took / 200 < 0.002
