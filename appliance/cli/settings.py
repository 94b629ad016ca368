"""`appliance config`: every setting and where it came from."""

from __future__ import annotations

from dataclasses import fields

from appliance.cli import presenting
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.config import SECTIONS, SYSTEM_FILE, Config

DEFAULT = "built-in default"


@noun("config")
def config() -> None:
    """Look at the settings.

    They are changed in a file or by variables, never from here.

    \b
    Order, later wins:
      built-in default
      /etc/appliance/appliance.toml
      APPLIANCE_SECTION__KEY, for example APPLIANCE_GATEWAY__PORT=8081
    """


@config.command("show")
@json_option
@pass_invocation
def show(invocation: Invocation) -> None:
    """Print every setting, its value, and where the value came from.

    \b
    Example:
      appliance config show
    """
    rows = list(_rows(invocation))
    invocation.present(
        [{"setting": name, "value": value, "source": source} for name, value, source in rows],
        lambda: presenting.table(("setting", "value", "source"), [_shown(row) for row in rows]),
    )


@config.command("check")
@json_option
@pass_invocation
def check(invocation: Invocation) -> None:
    """Say whether the settings are sound; exit 1 and name the bad one if not.

    \b
    Example:
      appliance config check
    """
    rows = list(_rows(invocation))
    changed = [name for name, _, source in rows if source != DEFAULT]
    file = str(SYSTEM_FILE) if SYSTEM_FILE.exists() else None

    def people() -> None:
        presenting.say(f"sound: {len(rows)} settings, {len(changed)} of them not the default")
        if file is None:
            presenting.remark(f"there is no {SYSTEM_FILE}, which is no fault")

    invocation.present({"sound": True, "changed": changed, "file": file}, people)


def _rows(invocation: Invocation) -> list[tuple[str, object, str]]:
    settings = invocation.config
    rows: list[tuple[str, object, str]] = [("state", str(settings.state), invocation.state_source)]
    for section, kind in SECTIONS.items():
        for item in fields(kind):
            name = f"{section}.{item.name}"
            rows.append((name, _value(settings, section, item.name), settings.provenance[name]))
    return rows


def _value(settings: Config, section: str, key: str) -> object:
    value = getattr(getattr(settings, section), key)
    return list(value) if isinstance(value, tuple) else value


def _shown(row: tuple[str, object, str]) -> tuple[str, object, str]:
    name, value, source = row
    # In their order: the first purpose of a list may be meant first.
    return name, ", ".join(map(str, value)) if isinstance(value, list) else value, source
