"""The publisher's commands: two for a small site, one for each person of a larger one."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.bundles.desk import keys
from appliance.cli.main import run
from tests.cli.conftest import Ended
from tests.faults.small_disk import can_mount, on_small_disk
from tests.simulators.publisher_desk import PASSPHRASE, ROUNDS, write_source
from tests.simulators.soft_token import PIN, make_token

Run = Callable[..., Ended]


@pytest.fixture
def command(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Run one command in this process, in a folder without any state folder near it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("APPLIANCE_STATE", raising=False)
    (tmp_path / "pw").write_text(f"{PASSPHRASE}\n")

    def one(*words: str, typed: str = "") -> Ended:
        capfdbinary.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = run(words)
        printed = capfdbinary.readouterr()
        return Ended(code, printed.out.decode(), printed.err.decode())

    return one


@pytest.fixture
def model(tmp_path: Path) -> tuple[str, ...]:
    """The words that name a model on the command line."""
    write_source(tmp_path / "source")
    return ("source/model.gguf", "--card", "source/card.toml")


def people(folder: Path, *names: str) -> None:
    """Make key files, whose passphrases are checked in no time."""
    for name in names:
        keys.create(folder / name, PASSPHRASE, rounds=ROUNDS)


@pytest.fixture
def small(command: Run, tmp_path: Path) -> tuple[str, ...]:
    """A desk with one key; return the words that sign with it."""
    people(tmp_path, "me")
    ended = command("publisher", "init", "desk", "--name", "Test", "--root", "me.pub")
    assert ended.code == 0, ended.err
    signed = command("publisher", "sign", "desk", *signing("me"))
    assert signed.code == 0, signed.err
    return signing("me")


def signing(name: str) -> tuple[str, ...]:
    return ("--key", f"{name}.key", "--passphrase-file", "pw", "--yes")


def test_a_small_site_publishes_in_three_commands(
    command: Run, model: tuple[str, ...], tmp_path: Path
) -> None:
    """init, build, sign: no state folder, the fingerprint in groups, and what to do next."""
    made = command("publisher", "init", "desk", "--name", "St Elsewhere models",
                   "--passphrase-file", "pw")  # fmt: skip
    assert made.code == 0, made.err
    assert len(made.out.split("fingerprint")[1].split()[:8]) == 8
    assert "next: appliance bundle build desk" in made.err
    key = tmp_path / "desk" / "keys" / "st-elsewhere-models.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    built = command("bundle", "build", "desk", *model, "--out", "stick")
    assert built.code == 0, built.err
    assert f"--key {key.relative_to(tmp_path)}" in built.err
    signed = command("bundle", "sign", "stick", "--key", str(key), "--passphrase-file", "pw",
                     "--yes")  # fmt: skip
    assert signed.code == 0, signed.err
    assert "is complete" in signed.out
    assert "the first list; if one was published before, do not sign" in signed.err
    assert "appliance bundle import" in signed.err
    assert sorted(path.name for path in Path("stick").iterdir()) == ["metadata", "targets"]
    shown = command("publisher", "show", "desk", "--json").value
    assert (shown["bundle"], [item["name"] for item in shown["models"]]) == (1, ["tiny"])


def test_several_people_sign_one_after_the_other(
    command: Run, model: tuple[str, ...], tmp_path: Path
) -> None:
    """Two of three: each command says how many signatures there are and whose may come."""
    people(tmp_path, "alice", "bob", "carol")
    made = command("publisher", "init", "desk", "--name", "Norm", "--root", "alice.pub",
                   "--root", "bob.pub", "--root", "carol.pub", "--root-threshold", "2",
                   "--targets-threshold", "2")  # fmt: skip
    assert "0 of 2 signatures" in made.out
    assert "1 of 2 signatures" in command("publisher", "sign", "desk", *signing("alice")).out
    done = command("publisher", "sign", "desk", *signing("bob"))
    assert "is complete" in done.out
    assert "fingerprint" in done.out
    assert command("bundle", "build", "desk", *model, "--out", "stick").code == 0
    first = command("bundle", "sign", "stick", *signing("carol"))
    assert first.out.startswith("1 of 2 signatures: carol (")
    assert "alice" in first.err
    assert "bob" in first.err
    second = command("bundle", "sign", "stick", *signing("alice"), "--json")
    assert (second.value["complete"], second.value["recorded"]) == (True, True)


def test_the_signer_reads_what_is_signed(
    command: Run, small: tuple[str, ...], model: tuple[str, ...]
) -> None:
    """Model, digest, licence and version are shown before the signature."""
    command("bundle", "build", "desk", *model, "--out", "stick")
    err = command("bundle", "sign", "stick", *small).err
    for shown in ("bundle 1 of Test", "tiny 1.0", "Apache-2.0", "SHA-256", "first root"):
        assert shown in err


def test_nobody_is_asked_without_a_terminal(
    command: Run, small: tuple[str, ...], model: tuple[str, ...]
) -> None:
    """A script must say --yes; silence is no consent."""
    command("bundle", "build", "desk", *model, "--out", "stick")
    ended = command("bundle", "sign", "stick", *small[:-1])
    assert (ended.code, "--yes" in ended.err) == (2, True)
    assert Path("stick/draft.json").exists()


def test_a_wrong_passphrase_signs_nothing(
    command: Run, small: tuple[str, ...], model: tuple[str, ...]
) -> None:
    """Said before an hour of reading, not after it."""
    command("bundle", "build", "desk", *model, "--out", "stick")
    Path("wrong").write_text("not the passphrase\n")
    ended = command("bundle", "sign", "stick", "--key", "me.key", "--passphrase-file", "wrong",
                    "--yes")  # fmt: skip
    assert (ended.code, "does not open" in ended.err) == (1, True)
    assert "reading" not in ended.err


def test_a_weak_passphrase_makes_no_desk(command: Run) -> None:
    """Nothing half-made stays behind."""
    ended = command("publisher", "init", "desk", "--name", "Test", "--passphrase-file", "-",
                    typed="short\n")  # fmt: skip
    assert (ended.code, "12 are the least" in ended.err) == (2, True)
    assert not Path("desk").exists()


def test_a_folder_in_use_is_no_desk(command: Run) -> None:
    """What lies there stays, and nobody types a passphrase in vain."""
    Path("desk").mkdir()
    Path("desk/mine.txt").write_text("mine")
    ended = command("publisher", "init", "desk", "--name", "Test")
    assert (ended.code, "not empty" in ended.err) == (1, True)
    assert [path.name for path in Path("desk").iterdir()] == ["mine.txt"]


def test_a_passphrase_cannot_be_typed_without_a_terminal(command: Run) -> None:
    """It says which option to use; there is none to put it on the command line."""
    ended = command("publisher", "key", "alice")
    assert (ended.code, "--passphrase-file" in ended.err) == (2, True)
    assert not Path("alice.key").exists()


def test_a_second_bundle_is_not_built_blindly(
    command: Run, small: tuple[str, ...], model: tuple[str, ...], tmp_path: Path
) -> None:
    """The desk asks how the first one ended, and a person can say that it was given up."""
    command("bundle", "build", "desk", *model, "--out", "stick")
    refused = command("bundle", "build", "desk", *model, "--out", "second")
    assert (refused.code, "--abandoned 1" in refused.err) == (1, True)
    built = command("bundle", "build", "desk", *model, "--out", "second", "--abandoned", "1")
    assert built.code == 0, built.err


def test_a_bundle_completed_elsewhere_is_recorded(
    command: Run, small: tuple[str, ...], model: tuple[str, ...]
) -> None:
    """The desk was moved, so signing cannot tell it; a command does."""
    command("bundle", "build", "desk", *model, "--out", "stick")
    Path("desk").rename("moved")
    signed = command("bundle", "sign", "stick", *small)
    assert "publisher record" in signed.err
    assert command("publisher", "record", "moved", "stick").code == 0
    assert command("publisher", "show", "moved", "--json").value["bundle"] == 1


def test_a_model_is_withdrawn_by_an_advisory(
    command: Run, small: tuple[str, ...], model: tuple[str, ...]
) -> None:
    """revoke, build without weights, sign: the list of withdrawn models is signed."""
    command("bundle", "build", "desk", *model, "--out", "stick")
    command("bundle", "sign", "stick", *small)
    revoked = command("publisher", "revoke", "desk", "--model", "tiny", "--version", "1.0",
                      "--reason", "wrong doses")  # fmt: skip
    assert "bundle build desk --out" in revoked.err
    assert "wrong doses" in command("bundle", "build", "desk", "--out", "advisory").out
    signed = command("bundle", "sign", "advisory", *small)
    assert "withdraws: tiny 1.0" in signed.err
    shown = command("publisher", "show", "desk", "--json").value
    assert (shown["models"], shown["denied"][0]["reason"]) == ([], "wrong doses")


def test_keys_are_rotated_and_revoked(command: Run, small: tuple[str, ...], tmp_path: Path) -> None:
    """The old key introduces the new one; both sign."""
    people(tmp_path, "new")
    waiting = command("publisher", "revoke", "desk", "--key", "me", "--replace", "new.pub")
    assert "0 of 1 signatures of the people of the root before" in waiting.out
    command("publisher", "sign", "desk", *small)
    done = command("publisher", "sign", "desk", *signing("new"))
    assert "root 2 of Test is complete" in done.out
    renewed = command("publisher", "rotate", "desk", "--valid-days", "100", "--json")
    assert renewed.value["root"] == 3
    assert "waits for signatures" in command("publisher", "show", "desk").err


def test_what_ends_soon_is_shown(command: Run, tmp_path: Path) -> None:
    """Weeks before a root ends, `show` says how to renew it."""
    people(tmp_path, "me")
    command("publisher", "init", "desk", "--name", "Test", "--root", "me.pub", "--valid-days", "20")
    command("publisher", "sign", "desk", *signing("me"))
    shown = command("publisher", "show", "desk")
    assert "publisher rotate desk" in shown.err
    assert command("publisher", "show", "desk", "--json").value["warnings"]


def test_weights_go_over_several_sticks(
    command: Run, small: tuple[str, ...], model: tuple[str, ...]
) -> None:
    """It says what lies where, and signing asks for all of them."""
    built = command("bundle", "build", "desk", *model, "--out", "a", "--out", "b",
                    "--part-size", "70kB", "--media-size", "1.4MB")  # fmt: skip
    assert built.code == 0, built.err
    assert "medium 2, b: tiny-1.0" in built.out
    assert "number 2 is not here" in command("bundle", "sign", "a", *small).err
    assert command("bundle", "sign", "a", "b", *small).code == 0


@pytest.mark.skipif(not can_mount(), reason="nothing can be mounted here")
def test_a_full_medium_ends_a_build_cleanly(
    command: Run, small: tuple[str, ...], model: tuple[str, ...], tmp_path: Path
) -> None:
    """It is exit 4 with what to do, and the desk is as before: the next build has its number."""
    (tmp_path / "stick").mkdir()
    here = [str(tmp_path / word) if "/" in word else word for word in model]
    words = ["bundle", "build", str(tmp_path / "desk"), *here, "--out", str(tmp_path / "stick"),
             "--media-size", "8MB"]  # fmt: skip
    program = [sys.executable, "-m", "appliance.cli.main"]
    done = on_small_disk(tmp_path / "stick", "size=100k", *program, *words)
    assert (done.returncode, "a medium is full" in done.stderr) == (4, True), done.stderr
    assert command(*words).code == 0


@pytest.mark.parametrize("size", ["5GB", "0", "many", "-1"])
def test_a_part_size_that_no_stick_holds_is_wrong_usage(
    command: Run, small: tuple[str, ...], model: tuple[str, ...], size: str
) -> None:
    """FAT32 ends below 4 GiB."""
    ended = command("bundle", "build", "desk", *model, "--out", "a", "--part-size", size)
    assert ended.code == 2
    assert not Path("a").exists()


def test_a_bad_model_is_told_to_its_publisher(
    command: Run, small: tuple[str, ...], model: tuple[str, ...]
) -> None:
    """The same refusal as at a hospital, with what a publisher can do about it."""
    Path("source/model.gguf").write_bytes(b"no model")
    ended = command("bundle", "build", "desk", *model, "--out", "stick")
    assert (ended.code, "build again" in ended.err) == (3, True)
    assert not Path("stick").exists()


def test_golden_prompts_are_asked_for(
    command: Run, small: tuple[str, ...], model: tuple[str, ...]
) -> None:
    """They lie beside the card or are named."""
    Path("source/eval.jsonl").unlink()
    ended = command("bundle", "build", "desk", *model, "--out", "stick")
    assert (ended.code, "--prompts" in ended.err) == (2, True)


@pytest.mark.parametrize(("name", "code"), [("general", 0), ("missing", 2), ("../general", 2)])
def test_card_of_the_catalogue_brings_its_golden_prompts(
    command: Run, small: tuple[str, ...], model: tuple[str, ...], name: str, code: int
) -> None:
    """A card may name a set beside the folder of cards, by a plain name and nothing else."""
    Path("golden").mkdir()
    Path("source/eval.jsonl").rename("golden/general.jsonl")
    with Path("source/card.toml").open("a") as card:
        card.write(f'golden = "{name}"\n')
    ended = command("bundle", "build", "desk", *model, "--out", "stick")
    assert (ended.code, Path("stick").exists()) == (code, code == 0)


@pytest.mark.parametrize(
    "words",
    [
        ("publisher", "init", "desk", "--name", "x", "--root-threshold", "2"),
        ("publisher", "rotate", "desk", "--remove", "me"),
        ("publisher", "revoke", "desk"),
        ("publisher", "revoke", "desk", "--key", "me", "--model", "tiny"),
        ("publisher", "revoke", "desk", "--model", "tiny"),
        ("bundle", "build", "desk", "--card", "source/card.toml", "--out", "a"),
    ],
)
def test_half_a_sentence_is_wrong_usage(
    command: Run, small: tuple[str, ...], model: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """Options that need one another."""
    assert command(*words).code == 2


def test_a_token_signs_from_the_command_line(
    command: Run, model: tuple[str, ...], tmp_path: Path
) -> None:
    """A key that never leaves its token, from init to the finished bundle."""
    token = make_token(tmp_path / "token")
    (tmp_path / "pin").write_text(f"{PIN}\n")
    environment = {**os.environ, "SOFTHSM2_CONF": str(token.configuration)}

    def other_process(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli.main", *words],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    key = ("--key", token.uri, "--pin-file", "pin", "--yes")
    other_process("publisher", "key", "alice", "--from-pkcs11", token.uri)
    assert not Path("alice.key").exists()
    assert command("publisher", "init", "desk", "--name", "x", "--root", "alice.pub").code == 0
    other_process("publisher", "sign", "desk", *key)
    assert command("bundle", "build", "desk", *model, "--out", "stick").code == 0
    other_process("bundle", "sign", "stick", *key)
    assert command("publisher", "show", "desk", "--json").value["bundle"] == 1


def test_a_person_is_asked_at_a_terminal(
    command: Run, small: tuple[str, ...], model: tuple[str, ...]
) -> None:
    """The passphrase is not echoed, the question has no as its default, and y signs."""
    command("bundle", "build", "desk", *model, "--out", "stick")
    words = ("bundle", "sign", "stick", "--key", "me.key")
    code, seen = at_terminal(words, [("passphrase of me.key", PASSPHRASE),
                                     ("sign this bundle?", "")])  # fmt: skip
    assert (code, "nothing was signed" in seen) == (130, True)
    assert PASSPHRASE not in seen
    code, seen = at_terminal(words, [("passphrase of me.key", PASSPHRASE),
                                     ("sign this bundle?", "y")])  # fmt: skip
    assert (code, "is complete" in seen) == (0, True)


def at_terminal(words: tuple[str, ...], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run a command at a terminal of its own; give each answer when its question is seen."""
    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-m", "appliance.cli.main", *words],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen, fresh, waiting = "", "", list(answers)
    while data := _from(ours):
        seen, fresh = seen + data, fresh + data
        if waiting and waiting[0][0] in fresh:
            os.write(ours, f"{waiting.pop(0)[1]}\n".encode())
            fresh = ""
    os.close(ours)
    return program.wait(), seen


def _from(terminal: int) -> str:
    select.select([terminal], [], [])
    try:
        return os.read(terminal, 4096).decode()
    except OSError:
        # Linux says EIO when the program has closed its end.
        return ""


def test_json_errors_are_objects(command: Run) -> None:
    """As with every other command."""
    ended = command("publisher", "show", "nowhere", "--json")
    assert json.loads(ended.err)["error"]["code"] == "not_found"
