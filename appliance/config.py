"""Typed settings: built-in defaults < /etc/appliance/appliance.toml < APPLIANCE_SECTION__KEY.

An unknown section or key is an error, so that a typo cannot quietly leave a default in place.
A secret is never a setting, only ever a path to a file. `provenance` says for every value where
it came from.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from appliance.errors import ConfigurationError

SYSTEM_FILE = Path("/etc/appliance/appliance.toml")
ENVIRONMENT_PREFIX = "APPLIANCE_"
# Shorthand that `make run` documents; everything else is APPLIANCE_SECTION__KEY.
SHORTHAND = {"APPLIANCE_PORT": ("gateway", "port")}
COLLECTOR = re.compile(r"(tcp|tls)://[^\s/@]+:\d{1,5}")
WITNESS = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?")
VERIFIER_KEY = re.compile(r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{40,48}")
RECORD_PURPOSE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

DEFAULT_SYSTEM_PROMPT = (
    "You are a careful assistant for clinical staff. "
    "Use only the facts you are given, and say when you do not know."
)


@dataclass(frozen=True)
class Site:
    """Which site this is; the name is part of every log entry."""

    name: str = "hospital"
    banner: str = ""


@dataclass(frozen=True)
class Gateway:
    """The web server: addresses, limits in bytes, times in seconds.

    `names` are further host names under which browsers may call it, such as the edge's.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    names: tuple[str, ...] = ()
    threads: int = 32
    behind_tls: bool = False
    max_body_bytes: int = 1_048_576
    session_idle_s: int = 600
    session_absolute_s: int = 43_200
    lockout_failures: int = 5
    lockout_s: int = 900
    api_key_days: int = 90


@dataclass(frozen=True)
class Engine:
    """Where answers come from. 0, -1 and `auto` mean: by what machine and model offer.

    `kind` is `llama` (processes of our own), `ollama` or `openai` (a server at `url`).
    `slots`: answers written at once; `pool_tokens`: held in memory for all of them together;
    `context_tokens`: at most for one. `gpu_layers` -1: as many as fit; `gpu_split`: shares of
    several GPUs, such as `3,1`. `probe_every_s`: how often a token is written as a test.
    `drain_s`: a model that was replaced may finish answers for so long.
    """

    kind: str = "llama"
    url: str = ""
    threads: int = 0
    slots: int = 0
    pool_tokens: int = 0
    gpu_layers: int = -1
    gpu_split: str = ""
    flash_attention: str = "auto"
    cache_type: str = "auto"
    probe_every_s: int = 60
    context_tokens: int = 0
    max_answer_tokens: int = 1024
    answer_timeout_s: int = 300
    temperature_percent: int = 0
    drain_s: int = 600


@dataclass(frozen=True)
class Ledger:
    """The record's process: room kept for the last words on a full disk, largest group.

    `anchor_*` say where its checkpoints are also kept, once a day; empty means nowhere.
    """

    reserve_bytes: int = 4_194_304
    max_group: int = 512
    anchor_folders: tuple[str, ...] = ()
    anchor_syslog: str = ""
    anchor_ca: str = ""
    anchor_cert: str = ""
    anchor_key: str = ""
    anchor_witness: str = ""
    witness_key: str = ""


@dataclass(frozen=True)
class Policy:
    """What is said to every model; the purposes that a question and a reading may state."""

    system_prompt: str = DEFAULT_SYSTEM_PROMPT
    purposes: tuple[str, ...] = ("treatment", "operations", "education", "test")
    default_purpose: str = "treatment"
    # Why somebody reads the record; a privacy officer states one each time.
    record_purposes: tuple[str, ...] = (
        "complaint", "incident", "subject-access", "routine-review",
    )  # fmt: skip


@dataclass(frozen=True)
class Retention:
    """How long is kept: content in days after its last use, entries in years. 0: for ever."""

    content_days: int = 365
    api_days: int = 90
    metadata_years: int = 6


@dataclass(frozen=True)
class Config:
    """Every setting, and for each `section.key` the place it came from."""

    state: Path
    site: Site = field(default_factory=Site)
    gateway: Gateway = field(default_factory=Gateway)
    engine: Engine = field(default_factory=Engine)
    ledger: Ledger = field(default_factory=Ledger)
    policy: Policy = field(default_factory=Policy)
    retention: Retention = field(default_factory=Retention)
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> Paths:
        return Paths(self.state)


@dataclass(frozen=True)
class Paths:
    """Where things lie inside the state folder (0700)."""

    state: Path

    @property
    def audit_db(self) -> Path:
        return self.state / "audit.db"

    @property
    def appliance_db(self) -> Path:
        return self.state / "appliance.db"

    @property
    def keys_db(self) -> Path:
        return self.state / "keys.db"

    @property
    def content_key(self) -> Path:
        return self.state / "keys" / "content.key"

    @property
    def content_lock(self) -> Path:
        return self.run / "content.lock"

    @property
    def library(self) -> Path:
        return self.state / "models"

    @property
    def trust(self) -> Path:
        return self.state / "trust"

    @property
    def staging(self) -> Path:
        return self.state / "staging"

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def supervisor_lock(self) -> Path:
        return self.run / "run.lock"

    @property
    def ledger_socket(self) -> Path:
        return self.run / "ledger.sock"

    @property
    def engine_socket(self) -> Path:
        return self.run / "engine.sock"

    @property
    def engines(self) -> Path:
        return self.run / "engines"

    @property
    def activation_lock(self) -> Path:
        return self.run / "activation.lock"


