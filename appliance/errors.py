"""Every failure that a person may meet, as one small tree of exceptions.

An error states a stable code, what happened in words for an operator, and a hint: what to do
next. The code is an interface: scripts, documents and the audit record rely on it. How an error
becomes an HTTP status or an exit code is decided in `web/errors.py` and `cli/errors.py`.

Not here: errors of libraries. They are translated where they arise.
"""

from __future__ import annotations

import traceback
from pathlib import Path


def fault_of(error: BaseException) -> str:
    """Return class and place of an unexpected error, for a log, without its text.

    The text, or a traceback with local values, may hold a prompt or an answer.
    """
    frames = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return type(error).__name__ + place


class ApplianceError(Exception):
    """A refusal or failure with a stable `code` and a `hint` that says what to do next."""

    code = "failed"
    hint = "see the record for what led to it"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint


class BadInputError(ApplianceError):
    """The caller sent something that can never work as it stands."""

    code = "bad_input"
    hint = "correct the input and try again"


class TooLargeError(BadInputError):
    """The input exceeds a limit in bytes."""

    code = "too_large"
    hint = "send less at once"


class ContextOverflowError(BadInputError):
    """Prompt and answer do not fit into the model's context window."""

    code = "context_length_exceeded"
    hint = "shorten the text, or start a new conversation"


class ConfigurationError(ApplianceError):
    """A setting is unknown, of the wrong type, or unsafe."""

    code = "bad_configuration"
    hint = "correct the setting; `appliance config show` lists every one and its source"


class NotInitialisedError(ApplianceError):
    """The state folder has not been made by `appliance init`, or part of it is missing."""

    code = "not_initialised"
    hint = "run `appliance init`, or restore a backup if this machine was in use before"


class NotFoundError(ApplianceError):
    """The named thing does not exist, or is not visible to the one who asks."""

    code = "not_found"
    hint = "check the name; the matching list command shows what there is"


class ConflictError(ApplianceError):
    """The request contradicts the present state."""

    code = "conflict"
    hint = "look at the present state, then try again"


class NotSignedInError(ApplianceError):
    """No valid session or API key came with the request."""

    code = "not_signed_in"
    hint = "sign in again"


class SessionExpiredError(NotSignedInError):
    """A session was idle or open for too long and is closed now; `user_id` says whose."""

    code = "session_expired"

    def __init__(self, message: str, *, user_id: str) -> None:
        super().__init__(message)
        self.user_id = user_id


class ForbiddenError(ApplianceError):
    """The actor is known, and may not do this."""

    code = "forbidden"
    hint = "ask an administrator if your role should allow it"


class ForgedRequestError(ForbiddenError):
    """A form came without its anti-forgery token, or with a wrong one."""

    code = "forged_request"
    hint = "reload the page and try again"


class LockedOutError(ApplianceError):
    """Too many failed attempts; `retry_after` seconds remain."""

    code = "locked_out"
    hint = "wait, or ask an administrator to unlock the account"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VerificationError(ApplianceError):
    """A signature, digest, chain or commitment does not match: assume tampering."""

    code = "verification_failed"
    hint = "keep the files as they are and call the person in charge of security"


class CertificateError(ApplianceError):
    """A certificate for the edge, or what belongs to it, is not fit to be used."""

    code = "bad_certificate"
    hint = "nothing was changed; `appliance tls show` says where it stands"


class TamperedError(VerificationError):
    """The record is not as it was written: `seq` is the first bad entry, `what` is wrong with it.

    `seq` is None when the damage lies in the file itself and no single entry can be named.
    """

    code = "record_tampered"
    hint = (
        "keep the files as they are and call the person in charge of security; to go on, "
        "restore the newest backup that verifies"
    )

    def __init__(self, seq: int | None, what: str, *, hint: str | None = None) -> None:
        place = "the file of the record" if seq is None else f"entry {seq} of the record"
        super().__init__(f"{place} is not as it was written: {what}", hint=hint)
        self.seq = seq
        self.what = what


class UnavailableError(ApplianceError):
    """A part of the appliance does not answer at present."""

    code = "unavailable"
    hint = "try again shortly; `appliance doctor` shows which part is down"


class RecordUnavailableError(UnavailableError):
    """The record cannot be written, so nothing may be asked (no record, no answer)."""

    code = "record_unavailable"
    hint = "no question is answered until the record can be written; call IT"


class EngineUnavailableError(UnavailableError):
    """The model's process is down, restarting, or has no model loaded."""

    code = "engine_unavailable"
    hint = "try again in a few seconds; call IT if it lasts"


class EngineDownError(EngineUnavailableError):
    """The engine was not reached, or refused before it began: no token of this was computed."""

    code = "engine_down"
    hint = "try again in a few seconds; call IT if it lasts"


class DiskFullError(UnavailableError):
    """There is no room to write; what was acknowledged before is safe."""

    code = "disk_full"
    hint = "free space on the disk that holds the state folder; service resumes by itself"


class BusyError(UnavailableError):
    """One person, or the whole appliance, has too many answers under way."""

    code = "busy"
    hint = "wait until an earlier answer is finished, or stop it"


class AnswerTimeoutError(UnavailableError):
    """An answer took longer than the site allows and was ended."""

    code = "timeout"
    hint = "ask for a shorter answer; call IT if short answers take this long too"
