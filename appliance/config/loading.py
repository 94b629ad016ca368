"""Where values come from: built-in default, then the file, then variables; later wins.

An unknown section or key is an error, so that a typo cannot quietly leave a default in place.
Not here: which values are refused together (`checks`).
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from appliance.config import checks
from appliance.config.settings import SECTIONS, Config
from appliance.errors import ConfigurationError

SYSTEM_FILE = Path("/etc/appliance/appliance.toml")
ENVIRONMENT_PREFIX = "APPLIANCE_"
# Shorthand that `make run` documents; everything else is APPLIANCE_SECTION__KEY.
SHORTHAND = {"APPLIANCE_PORT": ("gateway", "port")}


def load(
    state: Path, *, file: Path = SYSTEM_FILE, environment: Mapping[str, str] | None = None
) -> Config:
    """Return the checked settings; raise ConfigurationError naming the bad one and its source."""
    config = Config(state=state.absolute(), provenance=_defaults())
    if file.exists():
        config = _apply_all(config, _read(file), str(file))
    for name, text in sorted((os.environ if environment is None else environment).items()):
        place = _variable(name)
        if place is not None:
            section, key = place
            config = _apply(config, section, key, _parse(section, key, text, name), name)
    checks.check(config)
    return config


def _defaults() -> dict[str, str]:
    return {
        f"{section}.{item.name}": "built-in default"
        for section, kind in SECTIONS.items()
        for item in fields(kind)
    }


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: {error}") from error


def _apply_all(config: Config, sections: Mapping[str, Any], source: str) -> Config:
    for section, values in sections.items():
        if not isinstance(values, Mapping):
            raise ConfigurationError(f"{source}: {section} must be a [section]")
        for key, value in values.items():
            config = _apply(config, section, key, value, source)
    return config


def _apply(config: Config, section: str, key: str, value: object, source: str) -> Config:
    kind = _kind(section, key, source)
    if kind is tuple and isinstance(value, list):
        if not all(isinstance(item, str) and item for item in value):
            raise ConfigurationError(f"{source}: {section}.{key} must be a list of texts")
        value = tuple(value)
    # bool is an int to Python; a port of `true` is a mistake all the same.
    if type(value) is not kind:
        raise ConfigurationError(f"{source}: {section}.{key} must be {kind.__name__}")
    return replace(
        config,
        **{
            section: replace(getattr(config, section), **{key: value}),
            "provenance": {**config.provenance, f"{section}.{key}": source},
        },
    )


def _kind(section: str, key: str, source: str) -> type:
    defaults = SECTIONS.get(section)
    if defaults is None or key not in {item.name for item in fields(defaults)}:
        raise ConfigurationError(f"{source}: there is no setting {section}.{key}")
    return type(getattr(defaults(), key))


def _variable(name: str) -> tuple[str, str] | None:
    if name in SHORTHAND:
        return SHORTHAND[name]
    if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
        return None
    section, _, key = name.removeprefix(ENVIRONMENT_PREFIX).partition("__")
    return section.lower(), key.lower()


def _parse(section: str, key: str, text: str, source: str) -> object:
    kind = _kind(section, key, source)
    if kind is bool:
        if text not in {"true", "false"}:
            raise ConfigurationError(f"{source}: must be true or false")
        return text == "true"
    if kind is int:
        try:
            return int(text)
        except ValueError as error:
            raise ConfigurationError(f"{source}: must be a whole number") from error
    return tuple(filter(None, text.split(","))) if kind is tuple else text
