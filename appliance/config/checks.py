"""Which settings are refused: out of range, at odds with each other, or unsafe.

Guarantee: what passes here cannot fail later for a reason that could be seen in the settings
alone. Not here: what the machine and the model allow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from appliance.config import engine_checks
from appliance.config.paths import MAX_SOCKET_PATH
from appliance.config.settings import Config, Gateway, Ledger, Policy
from appliance.errors import ConfigurationError

COLLECTOR = re.compile(r"(tcp|tls)://[^\s/@]+:\d{1,5}")
WITNESS = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?")
VERIFIER_KEY = re.compile(r"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{40,48}")
RECORD_PURPOSE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

# As in `airgap.stack`, without the one that is no part of a stack.
AIRGAP_ROLES = ("", "edge", "gateway", "ledger", "engine", "host")

# Lowest and highest value of every number.
RANGES: Mapping[str, tuple[int, int]] = {
    "gateway.port": (1, 65_535),
    "gateway.threads": (4, 512),
    "gateway.max_body_bytes": (1_024, 67_108_864),
    "gateway.session_idle_s": (60, 3_600),
    "gateway.session_absolute_s": (600, 43_200),
    "gateway.lockout_failures": (3, 20),
    "gateway.lockout_s": (60, 86_400),
    "gateway.api_key_days": (1, 366),
    "engine.threads": (0, 1_024),
    "engine.slots": (0, 128),
    "engine.pool_tokens": (0, 16_777_216),
    "engine.gpu_layers": (-1, 10_000),
    "engine.probe_every_s": (5, 3_600),
    "engine.context_tokens": (0, 1_048_576),
    "engine.max_answer_tokens": (1, 131_072),
    "engine.answer_timeout_s": (5, 3_600),
    "engine.temperature_percent": (0, 200),
    "engine.drain_s": (5, 7_200),
    "ledger.reserve_bytes": (1_048_576, 1_073_741_824),
    "ledger.max_group": (1, 4_096),
    "retention.content_days": (0, 36_500),
    "retention.api_days": (0, 36_500),
    "retention.metadata_years": (0, 100),
}


def check(config: Config) -> None:
    """Raise ConfigurationError that names the first setting which cannot stand."""
    for name, (low, high) in RANGES.items():
        section, _, key = name.partition(".")
        value = getattr(getattr(config, section), key)
        if not low <= value <= high:
            raise ConfigurationError(f"{name} must lie between {low} and {high}, not {value}")
    engine_checks.check(config.engine)
    _check_anchors(config.ledger)
    _check_anchors_of_stack(config)
    _check_sockets(config)
    _check_policy(config.policy)
    _check_address(config.gateway)
    if config.airgap.role not in AIRGAP_ROLES:
        raise ConfigurationError(f"airgap.role must be one of {', '.join(AIRGAP_ROLES[1:])}")


def _check_sockets(config: Config) -> None:
    for section in ("ledger", "engine"):
        folder = getattr(config, section).socket_folder
        if folder and not Path(folder).is_absolute():
            raise ConfigurationError(f"{section}.socket_folder {folder} is not an absolute path")
    for socket in (config.paths.ledger_socket, config.paths.engine_socket):
        if len(bytes(socket)) > MAX_SOCKET_PATH:
            raise ConfigurationError(
                f"the path {socket.parent} is too long for the sockets inside it",
                hint=f"choose a folder whose path has at most {MAX_SOCKET_PATH - 16} bytes",
            )


def _check_policy(policy: Policy) -> None:
    if policy.default_purpose not in policy.purposes:
        raise ConfigurationError("policy.default_purpose is not one of policy.purposes")
    # They are written into the record for ever, so they are words of a list and never free text.
    purposes = policy.record_purposes
    if not purposes or not all(RECORD_PURPOSE.fullmatch(purpose) for purpose in purposes):
        raise ConfigurationError(
            "policy.record_purposes must name at least one purpose, each of 1 to 40 characters "
            "a-z, 0-9 and -"
        )


def _check_address(gateway: Gateway) -> None:
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


def _check_anchors_of_stack(config: Config) -> None:
    """Refuse what looks like an anchor of the stack and is none: from there nobody reaches out.

    Two containers read their own settings. What one believed and the other did not know would
    be an anchor in name alone, so the ledger decides, and the gateway asks it.
    """
    ledger, role = config.ledger, config.airgap.role
    if role not in ("gateway", "ledger"):
        return
    for name in ("anchor_folders", "anchor_syslog", "anchor_witness"):
        if getattr(ledger, name):
            raise ConfigurationError(
                f"ledger.{name} cannot work in the stack: no part of it has a way out",
                hint="see docs/how-to/keep-checkpoints-off-the-stack.md: the host carries them",
            )
    for name in ("anchor_console", "witness_key"):
        if role == "gateway" and getattr(ledger, name):
            raise ConfigurationError(
                f"ledger.{name} belongs to the ledger's container, which the gateway asks",
                hint="set it there, and take it out of the gateway's settings",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
