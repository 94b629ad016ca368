"""Typed settings: built-in defaults < /etc/appliance/appliance.toml < APPLIANCE_SECTION__KEY.

An unknown section or key is an error, so that a typo cannot quietly leave a default in place.
A secret is never a setting, only ever a path to a file. `provenance` says for every value where
it came from.
"""

from appliance.config.engine_checks import split_of
from appliance.config.loading import SYSTEM_FILE, load
from appliance.config.paths import Paths
from appliance.config.settings import (
    SECTIONS,
    Config,
    Engine,
    Gateway,
    Ledger,
    Policy,
    Retention,
    Site,
)

__all__ = [
    "SECTIONS",
    "SYSTEM_FILE",
    "Config",
    "Engine",
    "Gateway",
    "Ledger",
    "Paths",
    "Policy",
    "Retention",
    "Site",
    "load",
    "split_of",
]
