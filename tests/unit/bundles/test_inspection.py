"""The locked-down child: it reads a header and can do nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.bundles import chat_template, gguf, inspection
from appliance.bundles.inspection import PACKAGE_PARENT, check_model, inspect_file, look_into
from appliance.bundles.manifest import VerifiedModel
from appliance.bundles.refusals import UnsafeModelError
from tests.simulators.gguf_forge import MALFORMED, STRING, build, template, text
from tests.simulators.tiny_gguf import TEMPLATE, write_tiny_gguf
from tests.unit.bundles.test_seccomp import needs_filter

# The child with its limits but without the filter: what still holds on a kernel that has none.
LOCKED = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from appliance.bundles import inspector, seccomp
seccomp.install = lambda: False
inspector.give_up_rights()
"""
# The real child, whose reader a file has taken over: it runs other code in the reader's place.
TAKEN_OVER = """
import ctypes, os, sys
sys.path.insert(0, sys.argv[1])
from appliance.bundles import inspector
libc = ctypes.CDLL(None)
def hostile(read, size):
    {code}
inspector.inspect = hostile
inspector.CPU_SECONDS = 1
inspector.main()
"""


def locked_down(code: str) -> str:
    """Run `code` in a process that has its limits alone; return its last words."""
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOCKED + code, str(PACKAGE_PARENT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.stdout + (ended.stderr.strip().splitlines() or [str(ended.returncode)])[-1]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A real model's file."""
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path, context=256)
    return path


@pytest.fixture
def model(tiny: Path) -> VerifiedModel:
    """What a publisher signed for that file."""
    return VerifiedModel(
        name="tiny",
        version="1.0",
        security_epoch=1,
        min_engine="0.3",
        architecture="llama",
        chat_template_sha256=chat_template.digest(TEMPLATE),
        template_from="weights",
        licence="Apache-2.0",
        sha256="0" * 64,
        length=tiny.stat().st_size,
        files=(),
    )


def test_child_reports_what_the_header_says(tiny: Path) -> None:
    """A real model's facts come back from the child unchanged, as the reader found them."""
    data = tiny.read_bytes()
    direct = gguf.inspect(lambda offset, count: data[offset : offset + count], len(data))
    assert inspect_file(tiny) == direct
    assert (direct.context_tokens, direct.chat_template) == (256, TEMPLATE)


@needs_filter
def test_child_says_which_protections_held(tiny: Path) -> None:
    """Beside the facts stands that the system call filter was on."""
    assert "seccomp" in look_into(tiny).protections


