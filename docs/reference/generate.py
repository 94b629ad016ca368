"""Write the reference pages that the program itself knows best.

Run from the repository's root: `.venv/bin/python docs/reference/generate.py`, or with
`--check` to learn whether they are up to date. A test compares
what this returns with what is committed, so a page cannot fall behind the program.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from runpy import run_path

import click

import appliance
from appliance import config
from appliance.cli import errors as cli_errors
from appliance.cli.main import appliance as top_level
from appliance.errors import ApplianceError
from appliance.web import errors as web_errors

HERE = Path(__file__).resolve().parent
WIDTH = 88
NOTE = "<!-- Made by docs/reference/generate.py. Change the program, then run it again. -->\n"

# One line for each setting; a setting without one fails the test.
MEANING = {
    "site.name": "Name of the site; part of the record's name.",
    "site.banner": "A line shown on top of every page. Empty: none.",
    "gateway.host": "Address to listen on. Anything but loopback needs `gateway.behind_tls`.",
    "gateway.port": "Port to listen on.",
    "gateway.names": "further host names under which browsers may call it",
    "gateway.threads": "Requests served at once; a watched answer holds one.",
    "gateway.behind_tls": "A TLS edge stands in front, so other addresses than loopback are safe.",
    "gateway.max_body_bytes": "Largest request, in bytes.",
    "gateway.session_idle_s": "A session ends after so many seconds without use.",
    "gateway.session_absolute_s": "A session ends after so many seconds in any case.",
    "gateway.lockout_failures": "Wrong passwords in a row that lock an account.",
    "gateway.lockout_s": "For how many seconds it is locked.",
    "gateway.api_key_days": "Longest life of an API key, in days, and the default.",
    "engine.kind": "Who answers: `llama` (processes of its own), `ollama` or `openai` (a server).",
    "engine.url": "Address of that server, inside the site: `http://HOST:PORT`. None for `llama`.",
    "engine.threads": "Processor threads of the model. 0: as many as this machine has cores.",
    "engine.slots": "Answers written at once. 0: 16 without a GPU, 32 with one, fewer if need be.",
    "engine.pool_tokens": "Tokens held for all answers together. 0: as many as memory allows.",
    "engine.gpu_layers": "Layers of the model on the GPU. -1: as many as fit; 0: none.",
    "engine.gpu_split": "Shares of several GPUs, such as `3,1`. Empty: by their free memory.",
    "engine.flash_attention": "`auto`, `on` or `off`. `auto`: wherever the model can use it.",
    "engine.cache_type": "How tokens are held: `f16`, `q8_0` or `q4_0`, the last in least memory. "
    "`auto`: `f16`, and `q8_0` where memory is short.",
    "engine.probe_every_s": "A token is written as a test every so many seconds.",
    "engine.context_tokens": "Most tokens of one question with its answer. 0: as many as the model "
    "offers.",
    "engine.max_answer_tokens": "Longest answer, in tokens.",
    "engine.answer_timeout_s": "An answer is ended after so many seconds.",
    "engine.temperature_percent": "Temperature in hundredths. 0: always the likeliest word.",
    "engine.drain_s": "A model that was replaced may finish its answers for so many seconds.",
    "engine.socket_folder": "Where its sockets lie, open to its group. Empty: in the state folder.",
    "ledger.reserve_bytes": "Room kept so that a full disk can still be recorded, in bytes.",
    "ledger.max_group": "Most entries written to disk in one go.",
    "ledger.anchor_console": "The ledger prints its checkpoints, at most one a minute, for whoever "
    "keeps its output; that somebody took them is not known. See how-to.",
    "ledger.anchor_folders": "Folders that get a checkpoint each day, and that the record is "
    "checked against, by commas.",
    "ledger.anchor_syslog": "Log collector that gets one: `tls://HOST:PORT` or `tcp://HOST:PORT`.",
    "ledger.anchor_ca": "PEM file of the certificates that vouch for collector and witness.",
    "ledger.anchor_cert": "PEM file of the certificate that the collector asks us for, if it does.",
    "ledger.anchor_key": "PEM file of its key.",
    "ledger.anchor_witness": "Address of a witness that co-signs one each day: `http://HOST:PORT`.",
    "ledger.witness_key": "The witness's verifier key; no other signature is taken for its own.",
    "ledger.socket_folder": "Where its sockets lie, open to its group. Empty: in the state folder.",
    "policy.system_prompt": "What every model is told first.",
    "policy.purposes": "Purposes of use that a question may state, separated by commas.",
    "policy.default_purpose": "The purpose of a question that states none.",
    "retention.content_days": "Days that chats are kept after their last use. 0: for ever.",
    "retention.api_days": "Days that programs' questions and answers are kept. 0: for ever.",
    "airgap.role": "Which part of the stack this is: `edge`, `gateway`, `ledger`, `engine` or "
    "`host`. Empty: none. The gateway of a stack looks for a way out every day.",
    "retention.metadata_years": "Years that entries of the record are kept. 0: for ever.",
    "policy.record_purposes": "Purposes that whoever reads the record may state, by commas.",
}


COMMAND_LINE = """\
# Command line

Every command takes `--state DIR`, before or after its name; `APPLIANCE_STATE` says it for all.
Commands that print data take `--json`. Data goes to standard output, remarks and errors to
standard error.
"""

CONFIGURATION = """\
# Configuration

