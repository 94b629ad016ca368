"""The engines that the suite runs against, each as one `Place`, and what each of them can do.

The table is the promise: what is False there is refused with a reason, and a test says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from appliance.assembly import WRITING
from appliance.config import Engine as Settings
from appliance.inference.engine import Engine
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.ollama_engine import OllamaEngine
from appliance.inference.openai_engine import OpenAIEngine
from appliance.inference.openai_server import OpenAIServer
from appliance.inference.safe_text import SafeTexts
from tests.simulators.engine_process import EngineProcess, put_model
from tests.simulators.llama_server import LlamaServer
from tests.simulators.ollama_server import OllamaServer
from tests.simulators.peers import Peer

# Long enough that no answer of this length ends while a test looks at it.
LONG = 65_536
SLOTS = 2
# A small one of the Hermes form, which every engine that reads calls of tools knows.
TEMPLATE = (
    "{%- if tools %}<|system|># Tools\n<tools>"
    "{%- for tool in tools %}\n{{ tool | tojson }}{% endfor %}\n</tools>\n"
    'For each call say <tool_call>\n{"name": "name", "arguments": {}}\n</tool_call><|end|>'
    "{% endif %}"
    "{%- for m in messages %}"
    "{%- if m.role == 'tool' %}<|user|><tool_response>\n{{ m.content }}\n</tool_response><|end|>"
    "{%- else %}<|{{ m.role }}|>{{ m.content }}"
    "{%- if m.tool_calls %}{% for call in m.tool_calls %}{% set f = call.function %}"
    '\n<tool_call>\n{"name": "{{ f.name }}", "arguments": {{ f.arguments | tojson }}}\n</tool_call>'
    "{%- endfor %}{% endif %}<|end|>{% endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Abilities:
    """What an engine offers beyond answering.

    `forces_calls`: a tool that has to be called is called; llama-server tells the model only, and
    reads a call when there is one. `tells_running`: its status counts the answers.
    """

    tools: bool = True
    forces_calls: bool = True
    logit_bias: bool = True
    tells_running: bool = True


ABILITIES = {
    "llama": Abilities(),
    "llama-server": Abilities(forces_calls=False),
    "ollama": Abilities(tools=False, logit_bias=False, tells_running=False),
}
KINDS = tuple(ABILITIES)


class Server(Protocol):
    """A process that a test may kill."""

    library: Path

    def kill(self) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Place:
    """One engine that is ready: its server, the adapter to it, the model that it holds."""

    kind: str
    server: Server
    engine: Engine
    digest: str

    @property
    def can(self) -> Abilities:
        return ABILITIES[self.kind]

    def close(self) -> None:
        self.engine.close()
        self.server.close()


def open_place(kind: str) -> Place:
    """Start a server of that kind with a tiny model, and wait until it answers."""
    return _OPENERS[kind]()


def adapter(kind: str, server: Peer, **more: float) -> Engine:
    """Return the adapter to a server of others."""
    folder = LibraryFolder(server.library)
    if kind == "ollama":
        settings = Settings(kind="ollama", context_tokens=LONG, threads=1)
        return OllamaEngine(server.url, folder, WRITING, settings, **more)
    return OpenAIServer(server.url, folder, SafeTexts(folder, WRITING.neutralise), **more)


def _own() -> Place:
    process = EngineProcess(max_answer_tokens=LONG, slots=SLOTS)
    digest = put_model(process.library, context=LONG, template=TEMPLATE)
    process.start()
    return Place("llama", process, OpenAIEngine(uds=process.socket), digest)


def _llama_server() -> Place:
    server = LlamaServer(context=LONG, template=TEMPLATE).start(
        "--ctx-size", str(LONG * SLOTS), slots=SLOTS
    )
    return Place("llama-server", server, adapter("llama-server", server), server.digest)


def _ollama() -> Place:
    server = OllamaServer(context=LONG, template=TEMPLATE).start(slots=SLOTS)
    engine = adapter("ollama", server)
    engine.reload()
    return Place("ollama", server, engine, server.digest)


_OPENERS: dict[str, Callable[[], Place]] = {
    "llama": _own,
    "llama-server": _llama_server,
    "ollama": _ollama,
}
