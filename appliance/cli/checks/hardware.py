"""What models run on: cores, memory, GPUs; and whether that is what the active model's card asks.

llama.cpp is asked for its GPUs in this process, so it is loaded when a check runs and not before:
every other command would wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from appliance.bundles.library import Library
from appliance.bundles.states import State
from appliance.cli.checks.finding import Finding, Patient, ok, warn
from appliance.clock import System
from appliance.config import Engine as Settings
from appliance.database import Database

if TYPE_CHECKING:
    from appliance.llama.placing.hardware import Machine

MIB = 1_048_576
GUIDE = "docs/how-to/use-a-gpu.md"


def machine(patient: Patient) -> Finding:
    """Cores and memory that models may use here, and every GPU, or why it lies idle."""
    from appliance.llama.placing.hardware import this_machine

    settings = patient.config.engine
    if settings.kind != "llama":
        return ok("hardware", f"answers come from {settings.url}; this machine was not looked at")
    return judge(this_machine(), settings)


def judge(found: Machine, settings: Settings) -> Finding:
    """Return the finding for a machine and these settings."""
    from appliance.llama.placing.hardware import idle_gpu
    from appliance.llama.placing.memory import in_gib

    said = f"{found.cores} cores and {in_gib(found.ram.available)} of memory for models"
    idle = idle_gpu(found)
    if settings.gpu_layers != 0 and idle is not None:
        return warn("hardware", f"{said}; {idle.reason}", idle.next)
    if settings.gpu_layers > 0 and not found.devices:
        return warn(
            "hardware",
            f"{said}; no GPU, though engine.gpu_layers is {settings.gpu_layers}",
            f"set engine.gpu_layers to -1, or see {GUIDE}",
        )
    if settings.threads > found.cores:
        return warn(
            "hardware",
            f"{said}; engine.threads is {settings.threads}, more than there are cores",
            "set engine.threads to 0: threads that share a core slow each other down",
        )
    if not found.devices:
        return ok("hardware", f"{said}; no GPU is used")
    gpus = ", ".join(
        f"{one.name} {one.description} ({in_gib(one.free_bytes)} of {in_gib(one.total_bytes)} free)"
        for one in found.devices
    )
    off = "; engine.gpu_layers is 0, so models stay off it" if settings.gpu_layers == 0 else ""
    return ok("hardware", f"{said}; GPU: {gpus}{off}")


def floor(patient: Patient) -> Finding:
    """The machine has the memory that the active model's card names as the least."""
    from appliance.llama.placing.hardware import this_machine

    if patient.config.engine.kind != "llama":
        return ok("hardware floor", "answers come from another server")
    database = Database(patient.paths.appliance_db)
    try:
        library = Library(database, patient.paths.library, patient.paths.staging, System())
        active = [model for model in library.models() if model.state is State.ACTIVE]
    finally:
        database.close()
    there = this_machine()
    findings = [judge_floor(one.name, one.card, there, patient.config.engine) for one in active]
    short = [finding for finding in findings if finding.verdict != "ok"]
    return next(iter(short or findings), ok("hardware floor", "no model is active"))


def judge_floor(name: str, card: Mapping[str, object], there: Machine, set_: Settings) -> Finding:
    """Return the finding for a model's card; a card without numbers asks for nothing."""
    from appliance.llama.placing.memory import in_gib

    asked = card.get("hardware_floor")
    needed = asked.get("memory_mib") if isinstance(asked, Mapping) else None
    if not isinstance(needed, int) or isinstance(needed, bool) or needed <= 0:
        return ok("hardware floor", f"the card of {name} states no memory")
    on_gpus = sum(one.total_bytes for one in there.devices) if set_.gpu_layers != 0 else 0
    said = f"the card of {name} asks for {in_gib(needed * MIB)}"
    smaller = "activate a smaller model, or lower engine.context_tokens and engine.pool_tokens"
    if there.ram.total < needed * MIB and on_gpus < needed * MIB:
        most = in_gib(max(there.ram.total, on_gpus))
        return warn("hardware floor", f"{said}, and this machine has {most} in one place", smaller)
    if 0 < on_gpus < needed * MIB:
        return warn(
            "hardware floor",
            f"{said}, and the GPUs have {in_gib(on_gpus)}: a part runs on the processor, slower",
            smaller,
        )
    where = "the GPUs have" if on_gpus else "this machine has"
    return ok("hardware floor", f"{said}; {where} {in_gib(on_gpus or there.ram.total)}")
