"""A form that is sent twice acts once.

Each form that asks or creates carries a random token. The first request with a token runs the
work; a second one from the same session, even at the same moment, waits and gets the first one's
result. When the work raises, the token is free again, so that a person can retry.

What is kept: for a question the ids of conversation and answer, never their text. A fresh
password or API key must reach the person also when they pressed twice, because the browser then
shows the second response alone. So it is given again to the very session that made it, for
`SECRET_S` seconds and to nobody else; then it is dropped from memory, asked for or not. The token
outlives it: the same form sent later is refused, and makes nothing twice.

Not here: memory across a restart of the gateway. A form sent again after one acts again.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from appliance.errors import BadInputError, ConflictError

Result = TypeVar("Result")
Key = tuple[str, str]
MAX_TOKEN_CHARACTERS = 64
SECRET_S = 60.0


class Once:
    """Remembers the last `capacity` forms. `session` below is what stands for one session."""

    def __init__(self, capacity: int = 2_048, secret_s: float = SECRET_S) -> None:
        self._capacity = capacity
        self._secret_s = secret_s
        # None: the work was done, and its result is no longer kept.
        self._results: OrderedDict[Key, Future[Any] | None] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, session: str, token: str, work: Callable[[], Result]) -> Result:
        """Return the result of `work`, run at most once for this session and token."""
        if not 0 < len(token) <= MAX_TOKEN_CHARACTERS:
            raise BadInputError("the form came without its token", hint="reload the page")
        future, is_first = self._claim((session, token))
        if future is None:
            raise ConflictError(
                "this form was sent before, and what it made is not shown again",
                hint="reload the page to see how things stand",
            )
        if is_first:
            return self._do((session, token), future, work)
        return cast(Result, future.result())

    def run_secret(self, session: str, token: str, work: Callable[[], Result]) -> Result:
        """Do the same for a result that is a secret: it is soon forgotten."""

        def timed() -> Result:
            result = work()
            timer = threading.Timer(self._secret_s, self._drop_result, [(session, token)])
            timer.daemon = True
            timer.start()
            return result

        return self.run(session, token, timed)

    def _do(self, key: Key, future: Future[Any], work: Callable[[], Result]) -> Result:
        try:
            result = work()
        except BaseException as error:
            with self._lock:
                self._results.pop(key, None)
            future.set_exception(error)
            raise
        future.set_result(result)
        return result

    def _claim(self, key: Key) -> tuple[Future[Any] | None, bool]:
        with self._lock:
            if key in self._results:
                return self._results[key], False
            while len(self._results) >= self._capacity:
                self._results.popitem(last=False)
            future: Future[Any] = Future()
            self._results[key] = future
            return future, True

    def _drop_result(self, key: Key) -> None:
        with self._lock:
            if key in self._results:
                self._results[key] = None


def new_token() -> str:
    """Return the token for a fresh form."""
    return secrets.token_urlsafe(16)
