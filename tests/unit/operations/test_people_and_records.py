"""Each role does only what it needs, and every change leaves an intent and an outcome."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.assembly import Appliance, assemble
from appliance.audit.query import Query
from appliance.cli.actor import console_actor
from appliance.errors import (
    BadInputError,
    ConflictError,
    ForbiddenError,
    LockedOutError,
    NotFoundError,
    NotSignedInError,
    VerificationError,
)
from appliance.identity.permissions import Actor
from appliance.identity.roles import Role
from appliance.operations import Operations, operations_for
from appliance.operations.recording import Recorder
from appliance.operations.refusals import Refusals
from appliance.operations.sessions import anonymous
from tests.simulators.manual_clock import ManualClock
from tests.simulators.stack import APPLIANCE
from tests.unit.operations.asked import unanswered
from tests.unit.operations.conftest import actor, make_state

Entries = Callable[..., list[dict[str, Any]]]
NAMES = iter(f"person{number}" for number in range(1000))


def account(operations: Operations, role: str = "clinician") -> tuple[str, str]:
    """Make an account at the console; return its name and first password."""
    name = next(NAMES)
    _, password = operations.people.add_user(console_actor(), name, role)
    return name, password


def test_adding_an_account_leaves_an_intent_and_an_outcome(
    operations: Operations, entries: Entries
) -> None:
    """The outcome names the account by id; no name or password stands in the record."""
    name, password = account(operations)
    intent, outcome = entries(action="user.add")[-2:]
    assert (intent["outcome"], outcome["outcome"]) == ("intent", "success")
    assert outcome["entity"].startswith("usr_")
    assert name not in str(outcome)
    assert password not in str(outcome)


def test_signing_in_and_out(operations: Operations, entries: Entries) -> None:
    """A session works until it is closed, and both ends are recorded."""
    name, password = account(operations)
    signed = operations.sessions.sign_in(name, password, "10.0.0.7")
    found, _ = operations.sessions.authenticate(signed.token, "10.0.0.7")
    assert found.user == signed.user.id
    operations.sessions.sign_out(found, signed.token)
    with pytest.raises(NotSignedInError):
        operations.sessions.authenticate(signed.token, "10.0.0.7")
    actions = [entry["action"] for entry in entries(user=signed.user.id, source="10.0.0.7")]
    assert actions == ["session.open"] * 2 + ["session.close"] * 2


def test_guessing_locks_the_account_for_the_right_password_too(
    operations: Operations, entries: Entries
) -> None:
    """After five wrong passwords the right one is refused, and an administrator can unlock."""
    name, password = account(operations)
    for number in range(5):
        with pytest.raises(NotSignedInError):
            operations.sessions.sign_in(name, f"wrong {number}", f"10.1.0.{number}")
    with pytest.raises(LockedOutError):
        operations.sessions.sign_in(name, password, "10.1.0.9")
    assert entries(action="session.lock")[-1]["content"]["seconds"] > 0
    operations.people.unlock_user(actor(Role.ADMINISTRATOR, "admin2"), name)
    assert operations.sessions.sign_in(name, password, "10.1.0.9").user.name == name


def test_unknown_wrong_and_disabled_look_the_same(operations: Operations) -> None:
    """Nobody learns from the message which accounts exist."""
    name, password = account(operations)
    disabled, right = account(operations)
    operations.people.disable_user(console_actor(), disabled)
    messages = set()
    for tried, secret in ((name, "wrong"), ("nobody-here", password), (disabled, right)):
        with pytest.raises(NotSignedInError) as error:
            operations.sessions.sign_in(tried, secret, "10.2.0.1")
        messages.add((error.value.message, error.value.hint))
    assert len(messages) == 1


def test_a_disabled_account_is_out_at_once(operations: Operations) -> None:
    """Its open session and its API key stop working with the next request."""
    name, password = account(operations)
    signed = operations.sessions.sign_in(name, password, "10.3.0.1")
    _, key = operations.people.create_key(signed.actor, name, "laptop")
    assert operations.sessions.authenticate_key(key, "10.3.0.1").user == signed.user.id
    operations.people.disable_user(console_actor(), name)
    with pytest.raises(NotSignedInError):
        operations.sessions.authenticate(signed.token, "10.3.0.1")
    with pytest.raises(NotSignedInError):
        operations.sessions.authenticate_key(key, "10.3.0.1")


def test_a_revoked_key_is_dead_and_only_its_owner_or_an_administrator_revokes(
    operations: Operations,
) -> None:
    """A colleague cannot end my key; I can."""
    name, password = account(operations)
    mine = operations.sessions.sign_in(name, password, "10.4.0.1").actor
    key, secret = operations.people.create_key(mine, name, "laptop")
    with pytest.raises(ForbiddenError):
        operations.people.revoke_key(actor(Role.CLINICIAN, "colleague"), key.id)
    operations.people.revoke_key(mine, key.id)
    with pytest.raises(NotSignedInError):
        operations.sessions.authenticate_key(secret, "10.4.0.1")


def test_nobody_makes_a_key_for_a_colleague_in_the_browser(operations: Operations) -> None:
    """A clinician's key belongs to the clinician."""
    name, _ = account(operations)
    with pytest.raises(ForbiddenError):
        operations.people.create_key(actor(Role.CLINICIAN, "colleague"), name, "x")


