"""Counters for /metrics: how many answers ended how, and how long the first token took.

No label names a person, a conversation or a text.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram

ANSWERS = Counter("appliance_answers_total", "Answers by how they ended", ["state"])
FIRST_TOKEN = Histogram(
    "appliance_first_token_seconds",
    "Time from the recorded question to the first piece of its answer",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
)
SIGN_INS = Counter("appliance_sign_ins_total", "Attempts to sign in by outcome", ["outcome"])
