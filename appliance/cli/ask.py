"""`appliance ask`: one audited question from a terminal.

The answer goes to standard output as it arrives, everything about it to standard error. Ctrl+C,
or a reader that goes away, stops the answer, and the record says so before the command ends.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import click

from appliance.cli import presenting, signing_in
from appliance.cli.commands import Command, json_option
from appliance.cli.errors import INTERRUPTED
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.errors import BadInputError, EngineUnavailableError, UnavailableError
from appliance.operations import Operations
from appliance.operations.answer_run import AnswerRun, AnswerState
from appliance.operations.questions import Question

NOTICE = "AI-generated, check before use"
NEWS_S = 0.5
ENGINE_START_S = 5.0
OUTCOME_S = 60.0


@click.command(cls=Command)
@click.argument("question")
@click.option("--user", "name", metavar="NAME", help="Who asks; the password is asked for.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A file with an API key, instead of a name and password.",
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="A file with the password; - reads it from standard input.",
)
@click.option("--model", metavar="NAME", help="Which model.  [default: the one you may use]")
@click.option(
    "--patient",
    metavar="REF",
    help="Record or encounter number; only a pseudonym is kept; - reads it from a line.",
)
@click.option("--purpose", metavar="WORD", help="What it is for.  [default: the site's setting]")
@json_option
@pass_invocation
def ask(
    invocation: Invocation,
    question: str,
    name: str | None,
    key_file: Path | None,
    password_file: Path | None,
    model: str | None,
    patient: str | None,
    purpose: str | None,
) -> None:
    """Ask a model one question, as a person.

    The answer is printed as it arrives. QUESTION is the text; - reads it from standard input. An
    API key may also stand in the variable APPLIANCE_API_KEY. Ctrl+C stops the answer. The model,
    its version and the numbers of the record's entries follow on standard error.

    \b
    Examples:
      appliance ask --user demo "What can you do?"
      appliance ask --key-file demo.key --json - < note.txt
    """
    # Before the question, which takes all that is left of standard input.
    patient = _patient(patient, password_file)
    text = _text(question, password_file)
    proof = signing_in.collect(name, key_file, password_file)
    with invocation.operations() as verbs:
        _await_engine(verbs)
        with signing_in.signed_in(verbs, proof) as actor:
            asked = Question.of(
                text, model=model, purpose=purpose, patient=patient, origin="console"
            )
            run = verbs.asking.ask(actor, asked)
            try:
                end = _follow(run, quiet=invocation.as_json)
            finally:
                # Whatever broke here, the answer has an outcome before the record is let go.
                run.stop("disconnected")
                run.finished(OUTCOME_S)
    _present(invocation, run, end)


def _patient(reference: str | None, password_file: Path | None) -> str | None:
    """Return the reference; `-` stands for a line, as everybody can read a command line."""
    if reference != "-":
        return reference
    if password_file == signing_in.STDIN:
        raise click.UsageError("patient and password cannot both come from standard input")
    return sys.stdin.readline().strip()


def _text(question: str, password_file: Path | None) -> str:
    if question == "-":
        if password_file == signing_in.STDIN:
            raise click.UsageError("question and password cannot both come from standard input")
        question = sys.stdin.read()
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise BadInputError("the question is not UTF-8 text; nothing was asked") from error
    return question


def _await_engine(verbs: Operations) -> None:
    """Say at once that nothing answers, instead of asking and then waiting."""
    until = time.monotonic() + ENGINE_START_S
    while (status := verbs.appliance.engine.status()).state == "down":
        if time.monotonic() >= until:
            raise EngineUnavailableError(
                "the model's process does not answer; nothing was asked",
                hint="start the appliance with `appliance run`, then ask again",
            )
        time.sleep(0.1)
    if status.state == "empty":
        raise EngineUnavailableError(
            f"no model is loaded; nothing was asked{_detail(status.detail)}",
            hint="`appliance model list` shows which model is active",
        )


def _detail(text: str) -> str:
    return f" ({text})" if text else ""


def _follow(run: AnswerRun, *, quiet: bool) -> AnswerState:
    """Print the answer as it grows; return how it ended."""
    shown, waiting = 0, ""
    # A closed window or a `kill` must not leave a question without its outcome.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        state = run.snapshot()
        while not state.ended:
            state = run.wait(state.version, NEWS_S)
            if not quiet:
                waiting = _mention(state, waiting)
                shown = _write(state.text, shown)
    except KeyboardInterrupt:
        run.stop("person")
    except OSError:
        run.stop("disconnected")
        # Python flushes at exit; a reader that is gone must not make that an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    end = run.finished(OUTCOME_S)
    if not quiet and shown < len(end.text):
        _write(end.text, shown)
    if not quiet and end.text:
        print(flush=True)
    return end


def _write(text: str, shown: int) -> int:
    if len(text) > shown:
        sys.stdout.write(presenting.clean(text[shown:]))
        sys.stdout.flush()
    return len(text)


def _mention(state: AnswerState, before: str) -> str:
    """Say once what the person is waiting for, if it is not the answer itself."""
    now = ""
    if state.state == "loading":
        now = "the model is loading"
    elif state.state == "queued" and state.position:
        now = f"waiting: {state.position} before you"
    if now and now != before:
        presenting.remark(now)
    return now


def _present(invocation: Invocation, run: AnswerRun, end: AnswerState) -> None:
    if not end.ended:
        raise UnavailableError("the answer has not ended yet; its outcome is recorded when it does")
    if invocation.as_json:
        presenting.json_document(_value(run, end))
    elif end.error is None:
        presenting.remark(_line(run, end))
        presenting.remark(NOTICE)
    if end.error is not None:
        raise end.error
    if end.state == "stopped":
        click.get_current_context().exit(INTERRUPTED)


def _line(run: AnswerRun, end: AnswerState) -> str:
    label = f" {presenting.DEMO_LABEL.removeprefix('demo ')}" if run.model.demo else ""
    ending = {"stopped": ", stopped", "length": ", cut off at the longest answer allowed"}
    how = ending.get(end.state) or ending.get(end.finish_reason or "", "")
    return (
        f"model {run.model.name} {run.model.version}{label}; "
        f"record entries {run.intent_seq} and {end.record_seq}{how}"
    )


def _value(run: AnswerRun, end: AnswerState) -> dict[str, object]:
    return {
        "answer": end.text,
        "state": end.state,
        "reason": end.finish_reason,
        "notice": NOTICE,
        "model": {
            "name": run.model.name,
            "version": run.model.version,
            "digest": run.model.digest,
            "demo": run.model.demo,
        },
        "answer_id": run.answer_id,
        "conversation_id": run.conversation_id,
        "record": {"request": run.intent_seq, "outcome": end.record_seq},
        "tokens": {"prompt": end.prompt_tokens, "answer": end.answer_tokens},
        "latency_ms": end.elapsed_ms,
        "error": None if end.error is None else end.error.code,
    }
