"""Entries for the tests of the exports, made without a record, and what each field of them is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from appliance.audit.actions import ACTIONS, Outcome
from appliance.audit.chain import Stored
from appliance.audit.entry import GENESIS, Agent, Event, ModelRef, Position, encode, leaf_hash
from tests.unit.audit import samples

LOG = "St. Mary's Ward 3/audit/0123456789abcdef"
# What breaks parsers: their separators, quotes, escapes and line ends, and scripts of the world.
AWKWARD = (
    'a"b', "a]b", "a\\b", "a|b=c", "a\\=b\\|c", "line\nfeed", "carriage\r\nreturn", "tab\there",
    "Jürgen 🏥 病院", "#012#", "=1+1", "'quoted", "a,b;c", "</script>", "{}[]", "key=value other=x",
    "ends with \\", "x" * 4_000, "\u2028\u2029\u0085", "%41", "NaN", "null", "007", "1e3",
)  # fmt: skip
PATIENT = "pat_0123456789abcdef01234567"


def store(event: Event, seq: int = 7, prev: bytes = b"\x11" * 32) -> Stored:
    """Return the event as the record would keep it."""
    position = Position(
        log=LOG, seq=seq, t="2026-11-21T03:11:38.299Z", boot=samples.BOOT, mono=987_654_321,
        prev=GENESIS if seq == 0 else prev,
    )  # fmt: skip
    data = encode(event, position)
    return Stored(seq, data, leaf_hash(data))


def sample(seq: int = 7, **changes: Any) -> Stored:
    """Return a plausible answer, with what a test changes."""
    return store(samples.event(seq, **changes), seq)


def of_every_action() -> Iterator[Stored]:
    """Yield each action with each outcome: as rich as an event can be, and as poor."""
    for seq, (action, outcome) in enumerate((a, o) for a in ACTIONS for o in Outcome):
        rich = samples.event(
            seq, action=action, outcome=outcome, policy="model-active-and-allowed",
            content={"subject": PATIENT, "conversation": "cnv_1", "count": 3, "parts": [1, None]},
            source="2001:db8::7" if seq % 2 else "10.1.2.3",
            entity=f"usr_{seq}" if action.startswith("user.") else f"msg_{seq}",
            agent=Agent("usr_1", "clinician", "api_key", "key_1"),
        )  # fmt: skip
        yield store(rich, 2 * seq)
        yield store(Event(action, outcome, Agent("ledger", "system", "internal")), 2 * seq + 1)


def awkward() -> Iterator[Stored]:
    """Yield entries that hold each awkward text in every field that takes text."""
    for seq, text in enumerate(AWKWARD):
        yield store(_filled(text, text, text), seq)


def _filled(one: str, two: str, three: str) -> Event:
    return samples.event(
        agent=Agent(one, two, three, one), source=two, entity=three, purpose=one,
        model=ModelRef(two, three, one), policy=two, content={"note": three, "list": [one, True]},
    )  # fmt: skip


def texts(**options: Any) -> st.SearchStrategy[Stored]:
    """Entries with any text, awkward ones among them; `options` are those of `st.characters`."""
    options.setdefault("exclude_categories", ["Cs"])
    found = st.text(st.characters(**options), min_size=1) | st.sampled_from(AWKWARD).filter(
        lambda text: all(ch not in options.get("exclude_characters", "") for ch in text)
    )
    return st.builds(lambda a, b, c: store(_filled(a, b, c)), found, found, found)


def flat(stored: Stored) -> dict[str, Any]:
    """Return what a table of the entry must say, worked out from its bytes alone."""
    value = json.loads(stored.data)
    agent, model, tokens = value.pop("agent"), value.pop("model"), value.pop("tokens")
    assert stored.seq == value["seq"]
    return {
        **value,
        **agent,
        "leaf": stored.leaf.hex(),
        "model": model and model["name"],
        "model_version": model and model["version"],
        "model_digest": model and model["digest"],
        "prompt_tokens": tokens and tokens["prompt"],
        "answer_tokens": tokens and tokens["answer"],
    }


def stated(stored: Stored) -> dict[str, Any]:
    """Return `flat` without what is null."""
    return {name: value for name, value in flat(stored).items() if value is not None}