# Linux sockaddr_un.sun_path: 108 bytes with the final zero.
MAX_SOCKET_PATH = 107

SECTIONS: Mapping[str, type] = {
    "site": Site,
    "gateway": Gateway,
    "engine": Engine,
    "ledger": Ledger,
    "policy": Policy,
    "retention": Retention,
}


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
    _check(config)
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


def _check(config: Config) -> None:
    gateway, policy = config.gateway, config.policy
    _in_range("gateway.port", gateway.port, 1, 65_535)
    _in_range("gateway.threads", gateway.threads, 4, 512)
    _in_range("gateway.max_body_bytes", gateway.max_body_bytes, 1_024, 67_108_864)
    _in_range("gateway.session_idle_s", gateway.session_idle_s, 60, 3_600)
    _in_range("gateway.session_absolute_s", gateway.session_absolute_s, 600, 43_200)
    _in_range("gateway.lockout_failures", gateway.lockout_failures, 3, 20)
    _in_range("gateway.lockout_s", gateway.lockout_s, 60, 86_400)
    _in_range("gateway.api_key_days", gateway.api_key_days, 1, 366)
    _in_range("engine.threads", config.engine.threads, 0, 1_024)
    _in_range("engine.slots", config.engine.slots, 0, 128)
    _in_range("engine.pool_tokens", config.engine.pool_tokens, 0, 16_777_216)
    _in_range("engine.gpu_layers", config.engine.gpu_layers, -1, 10_000)
    _in_range("engine.probe_every_s", config.engine.probe_every_s, 5, 3_600)
    _in_range("engine.context_tokens", config.engine.context_tokens, 0, 1_048_576)
    _in_range("engine.max_answer_tokens", config.engine.max_answer_tokens, 1, 131_072)
    _in_range("engine.answer_timeout_s", config.engine.answer_timeout_s, 5, 3_600)
    _in_range("engine.temperature_percent", config.engine.temperature_percent, 0, 200)
    _in_range("engine.drain_s", config.engine.drain_s, 5, 7_200)
    _in_range("ledger.reserve_bytes", config.ledger.reserve_bytes, 1_048_576, 1_073_741_824)
    _in_range("ledger.max_group", config.ledger.max_group, 1, 4_096)
    _check_anchors(config.ledger)
    _in_range("retention.content_days", config.retention.content_days, 0, 36_500)
    _in_range("retention.api_days", config.retention.api_days, 0, 36_500)
    _in_range("retention.metadata_years", config.retention.metadata_years, 0, 100)
    if len(bytes(config.paths.ledger_socket)) > MAX_SOCKET_PATH:
        raise ConfigurationError(
            f"the path {config.state} is too long for the sockets inside it",
            hint=f"choose a state folder whose path has at most {MAX_SOCKET_PATH - 16} bytes",
        )
    if policy.default_purpose not in policy.purposes:
        raise ConfigurationError("policy.default_purpose is not one of policy.purposes")
    _check_record_purposes(policy.record_purposes)
    if not gateway.behind_tls and not _is_loopback(gateway.host):
        raise ConfigurationError(
            f"gateway.host {gateway.host} would carry passwords in the clear",
            hint="keep 127.0.0.1, or put the TLS edge in front and set gateway.behind_tls",
        )


def _check_anchors(ledger: Ledger) -> None:
    """Refuse what would make an anchor fail later, at night, when nobody looks."""
    for folder in ledger.anchor_folders:
        if not Path(folder).is_absolute():
            raise ConfigurationError(f"ledger.anchor_folders: {folder} is not an absolute path")
    if ledger.anchor_syslog and not COLLECTOR.fullmatch(ledger.anchor_syslog):
        raise ConfigurationError("ledger.anchor_syslog must be tls://HOST:PORT or tcp://HOST:PORT")
    if ledger.anchor_syslog.startswith("tls:") and not ledger.anchor_ca:
        raise ConfigurationError("ledger.anchor_syslog over tls needs ledger.anchor_ca")
    if bool(ledger.anchor_cert) != bool(ledger.anchor_key):
        raise ConfigurationError("ledger.anchor_cert and ledger.anchor_key need each other")
    if ledger.anchor_witness and not WITNESS.fullmatch(ledger.anchor_witness):
        raise ConfigurationError("ledger.anchor_witness must be http://HOST:PORT or https://…")
    if ledger.anchor_witness and not ledger.witness_key:
        raise ConfigurationError("ledger.anchor_witness needs ledger.witness_key")
    if ledger.witness_key and not VERIFIER_KEY.fullmatch(ledger.witness_key):
        raise ConfigurationError("ledger.witness_key must be a verifier key: name+id+key")


def _check_record_purposes(purposes: tuple[str, ...]) -> None:
    # They are written into the record for ever, so they are words of a list and never free text.
    if not purposes or not all(RECORD_PURPOSE.fullmatch(purpose) for purpose in purposes):
        raise ConfigurationError(
            "policy.record_purposes must name at least one purpose, each of 1 to 40 characters "
            "a-z, 0-9 and -"
        )


def _in_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigurationError(f"{name} must lie between {low} and {high}, not {value}")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