@pytest.mark.parametrize("days", [0, -1, 91])
def test_a_key_cannot_live_longer_than_the_site_allows(operations: Operations, days: int) -> None:
    """Ninety days by default, and at least one."""
    name, _ = account(operations)
    with pytest.raises(BadInputError):
        operations.people.create_key(console_actor(), name, "x", days)


def test_an_administrator_reads_no_content_and_no_record(
    operations: Operations, appliance: Appliance, clinician: Actor
) -> None:
    """Neither a conversation nor the record opens for the administrator."""
    conversation, _ = unanswered(appliance, clinician)
    admin = actor(Role.ADMINISTRATOR, "admin3")
    with pytest.raises(ForbiddenError):
        operations.chats.open(admin, conversation)
    for attempt in (
        lambda: operations.records.search(admin, Query()),
        lambda: operations.records.verify(admin),
        lambda: operations.records.export(admin, "csv", Query()),
    ):
        with pytest.raises(ForbiddenError):
            attempt()


def test_a_colleague_does_not_find_my_conversation(
    operations: Operations, appliance: Appliance, clinician: Actor, entries: Entries
) -> None:
    """It is not found rather than forbidden, and the attempt is recorded."""
    conversation, _ = unanswered(appliance, clinician)
    with pytest.raises(NotFoundError):
        operations.chats.open(actor(Role.CLINICIAN, "curious"), conversation)
    assert entries(user="usr_curious", entity=conversation)[-1]["outcome"] == "refused"


def test_reading_the_record_is_itself_recorded(operations: Operations, entries: Entries) -> None:
    """Search, verification and export by an auditor each leave an entry with the filters."""
    auditor = actor(Role.AUDITOR, "auditor1")
    operations.records.search(auditor, Query(action="user.add"))
    operations.records.verify(auditor)
    list(operations.records.export(auditor, "ndjson", Query(limit=5)))
    seen = [(entry["action"], entry["outcome"]) for entry in entries(user=auditor.user)]
    assert seen == [
        ("record.read", "success"),
        ("record.verify", "success"),
        ("record.export", "intent"),
        ("record.export", "success"),
    ]


def test_whoever_imports_a_model_cannot_approve_it(
    operations: Operations, appliance: Appliance
) -> None:
    """Two people stand behind every model that answers."""
    model = appliance.library.by_name("tiny")
    importer = Actor(
        user=model.imported_by, name="s", role=Role.APPROVER, method="password",
        credential=None, source=None,
    )  # fmt: skip
    with pytest.raises(ForbiddenError):
        operations.models.approve(importer, "tiny")


def test_weights_that_changed_on_disk_are_named_and_quarantined(tmp_path: Path) -> None:
    """Activating or checking such a model fails, the record says so, nothing is active any more."""
    config = make_state(tmp_path)
    parts = assemble(config)
    verbs = operations_for(parts)
    model = parts.library.by_name("tiny")
    path = parts.library.path_of(model.digest)
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(VerificationError):
        verbs.models.verify(actor(Role.APPROVER, "approver"), "tiny")
    found = parts.ledger.search(Query(action="model.quarantine")).entries
    assert [entry["outcome"] for entry in found] == ["success", "intent"]
    assert parts.library.by_name("tiny").state == "quarantined"
    assert not (config.paths.library / "active.json").exists()
    parts.close()


def test_what_the_engine_loaded_is_recorded_once(operations: Operations, entries: Entries) -> None:
    """The record names the weights that answer, by digest."""
    before = len(entries(action="model.load"))
    for _ in range(3):
        operations.activation.note_loading()
    loads = entries(action="model.load")
    assert len(loads) == before + 1
    assert loads[-1]["outcome"] == "success"
    assert loads[-1]["model"]["digest"] == operations.appliance.engine.status().digest


def test_a_password_is_changed_by_who_knows_the_old_one(operations: Operations) -> None:
    """A wrong old password, a weak new one and the old one again are refused."""
    name, password = account(operations)
    signed = operations.sessions.sign_in(name, password, "10.5.0.1")
    for old, new in (
        (f"{password}x", "correct horse battery"),
        (password, "short"),
        (password,) * 2,
    ):
        with pytest.raises((ForbiddenError, BadInputError)):
            operations.people.change_password(signed.actor, old, new)
    operations.people.change_password(signed.actor, password, "correct horse battery")
    assert operations.sessions.sign_in(name, "correct horse battery", "10.5.0.1")


