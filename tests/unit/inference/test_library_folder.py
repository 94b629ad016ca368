"""The library as engines of others read it: links, altered templates and odd headers refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ApplianceError, EngineUnavailableError
from appliance.inference.engine import EngineModel
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.vocabulary import read_vocabulary
from tests.simulators.engine_process import activate_model, put_model
from tests.simulators.tiny_gguf import SPECIALS, TEMPLATE, USER_DEFINED_TURN


@pytest.fixture
def folder(tmp_path: Path) -> LibraryFolder:
    put_model(tmp_path)
    return LibraryFolder(tmp_path)


def only(folder: LibraryFolder) -> EngineModel:
    (model,) = folder.active()
    return model


def test_nothing_is_active_in_an_empty_library(tmp_path: Path) -> None:
    """A library without activation names nothing, and that is no error."""
    assert LibraryFolder(tmp_path).active() == ()


@pytest.mark.parametrize("text", ["", "[]", '{"model": 5}', '{"model": {"digest": "../x"}}'])
def test_an_odd_activation_is_an_error(tmp_path: Path, text: str) -> None:
    """What makes no sense is never taken for "no model"."""
    (tmp_path / "active.json").write_text(text)
    with pytest.raises(ApplianceError):
        LibraryFolder(tmp_path).active()


def test_the_weights_own_texts_are_read(folder: LibraryFolder) -> None:
    """Template, control tokens and context are those of the file."""
    vocabulary = folder.vocabulary(only(folder).digest)
    assert folder.template(only(folder)) == TEMPLATE
    assert set(SPECIALS) < set(vocabulary.control_texts(TEMPLATE))
    assert USER_DEFINED_TURN not in vocabulary.control_texts(TEMPLATE)
    assert USER_DEFINED_TURN in vocabulary.control_texts(TEMPLATE + USER_DEFINED_TURN)
    assert (vocabulary.bos, vocabulary.eos, vocabulary.context_tokens) == ("<s>", "<|end|>", 512)


def test_a_signed_template_counts_and_only_unaltered(folder: LibraryFolder) -> None:
    """The template that was signed with a model is used, and refused when it is another."""
    wanted = hashlib.sha256(b"signed").hexdigest()
    activate_model(folder.path, only(folder).digest, template_sha256=wanted)
    place = folder.path / f"{wanted}.template"
    place.write_text("signed")
    assert folder.template(only(folder)) == "signed"
    place.write_text("forged")
    with pytest.raises(EngineUnavailableError, match="signed"):
        folder.template(only(folder))


def test_links_and_pipes_are_not_read(folder: LibraryFolder) -> None:
    """A name in the library that leads elsewhere is refused, and a pipe does not hang."""
    digest = only(folder).digest
    weights = folder.path / f"{digest}.gguf"
    kept = weights.rename(folder.path / "kept")
    weights.symlink_to(kept)
    with pytest.raises(EngineUnavailableError), folder.weights(digest):
        pass
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(EngineUnavailableError, match="regular"), folder.weights(digest):
        pass
    with pytest.raises(EngineUnavailableError), folder.weights("../kept"):
        pass


@given(st.binary(max_size=120), st.integers(0, 3))
def test_no_header_crashes_the_reader(tail: bytes, values: int) -> None:
    """Whatever stands there, the outcome is a vocabulary or one error."""
    data = struct.pack("<4sIQQ", b"GGUF", 3, 0, values) + tail
    with contextlib.suppress(EngineUnavailableError):
        assert read_vocabulary(io.BytesIO(data)).context_tokens >= 0


@pytest.mark.parametrize("length", [2**40, 2**63])
def test_a_length_is_not_believed(length: int) -> None:
    """A header that claims gigabytes costs nothing."""
    data = struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, length)
    with pytest.raises(EngineUnavailableError):
        read_vocabulary(io.BytesIO(data))
