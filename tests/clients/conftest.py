"""Programs that other people wrote, unmodified, against one running appliance.

Some of them look for updates, price lists or tracing services when they are imported or used.
The variables below are what their own documentation gives to a site without internet; no test
opens a socket beyond loopback in any case.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.simulators.clinic import Clinic
from tests.simulators.stack import Stack

OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}
# Before the modules of tests are imported, since some clients read them at that moment.
os.environ.update(OFFLINE)


# In the form of Hermes and Qwen, which the demo model's template does not know.
WITH_TOOLS = (
    "{% if tools %}<|system|>{{ tools | tojson }} Answer in <tool_call></tool_call>.<|end|>"
    "{% endif %}{% for m in messages %}<|{{ m['role'] if m['role'] != 'tool' else 'user' }}|>"
    "{{ m['content'] }}{% for call in m.get('tool_calls', []) %}"
    "<tool_call>{{ call['function'] | tojson }}</tool_call>{% endfor %}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Place:
    """Where the appliance answers, a clinician's key, and the model that answers."""

    address: str
    key: str
    model: str = "demo"

    @property
    def openai(self) -> str:
        return f"{self.address}/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture(scope="session")
def place(stack: Stack) -> Place:
    return Place(stack.address, stack.api_key())


@pytest.fixture(scope="session")
def tooled() -> Iterator[Place]:
    """A hospital whose model is small, talks nonsense, and knows tools."""
    clinic = Clinic()
    clinic.bring_model(template=WITH_TOOLS)
    clinic.start_engine()
    with clinic.served() as address:
        yield Place(address, clinic.key(), "tiny")
    clinic.close()
