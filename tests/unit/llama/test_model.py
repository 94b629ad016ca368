"""Answers of a real llama.cpp with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import EngineUnavailableError
from appliance.llama.events import Done, Piece
from appliance.llama.model import Model
from appliance.llama.prompt import Turn
from appliance.llama.sampling import Sampling
from tests.simulators.engine_process import put_model

from .conftest import load_model

WARM = Sampling(max_tokens=64, temperature=1.0, top_p=0.95, seed=11, stop=())
GREEDY = Sampling(max_tokens=12, temperature=0.0, top_p=1.0, seed=None, stop=())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("library")
    return load_model(folder, put_model(folder))


def answer(model: Model, text: str, sampling: Sampling) -> tuple[str, Done]:
    prompt = model.prepare([Turn("user", text)], sampling)
    *pieces, done = model.answer(prompt, sampling)
    assert isinstance(done, Done)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece)), done


def test_an_answer_ends_at_max_tokens_with_exact_counts(model: Model) -> None:
    """The last value says `length`, the prompt's tokens and the answer's tokens."""
    _, done = answer(model, "hello", GREEDY)
    assert done == Done("length", model.count([Turn("user", "hello")]), 12)


def test_an_answer_ends_at_the_end_of_the_context(model: Model) -> None:
    """Prompt and answer together fill the context and not one token more."""
    _, done = answer(model, "x" * 400, Sampling(9_999, 0.0, 1.0, None, ()))
    assert done.prompt_tokens + done.answer_tokens == model.context_tokens
    assert done.reason == "length"


def test_an_end_token_ends_the_answer(library: Path) -> None:
    """A model that is done says `stop`; its end token is neither shown nor counted."""
    model = load_model(library, put_model(library, ends_at_once=True))
    assert answer(model, "hello", GREEDY)[0] == ""
    assert answer(model, "hello", GREEDY)[1].reason == "stop"


def test_a_stop_text_ends_the_answer(model: Model) -> None:
    """The answer stops before a stop text that spans two tokens, and says `stop`."""
    text, _ = answer(model, "hello", GREEDY)
    middle = len(text) // 2
    stop = text[middle - 3 : middle + 3]
    shown, done = answer(model, "hello", Sampling(12, 0.0, 1.0, None, (stop,)))
    assert (shown, done.reason) == (text[: text.index(stop)], "stop")


def test_the_same_seed_gives_the_same_answer(model: Model) -> None:
    """A seed makes a warm answer repeatable, and another seed gives another answer."""
    other = Sampling(64, 1.0, 0.95, 12, ())
    first = answer(model, "hello", WARM)
    assert answer(model, "hello", WARM) == first
    assert answer(model, "hello", other) != first


def test_a_shared_beginning_does_not_change_the_answer(model: Model, library: Path) -> None:
    """What is kept from earlier requests saves work and alters nothing."""
    for text in ("hello there", "hello", "another one altogether", "hello there"):
        kept = answer(model, text, GREEDY)
    fresh = load_model(library, put_model(library))
    assert answer(fresh, "hello there", GREEDY) == kept


@pytest.mark.parametrize(
    "text", ["🙂👩‍⚕️", "السلام عليكم", "\0\x01\x1b[2J", "\u202eabc", "\n" * 50, ""]
)
def test_any_text_gets_an_answer(model: Model, text: str) -> None:
    """Emoji, right-to-left text, control characters and nothing at all are all answered."""
    assert answer(model, text, GREEDY)[1].answer_tokens == 12


def test_pieces_hold_whole_characters_only(model: Model) -> None:
    """An emoji made of several byte tokens never comes out in parts."""
    prompt = model.prepare([Turn("user", "hi")], WARM)
    for seed in range(20):
        sampling = Sampling(128, 2.0, 1.0, seed, ())
        for event in model.answer(prompt, sampling):
            if isinstance(event, Piece):
                assert event.text
                assert event.text.encode()


def test_a_prompt_says_which_part_is_nobodys_own(model: Model) -> None:
    """The public part holds template and system prompt, and ends where the person's words begin."""
    turns = [Turn("system", "be careful"), Turn("user", "hello")]
    first = model.prepare(turns, GREEDY)
    other = model.prepare([turns[0], Turn("user", "something else")], GREEDY)
    assert first.tokens[: first.public] == other.tokens[: other.public]
    system = model.prompts.render(turns).index("hello")
    assert first.public == len(model.weights.tokenize(model.prompts.render(turns)[:system])) + 1


def test_what_is_nobodys_own_is_looked_up_again(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that writes the date begins otherwise tomorrow; then the public part is new."""
    turns = [Turn("system", "be careful " * 4), Turn("user", "hello")]
    today = model.prepare(turns, GREEDY).public
    known = model.prompts.tokens
    monkeypatch.setattr(
        model.prompts, "tokens", lambda turns, tools=(): [7, 7, *known(turns, tools)]
    )
    assert model.prepare(turns, GREEDY).public == 0
    monkeypatch.setattr("appliance.llama.model.OLD_S", 0.0)
    assert model.prepare(turns, GREEDY).public == today + 2


def test_the_context_is_what_the_model_was_trained_for(model: Model) -> None:
    """Without a setting the GGUF's own training context counts."""
    assert model.context_tokens == 512


@pytest.mark.parametrize(("wanted", "got"), [(256, 256), (4096, 512)])
def test_a_set_context_is_kept_within_training(library: Path, wanted: int, got: int) -> None:
    """A smaller context is taken, a larger one is cut to what the model can do."""
    model = load_model(library, put_model(library), context_tokens=wanted)
    assert model.context_tokens == got


def test_a_file_that_is_no_model_is_refused(library: Path) -> None:
    """Bytes with the right digest that llama.cpp cannot read give an error, not an abort."""
    import hashlib

    digest = hashlib.sha256(b"GGUF nonsense").hexdigest()
    (library / f"{digest}.gguf").write_bytes(b"GGUF nonsense")
    with pytest.raises(EngineUnavailableError, match="cannot load"):
        load_model(library, digest)