Later wins: built-in default, then `/etc/appliance/appliance.toml`, then a variable. An unknown
name is an error, and so is a value of the wrong type or out of range. `appliance config show`
prints each value and where it came from; `appliance config check` says whether they are sound.
A secret is never a setting.

In the file, a section stands in brackets:

```toml
[gateway]
port = 8081

[policy]
purposes = ["treatment", "test"]
```

`APPLIANCE_PORT` is short for `APPLIANCE_GATEWAY__PORT`. The state folder is no setting: it is
named by `--state` or `APPLIANCE_STATE`. A running appliance reads its settings when it starts.
"""

ERRORS = """\
# Exit codes and errors

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | refused or failed; nothing was changed |
| 2 | wrong usage |
| 3 | verification failed: tampering, or a bad signature |
| 4 | not available: a part is down, or the disk is full |
| 130 | stopped by Ctrl+C |

An error has two lines on standard error: `error:` says what happened, `next:` what to do. With
`--json` it is one JSON object instead:

```json
{"error": {"code": "not_found", "message": "...", "next": "..."}}
```

The code is stable: scripts may rely on it. For `record_tampered` the object also has `entry`,
the number of the first bad entry. Three codes belong to the command line alone: `usage`
(exit 2), `machine` (the operating system refused a file, exit 1) and `internal` (a fault of
ours, exit 1).

| code | exit code | HTTP status | what it means | what to do next |
|---|---|---|---|---|
"""


def pages() -> dict[Path, str]:
    """Return every generated page by its path."""
    sizing = run_path(str(HERE / "sizing.py"))
    return {
        sizing["PAGE"]: sizing["page"](),
        HERE / "command-line.md": command_line(),
        HERE / "configuration.md": configuration(),
        HERE / "exit-codes-and-errors.md": exit_codes_and_errors(),
    }


def command_line() -> str:
    parts = [NOTE, COMMAND_LINE]
    for path, _command in commands(top_level, ("appliance",)):
        parts += [f"{'#' * (len(path) + 1)} {' '.join(path)}\n", f"```text\n{help_of(path)}\n```\n"]
    return "\n".join(parts)


def commands(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each noun and command with the words that lead to it."""
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as ctx:
            for name in command.list_commands(ctx):
                found = command.get_command(ctx, name)
                if found is not None and not found.hidden:
                    yield from commands(found, (*path, name))


def help_of(path: tuple[str, ...]) -> str:
    """Return what `--help` prints for these words, at a fixed width."""
    ctx = click.Context(
        top_level, info_name=path[0], terminal_width=WIDTH, **top_level.context_settings
    )
    command: click.Command = top_level
    for word in path[1:]:
        found = command.get_command(ctx, word) if isinstance(command, click.Group) else None
        if found is None:
            raise LookupError(" ".join(path))
        command = found
        ctx = click.Context(command, info_name=word, parent=ctx, **command.context_settings)
    return command.get_help(ctx)


def configuration() -> str:
    lines = [NOTE, CONFIGURATION]
    for section, kind in config.SECTIONS.items():
        lines += [
            f"## {section}\n",
            "| setting | default | variable | meaning |",
            "|---|---|---|---|",
        ]
        for item in fields(kind):
            name = f"{section}.{item.name}"
            variable = f"APPLIANCE_{section}__{item.name}".upper()
            default = _default(getattr(kind(), item.name))
            lines.append(f"| `{name}` | {default} | `{variable}` | {MEANING[name]} |")
        lines.append("")
    return "\n".join(lines)


def _default(value: object) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value}`" if value != "" else "(empty)"


def exit_codes_and_errors() -> str:
    lines = []
    with_code = (kind for kind in error_classes() if "code" in vars(kind))
    for kind in sorted(with_code, key=lambda found: found.code):
        status = web_errors.STATUS.get(kind, 500)
        meaning = (kind.__doc__ or "").splitlines()[0]
        code = cli_errors.exit_code_of_class(kind)
        lines.append(f"| `{kind.code}` | {code} | {status} | {meaning} | {kind.hint} |")
    return f"{NOTE}\n{ERRORS}" + "\n".join(lines) + "\n"


def error_classes() -> set[type[ApplianceError]]:
    """Return every error class there is, after loading every module."""
    for module in walk_packages(appliance.__path__, "appliance."):
        if "migrations" not in module.name:
            import_module(module.name)
    found: set[type[ApplianceError]] = set()
    waiting: list[type[ApplianceError]] = [ApplianceError]
    while waiting:
        kind = waiting.pop()
        if kind not in found and kind.__module__.startswith("appliance."):
            found.add(kind)
            waiting += kind.__subclasses__()
    return found


def main(words: list[str]) -> int:
    """Write every page, or with --check name those that fell behind; return an exit code."""
    stale = [page for page, text in pages().items() if _present(page) != text]
    if "--check" in words:
        for page in stale:
            print(f"{page} is not what the program says; run docs/reference/generate.py")
        return 1 if stale else 0
    for page in stale:
        page.write_text(pages()[page], encoding="utf-8")
        print(f"wrote {page}")
    return 0


def _present(page: Path) -> str:
    return page.read_text(encoding="utf-8") if page.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
