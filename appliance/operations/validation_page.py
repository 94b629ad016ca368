"""A validation record as a Markdown page for people. Pure.

Guarantee: what a publisher or a model wrote cannot become markup: it is escaped, or stands in a
fence longer than any it holds. Nothing is left out that the JSON form states, apart from the leaf
hashes and the content of single record entries.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

_MARKUP = re.compile(r"([\\`*_\[\]<>|#~&!])")
_FENCES = re.compile("`{3,}")
# What of an entry's content a reader of the page wants to see at once.
STATED = frozenset(
    {"passed", "failed", "accepted_failed", "compared_with", "roles", "rule", "reason", "code"}
)
_NEVER = "this model was not evaluated on this machine"


def page(value: Mapping[str, Any]) -> str:
    """Return the page; `value` is what the JSON form holds."""
    model = value["model"]
    lines = [
        f"# Validation record: {text(model['name'])} {text(model['version'])}",
        "",
        f"Made {value['made']} by {_who(value['made_by'])} at site {text(value['site'])}.",
        *_section("The model", _facts({k: v for k, v in model.items() if k != "files"})),
        *_section("Its files (SHA-256)", _facts(model["files"])),
        *_section("Where it comes from", _facts(_origin(value["origin"]))),
        *_section("What it is for", _card(value["card"])),
        *_section("The machine this was made on", _facts(value["machine"])),
        *_section("Evaluation", _evaluation(value["evaluation"])),
        *_section("Beside the active model", _comparison(value["comparison"])),
        *_section("Every run", _runs(value["runs"])),
        *_section("What happened to it", _history(value["history"])),
        *_section("Place in the record", _place(value["record"])),
        *_section("Form", (text(value["format"]),)),
        *_section("The card as it was signed", _fenced(value["card"]["text"], "toml")),
    ]
    return "\n".join(lines) + "\n"


def text(value: object) -> str:
    """Return any value as one line of text that Markdown takes as it is."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{text(key)} {text(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(text, value)) or "-"
    return _MARKUP.sub(r"\\\1", " ".join(_shown(str(value)).split()))


def _shown(value: str) -> str:
    """Replace what a terminal obeys or what turns the order of a line around."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if (unicodedata.category(c) in {"Cc", "Cs"} and c not in "\n\t")
        or unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI",
                                            "PDI"}
        else c
        for c in value
    )  # fmt: skip


def _section(title: str, body: Iterable[str]) -> list[str]:
    return ["", f"## {title}", "", *body]


def _facts(pairs: Mapping[str, Any]) -> Iterator[str]:
    for name, value in pairs.items():
        yield f"- {text(name.replace('_', ' '))}: {text(value)}"


def _origin(origin: Mapping[str, Any]) -> dict[str, Any]:
    return {**origin, "trusted_by": origin["trusted_by"]["name"]}


def _card(card: Mapping[str, Any]) -> Iterator[str]:
    for name in ("intended_use", "training_data", "hardware_floor"):
        yield f"- {name.replace('_', ' ')}: {text(card[name])}"
    limits = card["known_limits"]
    yield "- known limits:" if isinstance(limits, list) else f"- known limits: {text(limits)}"
    for limit in limits if isinstance(limits, list) else ():
        yield f"  - {text(limit)}"


def _evaluation(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield f"**{_NEVER}**"
        return
    yield f"**{found['passed']} of {found['passed'] + found['failed']} prompts passed.**"
    yield ""
    named = ("id", "by", "started", "finished", "prompts_sha256", "conditions")
    yield from _facts({name: found[name] for name in named})
    yield ""
    yield "The answers are answers to golden prompts, which hold no patient's data."
    for item in found["prompts"]:
        yield from _prompt(item)


def _prompt(item: Mapping[str, Any]) -> Iterator[str]:
    required = " (required)" if item["required"] else ""
    result = "passed" if item["passed"] else "FAILED"
    yield from ("", f"### {text(item['id'])}: {result}{required}", "", text(item["why"]), "")
    if item["system"]:
        yield from ("System prompt of its own:", *_fenced(item["system"]))
    for turn in item["asked"]:
        yield from (f"{text(turn['role'])}:", *_fenced(turn["content"]))
    cut = ", shown in part" if item["cut"] else ""
    yield f"answer ({text(item['ended'])}, {item['answer_tokens']} tokens{cut}):"
    yield from (*_fenced(item["answer"]), "")
    for verdict in item["verdicts"]:
        held = "holds" if verdict["passed"] else "DOES NOT HOLD"
        yield f"- {text(verdict['property'])}: {held}: {text(verdict['why'])}"


def _comparison(found: Mapping[str, Any] | None) -> Iterator[str]:
    if found is None:
        yield "No other model was active, or the two were not compared."
        return
    yield (
        f"The active model {text(found['active'])} was asked the same prompts: "
        f"{found['improved']} improved, {found['same']} the same, {found['worse']} worse."
    )
    yield from ("", "| prompt | required | this model | active model | change |")
    yield "|---|---|---|---|---|"
    for item in found["prompts"]:
        cells = (item["id"], item["required"], _word(item["passed"]),
                 _word(item["active_passed"]), item["change"])  # fmt: skip
        yield f"| {' | '.join(map(text, cells))} |"


def _word(passed: bool) -> str:
    return "passed" if passed else "failed"


def _runs(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not runs:
        yield _NEVER
        return
    yield from ("| started | state | passed | failed | by | engine | reason |",
                "|---|---|---|---|---|---|---|")  # fmt: skip
    for run in runs:
        names = ("started", "state", "passed", "failed", "by", "engine", "reason")
        yield f"| {' | '.join(text(run[name]) for name in names)} |"


def _history(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield from ("| entry | time | what | outcome | who | stated |", "|---|---|---|---|---|---|")
    for entry in entries:
        cells = (entry["seq"], entry["t"], entry["action"], entry["outcome"])
        stated = {k: v for k, v in (entry["content"] or {}).items() if k in STATED}
        who = _who(entry["by"])
        yield f"| {' | '.join(map(text, cells))} | {who} | {text(stated) or '-'} |"


def _who(person: Mapping[str, str]) -> str:
    role = f", {text(person['role'])}" if person["role"] else ""
    return f"{text(person['name'])} ({text(person['id'])}{role})"


def _place(record: Mapping[str, Any]) -> Iterator[str]:
    yield from _facts({k: v for k, v in record.items() if k != "checkpoint"})
    yield from ("", "A signed checkpoint over every entry named above:", "")
    yield from _fenced(record["checkpoint"])


def _fenced(content: str, language: str = "text") -> Iterator[str]:
    """Yield the content in a fence that it cannot close."""
    longest = max(map(len, _FENCES.findall(content)), default=2)
    fence = "`" * (longest + 1)
    yield from (f"{fence}{language}", _shown(content).rstrip("\n"), fence)
