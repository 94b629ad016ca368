"""Only the exact bytes of the active model are loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from appliance.errors import EngineUnavailableError, NotFoundError, VerificationError
from appliance.llama.library_view import ActiveModel, read_active, verified
from appliance.llama.weights import Weights
from tests.simulators.engine_process import put_model


def test_no_active_file_means_no_model(library: Path) -> None:
    """A fresh library has nothing active, and that is no error."""
    assert read_active(library) == ()


def test_the_active_model_is_read(library: Path) -> None:
    """Name, version, digest and context come from `active.json`; a second model may follow."""
    model = {"name": "demo", "version": "2", "digest": "a" * 64, "context_tokens": 256}
    (library / "active.json").write_text(json.dumps({"model": model}))
    first = ActiveModel("demo", "2", "a" * 64, 256)
    assert read_active(library) == (first,)
    other = {"name": "other", "version": "1", "digest": "b" * 64}
    (library / "active.json").write_text(json.dumps({"model": model, "beside": other}))
    assert read_active(library) == (first, ActiveModel("other", "1", "b" * 64))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"model": null}',
        '{"model": {"name": "a", "version": "1", "digest": "../etc/passwd"}}',
        '{"model": {"name": "a", "version": "1", "digest": "' + "A" * 64 + '"}}',
        '{"model": {"digest": "' + "a" * 64 + '"}}',
        '{"model": ' * 20_000,
        '{"model": {"name": "a", "version": "1", "digest": "' + "a" * 64 + '"}, "beside": 1}',
    ],
)
def test_an_active_file_that_makes_no_sense_is_refused(library: Path, text: str) -> None:
    """A broken `active.json` loads nothing and says so."""
    (library / "active.json").write_text(text)
    with pytest.raises(EngineUnavailableError, match=r"active\.json"):
        read_active(library)


def test_a_flipped_bit_is_found(library: Path) -> None:
    """Weights that differ from their name in one bit are not loaded."""
    digest = put_model(library)
    file = library / f"{digest}.gguf"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(VerificationError, match="other content"), verified(library, digest):
        pass


def test_a_missing_file_is_named(library: Path) -> None:
    """The error says which file is not there."""
    with pytest.raises(NotFoundError, match="a" * 64), verified(library, "a" * 64):
        pass


def test_a_link_is_not_followed(library: Path) -> None:
    """A symbolic link in the library is refused, even to the right content."""
    digest = put_model(library)
    file = library / f"{digest}.gguf"
    file.rename(library / "elsewhere")
    file.symlink_to(library / "elsewhere")
    with pytest.raises(VerificationError, match="cannot be opened"), verified(library, digest):
        pass


def test_a_pipe_is_refused_without_waiting(library: Path) -> None:
    """A FIFO under the name of a model neither hangs nor loads."""
    os.mkfifo(library / f"{'b' * 64}.gguf")
    with pytest.raises(VerificationError, match="regular file"), verified(library, "b" * 64):
        pass


def test_a_digest_is_no_path(library: Path) -> None:
    """Only 64 hex digits name a file."""
    with pytest.raises(VerificationError, match="64 hex"), verified(library, "../secret"):
        pass


def test_a_swap_after_the_hash_is_found(library: Path) -> None:
    """Another file under the name is never what is loaded, and the swap itself is reported."""
    digest = put_model(library)
    with verified(library, digest) as source:
        (library / "bad").write_bytes(b"not a model")
        (library / "bad").rename(library / f"{digest}.gguf")
        assert Path(source.path).read_bytes().startswith(b"GGUF")
        with pytest.raises(VerificationError, match="changed"):
            Weights(source)


def test_a_write_after_the_hash_is_found(library: Path) -> None:
    """Weights that are written to between hash and load are thrown away."""
    digest = put_model(library)
    with verified(library, digest) as source:
        with (library / f"{digest}.gguf").open("r+b") as file:
            file.seek(-4, os.SEEK_END)
            file.write(b"\0\0\0\0")
        os.utime(library / f"{digest}.gguf", ns=(1, source.stamp[3]))
        with pytest.raises(VerificationError, match="changed"):
            Weights(source)
