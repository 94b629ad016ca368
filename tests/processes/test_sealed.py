"""Promise 5, content is sealed: no file under the state folder holds a word of it."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import httpx

from tests.simulators.stack import Stack

MARKER = "Zaphenath"


def spellings(marker: str) -> list[bytes]:
    """Return how a text might lie in a file by accident: plain, UTF-16, base64, hex."""
    raw = marker.encode()
    return [
        raw,
        marker.encode("utf-16-le"),
        raw.hex().encode(),
        *(base64.b64encode(b" " * shift + raw)[4:-4] for shift in range(3)),
    ]


def found_in(state: Path, marker: str) -> list[Path]:
    """Return every file below `state` that holds the marker in some spelling."""
    files = [path for path in state.rglob("*") if path.is_file()]
    return [
        path
        for path in files
        if any(spelling in path.read_bytes() for spelling in spellings(marker))
    ]


def test_no_file_holds_a_question_an_answer_or_a_title(own_stack: Stack) -> None:
    """A marker that was asked and answered is found in no file, running or stopped."""
    key = own_stack.api_key()
    prompt = f"Summarise this note: 54 y/o man with {MARKER} for 3 days. Pain 7/10."
    answer = httpx.post(
        f"{own_stack.address}/v1/chat/completions",
        json={"model": "demo", "messages": [{"role": "user", "content": prompt}]},
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
    )
    answer.raise_for_status()
    words = answer.json()["choices"][0]["message"]["content"].split()
    answered = " ".join(words)[:24]
    assert len(answered) > 12
    asked = [path for path in own_stack.state.rglob("*.db*") if path.is_file()]
    assert asked, "the state folder has databases to search"
    for marker in (MARKER, answered):
        assert found_in(own_stack.state, marker) == []
    own_stack.stop()
    for marker in (MARKER, answered):
        assert found_in(own_stack.state, marker) == []
        assert marker not in "\n".join([*own_stack.printed, *own_stack.said])


def test_the_search_would_find_a_marker(tmp_path: Path) -> None:
    """The test above can fail: each spelling is found when it is there."""
    for number, spelling in enumerate(spellings(MARKER)):
        (tmp_path / f"{number}.bin").write_bytes(zlib.compress(b"x") + spelling)
    assert len(found_in(tmp_path, MARKER)) == len(spellings(MARKER))


def test_no_file_holds_a_password_or_an_api_key(own_stack: Stack) -> None:
    """Passwords are kept as argon2id and keys as a digest; the texts are nowhere."""
    secrets = [*own_stack.passwords.values(), own_stack.api_key()]
    own_stack.stop()
    for secret in secrets:
        assert found_in(own_stack.state, secret) == []
    assert b"$argon2id$" in (own_stack.state / "appliance.db").read_bytes()


def test_only_the_owner_can_read_the_state(stack: Stack) -> None:
    """Every folder is 0700 and every file unreadable for others; the key file is 0400."""
    for path in [stack.state, *stack.state.rglob("*")]:
        mode = path.stat().st_mode
        # The engine's container reads these under another user; the folder is 0700.
        shared = path.parent.name == "models"
        assert shared or mode & 0o077 == 0, f"{path} is {mode:o}"
    assert (stack.state / "keys/content.key").stat().st_mode & 0o777 == 0o400
