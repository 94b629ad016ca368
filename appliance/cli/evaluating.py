"""`appliance model evaluate` and `model validation`: how a model does, and that on paper."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from appliance.bundles.evaluations.results import EvaluationInfo, PromptResult
from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import Command, json_option
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.cli.writing import refuse_existing, write_pieces
from appliance.operations.comparison import IMPROVED, SAME, WORSE, Comparison
from appliance.operations.validation import FORMS

Step = Callable[[int, int], None]


@click.command("evaluate", cls=Command)
@click.argument("name")
@click.option(
    "--version",
    metavar="TEXT",
    help="Which one.  [default: the newest that waits, else the active]",
)
@click.option("--compare", is_flag=True, help="Ask the active model the same prompts.")
@json_option
@pass_invocation
def evaluate(invocation: Invocation, name: str, version: str | None, compare: bool) -> None:
    """Ask a model its golden prompts in a throw-away engine, and keep the results.

    Nobody's question is touched. The model needs its memory a second time while this runs. Prompts
    that fail do not stop anything: the person who approves decides about them by number.

    \b
    Examples:
      appliance model evaluate ward-assistant
      appliance model evaluate ward-assistant --version 2.1 --compare
    """
    beside: Comparison | None = None
    with invocation.operations() as verbs:
        with _asking("asking the golden prompts") as step:
            done = verbs.evaluations.evaluate(console_actor(), name, version, step)
        model = verbs.appliance.library.get(done.model)
        if compare:
            with _asking("asking the active model the same") as step:
                beside = verbs.evaluations.compare(console_actor(), name, model.version, step)
    title = f"{model.name} {model.version}"

    def people() -> None:
        _print_evaluation(title, done)
        if compare:
            _print_comparison(title, beside)
        if model.state == "evaluated":
            accept = f" --accept-failed {done.failed}" if done.failed else ""
            presenting.remark(
                "next: another person than the importer reads this and runs appliance model "
                f"approve {model.name} --version {model.version}{accept}"
            )

    value: dict[str, Any] = {"model": model.id, "version": model.version, **_value(done)}
    if compare:
        value["comparison"] = None if beside is None else _compared(beside)
    invocation.present(value, people)


@click.command("validation", cls=Command)
@click.argument("name")
@click.option("--version", metavar="TEXT", help="Which one.  [default: active, else newest]")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it; an existing file is never replaced.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMS),
    default="json",
    show_default=True,
    help="JSON for programs, Markdown for people.",
)
@json_option
@pass_invocation
def validation(
    invocation: Invocation, name: str, version: str | None, out: Path, form: str
) -> None:  # fmt: skip
    """Write the validation record of a model: what it is, how it did, who agreed.

    It holds every digest and signature key, the card's intended use and limits, each golden
    prompt with its answer, the comparison with the active model, and where in the record each
    step stands. Making it is recorded with the file's SHA-256.

    \b
    Examples:
      appliance model validation ward-assistant --out ward-assistant.json
      appliance model validation ward-assistant --out review.md --format markdown
    """
    refuse_existing(out)
    with invocation.operations() as verbs:
        data = verbs.validations.make(console_actor(), name, version, form)
    write_pieces(out, [data], mode=0o644)
    digest = hashlib.sha256(data).hexdigest()
    invocation.present(
        {"file": str(out), "form": form, "bytes": len(data), "sha256": digest},
        lambda: presenting.say(f"{out}: {presenting.size(len(data))}, SHA-256 {digest}"),
    )


def _print_evaluation(title: str, done: EvaluationInfo) -> None:
    presenting.table(
        ("prompt", "required", "result", "why"),
        [(item.id, item.required, _word(item), _reason(item)) for item in done.results],
    )
    presenting.say("")
    presenting.say(f"{title}: {done.passed} of {done.passed + done.failed} prompts passed")
    if done.required_failed:
        presenting.say(f"{done.required_failed} of those that failed are marked as required")


def _print_comparison(title: str, found: Comparison | None) -> None:
    if found is None:
        presenting.remark("there is no other active model to compare with")
        return
    changed = [item for item in found.prompts if item.change != SAME]
    presenting.say("")
    presenting.table(
        ("prompt", "required", title, found.active_name, "change"),
        [
            (item.id, item.required, _passed(item.candidate_passed),
             _passed(item.active_passed), item.change)
            for item in changed
        ],
        empty="no prompt went better or worse than with the active model",
    )  # fmt: skip
    counts = ", ".join(f"{found.count(change)} {change}" for change in (IMPROVED, SAME, WORSE))
    presenting.say(f"beside {found.active_name}: {counts}")


def _word(item: PromptResult) -> str:
    return _passed(item.passed)


def _passed(passed: bool) -> str:
    return "ok" if passed else "fail"


def _reason(item: PromptResult) -> str:
    """Return what did not hold; what the prompt is there for when everything did."""
    faults = [f"{v.property}: {v.why}" for v in item.verdicts if not v.passed]
    return "; ".join(faults) or item.why


def _value(done: EvaluationInfo) -> dict[str, Any]:
    return {
        "evaluation": done.id,
        "state": done.state,
        "engine": done.engine,
        "prompts_sha256": done.prompts_sha256,
        "started": done.started,
        "finished": done.finished,
        "passed": done.passed,
        "failed": done.failed,
        "required_failed": done.required_failed,
        "prompts": [{**asdict(item), "passed": item.passed} for item in done.results],
    }


def _compared(found: Comparison) -> dict[str, Any]:
    return {
        "active": found.active_name,
        "evaluation": found.active.id,
        **{change: found.count(change) for change in (IMPROVED, SAME, WORSE)},
        "prompts": [{**asdict(item), "change": item.change} for item in found.prompts],
    }


@contextlib.contextmanager
def _asking(what: str) -> Iterator[Step]:
    """Yield a function of (done, total) prompts that says how far it has come, on stderr."""
    said = -1

    def step(done: int, total: int) -> None:
        nonlocal said
        tenth = done * 10 // total if total else 10
        if tenth > said:
            said = tenth
            presenting.remark(f"{what}: {done} of {total}")

    yield step