@pytest.mark.parametrize("letter", ["\t", "\U0001f642", "é", '"', "x"])
def test_largest_template_comes_back(tmp_path: Path, letter: str) -> None:
    """A chat template of the largest size passes whatever its letters cost in the reply."""
    whole = letter * (chat_template.MAX_TEMPLATE_BYTES // len(letter.encode()))
    path = tmp_path / "large.gguf"
    path.write_bytes(template(STRING, text(whole)))
    assert inspect_file(path).chat_template == whole


@pytest.mark.parametrize("name", ["version 2", "array bomb", "template too large", "empty"])
def test_child_refuses_in_the_readers_words(tmp_path: Path, name: str) -> None:
    """A malformed file is refused with the reason that the child found."""
    data, words = MALFORMED[name]
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(UnsafeModelError, match=words):
        inspect_file(path)


def test_link_is_not_followed(tmp_path: Path, tiny: Path) -> None:
    """A symbolic link in the place of the weights is not opened."""
    link = tmp_path / "link.gguf"
    link.symlink_to(tiny)
    with pytest.raises(OSError, match="symbolic links"):
        inspect_file(link)


def test_own_template_must_be_the_signed_one(tiny: Path, model: VerifiedModel) -> None:
    """A model signed with its own template passes with that template and with no other."""
    assert check_model(tiny, model).architecture == "llama"
    with pytest.raises(UnsafeModelError, match="not the signed one"):
        check_model(tiny, replace(model, chat_template_sha256="0" * 64))


def test_model_signed_with_its_template_must_hold_one(tmp_path: Path, model: VerifiedModel) -> None:
    """A file without a template does not pass for a model that was signed with its own."""
    path = tmp_path / "bare.gguf"
    path.write_bytes(build(without="tokenizer.chat_template"))
    with pytest.raises(UnsafeModelError, match="holds no chat template"):
        check_model(path, model)
    assert check_model(path, replace(model, template_from="publisher")).chat_template == ""


def test_publishers_template_takes_the_place_of_any(tiny: Path, model: VerifiedModel) -> None:
    """Where the publisher's template is used, the file may hold another."""
    signed = replace(model, template_from="publisher", chat_template_sha256="0" * 64)
    assert check_model(tiny, signed).chat_template == TEMPLATE


def test_unused_template_is_bounded_too(tmp_path: Path, model: VerifiedModel) -> None:
    """A template beyond the limit is refused even where the publisher's is used."""
    path = tmp_path / "large.gguf"
    path.write_bytes(MALFORMED["template too large"][0])
    with pytest.raises(UnsafeModelError, match="larger than 262144"):
        check_model(path, replace(model, template_from="publisher"))


def test_architecture_must_be_the_signed_one(tiny: Path, model: VerifiedModel) -> None:
    """A file of another architecture than the signed one is refused."""
    with pytest.raises(UnsafeModelError, match="architecture is 'llama', signed was qwen3"):
        check_model(tiny, replace(model, architecture="qwen3"))


def test_without_a_filter_no_other_file_is_read() -> None:
    """Where the kernel has no filter, still no file can be opened."""
    assert "Too many open files" in locked_down("open('/etc/hostname')")


def test_without_a_filter_no_socket_is_opened() -> None:
    """Where the kernel has no filter, still no socket can be made."""
    assert "Too many open files" in locked_down("socket.socket()")


def test_without_a_filter_memory_is_bounded() -> None:
    """Where the kernel has no filter, still more than 512 MiB cannot be had."""
    assert locked_down("bytearray(600 * 1024 * 1024)") == "MemoryError"


def test_child_loads_nothing_but_the_standard_library() -> None:
    """The inspector's imports include no third-party package: none of it is exposed to a file."""
    code = "print([m for m in ('tuf', 'sqlalchemy', 'cryptography') if m in sys.modules])"
    assert locked_down(code).startswith("[]")


HOSTILE = {
    "opens a file": ("libc.open(b'/etc/hostname', 0)", "forbidden system call"),
    "opens a file in Python": ("open('/etc/hostname')", "forbidden system call"),
    "opens a socket": ("libc.socket(2, 1, 0)", "forbidden system call"),
    "starts a program": ("libc.execl(b'/bin/true', b'true', None)", "forbidden system call"),
    "forks": ("os.fork()", "forbidden system call"),
    "traces": ("libc.ptrace(16, 1, 0, 0)", "forbidden system call"),
    "ends in an error": ("raise ValueError", "forbidden system call|ended by its limits"),
    "loops": ("exec('while True: pass')", "ended by its limits"),
    "crashes": ("ctypes.string_at(0)", "ended by its limits"),
    "takes memory": ("bytearray(600 * 1024 * 1024)", "more memory than it may"),
    "takes memory piece by piece": (
        "x = []; exec('while True: x.append(bytes(1_000_000))')",
        "more memory than it may",
    ),
    "answers without end": (
        "exec('while True: os.write(1, b\" \" * 65536)')",
        "reply that is too large",
    ),
    "answers and goes": ("os.write(1, b'x'); os._exit(0)", "no readable reply"),
    "ends without a word": ("os._exit(0)", "no readable reply"),
}


@needs_filter
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_reader_that_was_taken_over_is_a_refusal(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever a file makes the child do, the outcome is one refusal in words."""
    code, words = HOSTILE[name]
    monkeypatch.setattr(inspection, "COMMAND", TAKEN_OVER.replace("{code}", code))
    with pytest.raises(UnsafeModelError, match=words):
        inspect_file(tiny)


def test_child_that_is_killed_is_a_refusal(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a limit ends the child, the file is refused, never accepted for lack of an answer."""
    end = f"import os; os.kill(os.getpid(), {signal.SIGKILL:d})"
    monkeypatch.setattr(inspection, "COMMAND", end)
    with pytest.raises(UnsafeModelError, match="ended by its limits"):
        inspect_file(tiny)


def test_child_that_waits_is_a_refusal(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that uses no processor time is ended by the clock."""
    monkeypatch.setattr(inspection, "COMMAND", "import time; time.sleep(600)")
    monkeypatch.setattr(inspection, "WALL_CLOCK_S", 0.2)
    with pytest.raises(UnsafeModelError, match=r"longer than 0\.2 s"):
        inspect_file(tiny)


GOOD = {
    "architecture": "llama",
    "chat_template": "x",
    "chat_template_sha256": chat_template.digest("x"),
    "quantisation": "Q8_0",
    "context_tokens": 64,
    "vocabulary": 2,
    "layers": 1,
    "parameters": 8,
    "tensors": 1,
}


def replying(monkeypatch: pytest.MonkeyPatch, reply: str) -> None:
    """Let the child say nothing but `reply`."""
    monkeypatch.setattr(inspection, "COMMAND", f"print({reply!r})")


def test_sound_reply_is_taken(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reply that the next tests spoil is itself a good one; strange protections are dropped."""
    replying(monkeypatch, json.dumps({"facts": GOOD, "protections": ["seccomp", "magic", 1]}))
    found = look_into(tiny)
    assert (vars(found.facts), found.protections) == (GOOD, ("seccomp",))


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": 1},
        {"architecture": "two words"},
        {"chat_template": "y"},
        {"chat_template": "\ud800"},
        {"quantisation": "very good"},
        {"context_tokens": 0},
        {"context_tokens": 2**40},
        {"context_tokens": True},
        {"context_tokens": 1.0},
        {"layers": -1},
        {"vocabulary": 2**64},
        {"tensors": None},
        {"surprise": 1},
    ],
)
def test_reply_outside_the_bounds_is_a_refusal(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    """Facts that the reader could never have found are not taken from a child."""
    replying(monkeypatch, json.dumps({"facts": {**GOOD, **change}}))
    with pytest.raises(UnsafeModelError, match="no readable reply"):
        inspect_file(tiny)


def test_template_beyond_the_limit_is_not_taken_from_a_child() -> None:
    """A template larger than the reader lets pass is refused with its right digest too."""
    large = "x" * (chat_template.MAX_TEMPLATE_BYTES + 1)
    digest = chat_template.digest(large)
    with pytest.raises(UnsafeModelError, match="no readable reply"):
        inspection._facts({**GOOD, "chat_template": large, "chat_template_sha256": digest})


@pytest.mark.parametrize(
    "reply",
    ["", "[]", "{}", "nonsense", '{"facts": 1}', '{"facts": {}}', "1", '"refused"', "null",
     "[" * 100_000],
)  # fmt: skip
def test_unreadable_reply_is_a_refusal(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    """A child that was taken over can say nothing that counts as facts."""
    replying(monkeypatch, reply)
    with pytest.raises(UnsafeModelError, match="no readable reply"):
        inspect_file(tiny)


def test_reason_of_the_child_cannot_steer_a_terminal(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal comes without control characters and no longer than a few lines."""
    replying(monkeypatch, json.dumps({"refused": "\x1b[2J" + "x" * 10_000}))
    with pytest.raises(UnsafeModelError) as caught:
        inspect_file(tiny)
    assert caught.value.message == "?[2J" + "x" * 496
