"""What can be set: one frozen dataclass per section, with the safe value as its default.

Not here: where values come from (`loading`), and which of them are refused (`checks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from appliance.config.paths import Paths

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
    threads: int = 176
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
    `drain_s`: a model that was replaced may finish answers for so long. `socket_folder`: where
    its sockets lie, open to its group; empty: in the state folder, for its owner alone.
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
    socket_folder: str = ""


@dataclass(frozen=True)
class Ledger:
    """The record's process: room kept for the last words on a full disk, largest group.

    `anchor_*` say where its checkpoints are also kept, once a day; empty means nowhere.
    `anchor_console`: its process prints them too, for whoever keeps its output.
    `socket_folder`: as for the engine.
    """

    reserve_bytes: int = 4_194_304
    max_group: int = 512
    anchor_console: bool = False
    anchor_folders: tuple[str, ...] = ()
    anchor_syslog: str = ""
    anchor_ca: str = ""
    anchor_cert: str = ""
    anchor_key: str = ""
    anchor_witness: str = ""
    witness_key: str = ""
    socket_folder: str = ""


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
class Airgap:
    """Which part of the stack this is: edge, gateway, ledger, engine, or host; empty: none.

    The gateway of a stack looks every day whether there is a way out.
    """

    role: str = ""


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
    airgap: Airgap = field(default_factory=Airgap)
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def paths(self) -> Paths:
        ledger, engine = self.ledger.socket_folder, self.engine.socket_folder
        return Paths(self.state, Path(ledger) if ledger else None, Path(engine) if engine else None)


SECTIONS: Mapping[str, type] = {
    "site": Site,
    "gateway": Gateway,
    "engine": Engine,
    "ledger": Ledger,
    "policy": Policy,
    "retention": Retention,
    "airgap": Airgap,
}
