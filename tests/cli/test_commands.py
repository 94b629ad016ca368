"""What each command prints, and what it leaves in the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.test_retention import conversation
from tests.cli.tree import leaves
from tests.simulators.bundle_forge import BundleForge

# What each command that changes something is called with, and what it leaves in the record.
# `{...}` is filled in by the test: a key's id, a bundle, its root and fingerprint.
EVA = ("eva", "--role", "clinician")
CHANGES: dict[str, tuple[list[tuple[str, ...]], tuple[str, ...], str]] = {
    "user add": ([], EVA, "user.add"),
    "user disable": ([("user", "add", *EVA)], ("eva",), "user.disable"),
    "user enable": ([("user", "add", *EVA)], ("eva",), "user.enable"),
    "user unlock": ([("user", "add", *EVA)], ("eva",), "user.unlock"),
    "user reset": ([("user", "add", *EVA)], ("eva",), "user.reset"),
    "key create": ([], ("--user", "demo"), "key.create"),
    "key revoke": ([], ("{key}",), "key.revoke"),
    "trust add": ([], ("acme", "{root}", "--fingerprint", "{fingerprint}"), "publisher.trust"),
    "bundle import": ([("trust", "add", "acme", "{root}", "--fingerprint", "{fingerprint}")],
                      ("{bundle}",), "bundle.import"),
    "model approve": ([], ("{model}",), "model.approve"),
    "model activate": ([], ("demo",), "model.activate"),
    "audit correct": ([], ("2", "--reason", "other"), "record.correct"),
    "retention apply": ([], (), "retention.apply"),
    "retention hold": ([], ("--all", "--reason", "case 1/26"), "content.hold"),
    "retention release": ([], ("{hold}", "--reason", "case 1/26 closed"), "content.release"),
    "retention erase": ([], ("--conversation", "{conversation}", "--basis", "GDPR Art. 17(1)(a)"),
                        "content.erase"),
    "retention rewrap": ([], (), "content.rewrap"),
}  # fmt: skip
# These change nothing, are recorded as one event, or have tests of their own.
READS = {
    "user list", "key list", "trust list", "model list", "model show", "model verify",
    "audit list", "audit verify", "audit export", "audit checkpoint", "audit keys", "audit prove",
    "audit history",
    "config show", "config check", "doctor",
    "retention plan", "retention holds", "retention certificate",
    "retention find", "bundle verify", "bundle inspect",
}  # fmt: skip
# What publishers and models go through is in test_models.py and test_evaluating.py.
MODELS = {
    "trust rotate", "trust revoke", "model rollback", "model retire", "model pin", "model unpin",
    "model release", "model export", "model evaluate", "model validation",
}  # fmt: skip
# A publisher's desk has no record to write into; its commands have tests in test_publisher.py.
DESK = {
    "publisher init", "publisher key", "publisher sign", "publisher rotate", "publisher revoke",
    "publisher record", "publisher show", "bundle build", "bundle sign",
}  # fmt: skip
# The edge's certificate needs a CA; its commands have tests in test_tls.py.
TLS = {"tls request", "tls install", "tls renew", "tls ca", "tls issue", "tls show"}
# `audit anchor` needs somewhere to keep a checkpoint, and the witness has a folder of its own.
ELSEWHERE = {
    "init", "run", "serve", "ask", "audit anchor", "audit witness init", "audit witness serve",
    "audit witness show", "audit witness cosign",
}  # fmt: skip


@pytest.fixture
def values(appliance: Run, state: Path, tmp_path: Path) -> Callable[[str], str]:
    """Fill in what a command line of the walk needs."""

    def fill(word: str) -> str:
        if word == "{key}":
            return str(appliance("key", "create", "--user", "demo", "--json").value["id"])
        if word == "{model}":
            return _import_unapproved(appliance, tmp_path)
        if word == "{hold}":
            words = ("retention", "hold", "--all", "--reason", "case 1/26", "--json")
            return str(appliance(*words).value["id"])
        if word == "{conversation}":
            return conversation(state)
        if word in {"{bundle}", "{root}", "{fingerprint}"}:
            return _bundle(tmp_path)[word]
        return word

    return fill


def _bundle(folder: Path) -> dict[str, str]:
    import hashlib

    if not (folder / "desk").exists():
        BundleForge(folder / "desk").good("bundle")
    bundle = folder / "desk" / "bundle"
    root = bundle / "metadata" / "1.root.json"
    digest = hashlib.sha256(root.read_bytes()).hexdigest()
    return {"{bundle}": str(bundle), "{root}": str(root), "{fingerprint}": digest}


def _import_unapproved(appliance: Run, folder: Path) -> str:
    """Import a model as somebody else, so that this person may approve it."""
    import appliance.cli.bundle as bundle
    from appliance.identity.permissions import Actor
    from appliance.identity.roles import Role

    words = _bundle(folder)
    appliance("trust", "add", "acme", words["{root}"], "--fingerprint", words["{fingerprint}"])
    somebody = Actor("os:somebody", "somebody", Role.CONSOLE, "console", source="console")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "console_actor", lambda: somebody)
        assert appliance("bundle", "import", words["{bundle}"]).code == 0
    return "tiny"


def test_every_command_is_on_one_of_the_lists() -> None:
    """A new command must say whether it changes something, and then be walked."""
    assert {" ".join(path) for path in leaves()} == (
        set(CHANGES) | READS | MODELS | DESK | TLS | ELSEWHERE
    )


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_leaves_an_intent_and_an_outcome(
    appliance: Run, values: Callable[[str], str], name: str
) -> None:
    """Every command that changes something is recorded before and after, under a person's name."""
    before, words, action = CHANGES[name]
    for command in before:
        assert appliance(*map(values, command)).code == 0
    filled = [values(word) for word in words]
    ended = appliance(*name.split(), *filled)
    assert ended.code == 0, ended.err
    entries = appliance("audit", "list", "--action", action, "--json").value["entries"]
    assert [entry["outcome"] for entry in entries[-2:]] == ["intent", "success"]
    assert entries[-1]["agent"]["user"].startswith("os:")