def test_a_flood_of_refusals_is_counted_not_written_out(
    appliance: Appliance, entries: Entries
) -> None:
    """Beyond 120 a minute from one stranger, the record holds their number."""
    clock = ManualClock()
    meter = Refusals(Recorder(appliance.ledger), clock)
    error = NotSignedInError("no")
    for _ in range(200):
        meter.note(anonymous("10.6.0.1"), "session.refuse", error)
    meter.note(anonymous("10.6.0.2"), "session.refuse", error)
    assert len(entries(source="10.6.0.1", limit=1000)) == 120
    clock.advance(61)
    meter.note(anonymous("10.6.0.1"), "session.refuse", error)
    counted = entries(user="system:gateway", action="request.refuse")[-1]
    assert counted["content"] == {
        "address": "10.6.0.1", "code": "repeated", "count": 80, "person": "anonymous",
    }  # fmt: skip
    assert len(entries(source="10.6.0.1", limit=1000)) == 121


def test_an_administrator_cannot_make_a_key_in_a_clinicians_name(operations: Operations) -> None:
    """With such a key they could ask as that person."""
    name, _ = account(operations)
    with pytest.raises(ForbiddenError):
        operations.people.create_key(actor(Role.ADMINISTRATOR, "admin4"), name, "x")


def test_typed_text_does_not_enter_the_record(operations: Operations, entries: Entries) -> None:
    """Neither an address nor an auditor's search can put a name where it stays for ever."""
    curious, auditor = actor(Role.CLINICIAN, "c7"), actor(Role.AUDITOR, "auditor7")
    with pytest.raises(NotFoundError):
        operations.chats.open(curious, "Mrs Smith has HIV")
    with pytest.raises(ForbiddenError):
        operations.people.revoke_key(curious, "Mrs Smith has HIV")
    operations.records.search(auditor, Query(text="Smith", user="Smith", action="user.add"))
    written = entries(user=curious.user) + entries(user=auditor.user)
    assert "Smith" not in str(written)
    assert written[-1]["content"]["filters"]["action"] == "user.add"


def test_guesses_at_an_unlocked_screen_lock_the_account(operations: Operations) -> None:
    """Changing a password counts wrong old ones like the door does."""
    name, password = account(operations)
    mine = operations.sessions.sign_in(name, password, "10.7.0.1").actor
    for number in range(5):
        with pytest.raises(ForbiddenError):
            operations.people.change_password(mine, f"wrong {number}", "correct horse battery")
    with pytest.raises(LockedOutError):
        operations.people.change_password(mine, password, "correct horse battery")


def test_a_reset_password_ends_the_keys_too(operations: Operations) -> None:
    """Whoever had the old password may have made them."""
    name, password = account(operations)
    mine = operations.sessions.sign_in(name, password, "10.8.0.1").actor
    _, key = operations.people.create_key(mine, name, "laptop")
    operations.people.reset_password(console_actor(), name)
    with pytest.raises(NotSignedInError):
        operations.sessions.authenticate_key(key, "10.8.0.1")


def test_the_last_administrator_cannot_be_disabled(
    operations: Operations, appliance: Appliance
) -> None:
    """Somebody must be able to let people in."""
    admins = [user for user in appliance.people.list() if user.role == Role.ADMINISTRATOR]
    assert [user.name for user in admins if not user.disabled] == ["admin"]
    with pytest.raises(ConflictError):
        operations.people.disable_user(console_actor(), "admin")


def test_a_weak_new_password_is_no_guess(operations: Operations) -> None:
    """Whoever knows the old one may choose badly as often as they like."""
    name, password = account(operations)
    mine = operations.sessions.sign_in(name, password, "10.9.0.1").actor
    for _ in range(7):
        with pytest.raises(BadInputError):
            operations.people.change_password(mine, password, "short")
    operations.people.change_password(mine, password, "correct horse battery")


def test_bad_keys_lock_nobody_out(operations: Operations) -> None:
    """A program with an old key does not stop the ward that shares its address."""
    name, password = account(operations)
    for _ in range(60):
        with pytest.raises(NotSignedInError):
            operations.sessions.authenticate_key("apl_bad", "10.9.0.2")
    assert operations.sessions.sign_in(name, password, "10.9.0.2").user.name == name


def test_a_mounted_volume_can_hold_the_state(tmp_path: Path) -> None:
    """Every container's volume is a mount point, which cannot be replaced by a rename."""
    script = (
        "mount -t tmpfs -o size=24m tmpfs $1 && mkdir $1/lost+found && "
        "$2 --state $1 init >/dev/null && $2 --state $1 audit verify && stat -c %a $1"
    )
    command = ["unshare", "-rm", "sh", "-ec", script, "sh", str(tmp_path), str(APPLIANCE)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mount" in made.stderr and "permission denied" in made.stderr:
        pytest.skip("a small disk cannot be mounted here: " + made.stderr.strip())
    assert made.returncode == 0, made.stderr
    assert "whole" in made.stdout
    assert made.stdout.endswith("700\n")
