"""One table from error class to exit code, and the one place where errors become words.

Exit codes: 0 done; 1 refused or failed, nothing changed; 2 wrong usage; 3 verification failed;
4 not available. 130 when a person pressed Ctrl+C. A stack trace goes to no one: an unexpected
error is named by its type and place, because its message could quote what a person wrote.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping

import click

from appliance import errors as known
from appliance.bundles import refusals as bundles
from appliance.cli.presenting import clean, json_text
from appliance.cli.supervisor import PartRefusedError

DONE, REFUSED, USAGE, UNVERIFIED, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 4, 130

EXIT: Mapping[type[known.ApplianceError], int] = {
    known.ApplianceError: REFUSED,
    known.BadInputError: USAGE,
    known.TooLargeError: USAGE,
    known.ContextOverflowError: USAGE,
    known.ConfigurationError: REFUSED,
    known.NotInitialisedError: REFUSED,
    known.NotFoundError: REFUSED,
    known.CertificateError: REFUSED,
    known.ConflictError: REFUSED,
    known.NotSignedInError: REFUSED,
    known.SessionExpiredError: REFUSED,
    known.ForbiddenError: REFUSED,
    known.ForgedRequestError: REFUSED,
    known.LockedOutError: REFUSED,
    known.VerificationError: UNVERIFIED,
    known.UnavailableError: UNAVAILABLE,
    known.RecordUnavailableError: UNAVAILABLE,
    known.EngineUnavailableError: UNAVAILABLE,
    known.EngineDownError: UNAVAILABLE,
    known.DiskFullError: UNAVAILABLE,
    known.BusyError: UNAVAILABLE,
    known.AnswerTimeoutError: UNAVAILABLE,
    known.TamperedError: UNVERIFIED,
    bundles.BundleError: UNVERIFIED,
    bundles.WrongFingerprintError: UNVERIFIED,
    bundles.UnknownPublisherError: UNVERIFIED,
    bundles.SignatureError: UNVERIFIED,
    bundles.ExpiredError: UNVERIFIED,
    bundles.RollbackError: UNVERIFIED,
    bundles.LayoutError: UNVERIFIED,
    bundles.ContentError: UNVERIFIED,
    bundles.UnsafeModelError: UNVERIFIED,
    bundles.DamagedModelError: UNVERIFIED,
    bundles.EngineTooOldError: UNVERIFIED,
    bundles.DeniedModelError: UNVERIFIED,
    bundles.RevokedPublisherError: UNVERIFIED,
    bundles.MediumError: UNAVAILABLE,
    bundles.StorageError: UNAVAILABLE,
    bundles.IncompleteError: UNAVAILABLE,
    PartRefusedError: UNAVAILABLE,
}


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of an error: that of its class, or of the nearest class above it."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        return USAGE
    return exit_code_of_class(type(error))


def exit_code_of_class(kind: type[BaseException]) -> int:
    """Return the exit code of a class of errors, or of the nearest one above it."""
    return next((EXIT[above] for above in kind.__mro__ if above in EXIT), REFUSED)


def report(error: BaseException, *, as_json: bool = False) -> None:
    """Print what happened and what to do next to stderr."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:
        click.echo(error.format_message(), err=True)
        return
    code, what, hint = _words(error)
    if code == "interrupted" and sys.stderr.isatty():
        # The cursor stands behind a prompt, or behind the ^C that the terminal showed.
        print(file=sys.stderr)
    if as_json:
        body: dict[str, object] = {"code": code, "message": what, "next": hint}
        if isinstance(error, known.TamperedError):
            body["entry"] = error.seq
        print(json_text({"error": body}), file=sys.stderr)
        return
    print(f"error: {clean(what)}", file=sys.stderr)
    print(f"next: {clean(hint)}", file=sys.stderr)


def _words(error: BaseException) -> tuple[str, str, str]:
    """Return the code, what happened, and what to do next."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return "interrupted", "stopped by Ctrl+C", "run the command again if you want it"
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, known.LockedOutError):
        return error.code, error.message, f"{error.hint} ({error.retry_after} seconds are left)"
    if isinstance(error, known.ApplianceError):
        return error.code, error.message, error.hint
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        what = (error.strerror or type(error).__name__).lower()
        return "machine", f"{place}{what}", "check that the file is there and who may use it"
    return "internal", _unexpected(error), "report this line: the fault is in the appliance"


def _usage(error: click.ClickException) -> tuple[str, str, str]:
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    lines = error.format_message().splitlines() or ["wrong usage"]
    what = " ".join(line.strip() for line in lines).rstrip(".")
    path = ctx.command_path if ctx is not None else "appliance"
    return "usage", what[:1].lower() + what[1:], f"`{path} --help` shows how it is used"


def _unexpected(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"an unexpected {type(error).__name__}{place}"