def test_key_create_prints_exactly_id_and_key(appliance: Run) -> None:
    """Scripts rely on these two fields and no others."""
    value = appliance("key", "create", "--user", "demo", "--json").value
    assert set(value) == {"id", "key"}
    assert value["key"].startswith("apl_")


def test_a_first_password_is_printed_once_and_not_stored(appliance: Run, state: Path) -> None:
    """No file under the state folder holds the password that was shown."""
    password = appliance("user", "add", *EVA, "--json").value["password"]
    files = [path for path in state.rglob("*") if path.is_file()]
    assert not [path for path in files if password.encode() in path.read_bytes()]


def test_user_list_says_who_must_change_a_password(appliance: Run) -> None:
    """The state of an account stands in words."""
    appliance("user", "add", *EVA)
    states = {item["name"]: item["state"] for item in appliance("user", "list", "--json").value}
    assert states == {"admin": "active", "demo": "active", "eva": "must change password"}


def test_model_list_labels_the_demo(appliance: Run) -> None:
    """Nobody can take the demo for a model that may be used for care."""
    assert "demo (synthetic, not for care)" in appliance("model", "list").out


def test_the_importer_cannot_approve(appliance: Run, tmp_path: Path) -> None:
    """Two people agree on a model: whoever imported it is refused."""
    words = _bundle(tmp_path)
    appliance("trust", "add", "acme", words["{root}"], "--fingerprint", words["{fingerprint}"])
    appliance("bundle", "import", words["{bundle}"])
    ended = appliance("model", "approve", "tiny")
    assert ended.code == 1
    assert "whoever imported a model cannot approve it" in ended.err


def test_a_wrong_fingerprint_is_a_failed_verification(appliance: Run, tmp_path: Path) -> None:
    """A root that is not the one on paper is refused with exit code 3."""
    root = _bundle(tmp_path)["{root}"]
    assert appliance("trust", "add", "acme", root, "--fingerprint", "00" * 32).code == 3


def test_trust_add_needs_a_fingerprint_where_nobody_can_type(
    appliance: Run, tmp_path: Path
) -> None:
    """Without a terminal and without --fingerprint nothing is trusted."""
    ended = appliance("trust", "add", "acme", _bundle(tmp_path)["{root}"])
    assert ended.code == 2
    assert len(appliance("trust", "list", "--json").value) == 1


def test_a_damaged_model_is_found_and_quarantined(appliance: Run, state: Path) -> None:
    """Weights that were altered are exit 3, and no engine may load them again."""
    weights = next((state / "models").glob("*.gguf"))
    weights.chmod(0o600)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert appliance("model", "verify", "demo").code == 3
    assert appliance("model", "list", "--json").value[0]["state"] == "quarantined"


def test_config_show_says_where_a_value_came_from(
    appliance: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each setting names the variable or file that set it."""
    monkeypatch.setenv("APPLIANCE_PORT", "8099")
    shown: dict[str, Any] = {
        item["setting"]: item for item in appliance("config", "show", "--json").value
    }
    assert shown["gateway.port"] == {
        "setting": "gateway.port", "value": 8099, "source": "APPLIANCE_PORT",
    }  # fmt: skip


def test_config_check_names_the_bad_setting(
    appliance: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A typo in a variable is found before it matters."""
    monkeypatch.setenv("APPLIANCE_GATEWAY__PROT", "8099")
    ended = appliance("config", "check")
    assert ended.code == 1
    assert "APPLIANCE_GATEWAY__PROT: there is no setting gateway.prot" in ended.err


def test_init_prints_credentials_once(tmp_path: Path, demo_folder: Path, appliance: Run) -> None:
    """The first start shows two people and their passwords, in a form that scripts can read."""
    fresh = str(tmp_path / "fresh")
    ended = appliance("init", "--state", fresh, "--demo", str(demo_folder), "--json")
    assert [item["name"] for item in ended.value["credentials"]] == ["demo", "admin"]
    again = appliance("init", "--state", fresh)
    assert again.code == 1
    assert "is in use already" in again.err


def test_json_is_one_document(appliance: Run) -> None:
    """Everything that prints data prints one JSON document on stdout and nothing else."""
    for words in (("user", "list"), ("key", "list"), ("model", "list"), ("trust", "list"),
                  ("config", "show"), ("audit", "list"), ("audit", "verify")):  # fmt: skip
        json.loads(appliance(*words, "--json").out)
