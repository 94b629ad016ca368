"""`appliance retention`: how long content is kept, what is held, and what is erased for good."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from appliance.audit.query import moment
from appliance.cli import presenting, writing
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.holds import hold, holds, release, wanted_of, whose
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.conversations.retention import PATIENT
from appliance.operations.retention import Applied, Plan

PROOF = ".tlog-proof"


@noun("retention")
def retention() -> None:
    """Keep, hold and erase content; nobody reads it here.

    Erasing destroys keys. The record keeps that a question was asked, by whom and when.
    """


for command in (hold, holds, release):
    retention.add_command(command)


@retention.command("plan")
@click.option("--on", "day", metavar="DATE", help="What would be due then.  [default: now]")
@json_option
@pass_invocation
def plan(invocation: Invocation, day: str | None) -> None:
    """Show what the schedule would erase; change nothing.

    \b
    Examples:
      appliance retention plan
      appliance retention plan --on 2027-01-31
    """
    at = None if day is None else datetime.fromisoformat(moment(day)).timestamp()
    with invocation.operations() as verbs:
        planned = verbs.retention.plan(console_actor(), at)
        days = {due.origin: verbs.retention.schedule.days_of(due.origin) for due in planned.content}
    invocation.present(_plan_value(planned), lambda: _say_plan(planned, days))


@retention.command("apply")
@click.option("--confirm-clock", is_flag=True, help="You looked at the date, and it is right.")
@json_option
@pass_invocation
def apply(invocation: Invocation, confirm_clock: bool) -> None:
    """Do now what the schedule would do by itself within a day.

    While the machine's clock is far ahead of the time it has run for, the schedule waits, so that
    a wrong date erases nothing.

    \b
    Example:
      appliance retention apply
    """
    with invocation.operations() as verbs:
        done = verbs.retention.apply(console_actor(), confirm_clock=confirm_clock)
    invocation.present(_applied_value(done), lambda: _say_applied(done))


@retention.command("erase")
@whose
@click.option("--basis", required=True, metavar="TEXT",
              help="The law and the case, no name; it is recorded.")  # fmt: skip
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help=f"Write the signed certificate here ({PROOF}), and a page to print beside it (.txt).",
)
@json_option
@pass_invocation
def erase(
    invocation: Invocation, /, basis: str, certificate: Path | None, **chosen: str | None
) -> None:
    """Destroy the keys of content for good. A legal hold forbids it.

    \b
    Examples:
      appliance retention erase --patient - --basis "GDPR Art. 17(1)(a)" < number.txt
      appliance retention erase --user eva --basis "GDPR Art. 17(1)(b), case 12" \\
        --certificate eva.tlog-proof
    """
    wanted = wanted_of(chosen)
    files = [] if certificate is None else [certificate, _page_of(certificate)]
    for file in files:
        writing.refuse_existing(file)
    with invocation.operations() as verbs:
        done = verbs.content.erase(console_actor(), wanted, basis)
        if files:
            found = verbs.content.certificate(console_actor(), done.id)
            for file, text in zip(files, (found.proof, found.text), strict=True):
                writing.write_pieces(file, [text.encode()])

    def people() -> None:
        presenting.say(
            f"erased {_counted(done.conversations)}; entry {done.outcome_seq} of the record"
        )
        for file in files:
            presenting.remark(f"wrote {file}")
        if not files:
            presenting.remark(f"next: appliance retention certificate {done.id} --out FILE")

    invocation.present(
        {
            "id": done.id,
            "conversations": done.conversations,
            "entry": done.outcome_seq,
            "files": [str(file) for file in files],
        },
        people,
    )


@retention.command("certificate")
@click.argument("erasure_id", metavar="ERASURE")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write the signed file here.  [default: print the page in words]")  # fmt: skip
@json_option
@pass_invocation
def certificate(invocation: Invocation, erasure_id: str, out: Path | None) -> None:
    """Give out the deletion certificate of an erasure again.

    \b
    Example:
      appliance retention certificate ers_4f... --out erased.tlog-proof
    """
    if out is not None:
        writing.refuse_existing(out)
    with invocation.operations() as verbs:
        found = verbs.content.certificate(console_actor(), erasure_id)
    if out is not None:
        writing.write_pieces(out, [found.proof.encode()])
    value = {"entry": found.seq, "proof": found.proof, "page": found.text}
    invocation.present(value, lambda: presenting.say(found.text if out is None else f"wrote {out}"))


@retention.command("find")
@click.option("--patient", required=True, metavar="REF",
              help="A record or encounter number; - reads it from a line.")  # fmt: skip
@json_option
@pass_invocation
def find(invocation: Invocation, patient: str) -> None:
    """Say under which pseudonym the record holds a patient.

    \b
    Example:
      appliance retention find --patient - < number.txt
    """
    wanted = wanted_of({PATIENT: patient})
    with invocation.operations() as verbs:
        subject = verbs.content.pseudonym(console_actor(), wanted.text)
    invocation.present({"subject": subject}, lambda: presenting.say(subject))


@retention.command("rewrap")
@json_option
@pass_invocation
def rewrap(invocation: Invocation) -> None:
    """Replace the key that wraps all others, and destroy the old one.

    The appliance may run meanwhile. Backups of keys/content.key and keys.db made before belong
    together and not to those made after.

    \b
    Example:
      appliance retention rewrap
    """
    with invocation.operations() as verbs:
        done = verbs.rewrapping.rewrap(console_actor())

    def people() -> None:
        presenting.say(f"{done.rows} secrets are wrapped under {done.key}")
        presenting.remark(f"the old key {done.replaced} is destroyed; make a backup now")

    invocation.present({"rows": done.rows, "key": done.key, "replaced": done.replaced}, people)


def _counted(conversations: int) -> str:
    return f"{conversations} conversation" + ("" if conversations == 1 else "s")


def _page_of(proof: Path) -> Path:
    return proof.with_suffix(".txt") if proof.suffix != ".txt" else proof.with_suffix(".page.txt")


def _say_plan(planned: Plan, days: dict[str, int]) -> None:
    presenting.say(f"due on {presenting.moment(planned.moment)}")
    presenting.table(
        ("content", "kept for", "due", "held"),
        [(due.origin, f"{days[due.origin]} days", due.due, due.held) for due in planned.content],
        empty="content is kept for ever",
    )
    going = f"those below {planned.prune}" if planned.prune else "none"
    presenting.say(f"entries of the record to let go: {going}")
    if not planned.fits:
        presenting.remark("the schedule waits: the clock is ahead of the time it has run for")
        presenting.remark("next: look at the date, then appliance retention apply --confirm-clock")


def _say_applied(done: Applied) -> None:
    erased = sum(due.due for due in done.content)
    held = sum(due.held for due in done.content)
    presenting.say(f"erased {erased} conversations, let go {done.entries} entries of the record")
    if held:
        presenting.say(f"kept {held} conversations that are held")


def _plan_value(planned: Plan) -> dict[str, object]:
    return {
        "on": datetime.fromtimestamp(planned.moment, tz=UTC).isoformat(),
        "content": [vars(due) for due in planned.content],
        "entries_below": planned.prune,
        "clock_fits": planned.fits,
    }


def _applied_value(done: Applied) -> dict[str, object]:
    return {"content": [vars(due) for due in done.content], "entries": done.entries}
