"""A form that is sent twice acts once.

Each form that asks or creates carries a random token. The first request with a token runs the
work; a second one with the same token, even at the same moment, waits and gets the first one's
result. When the work raises, the token is free again, so that a person can retry.

Not here: memory across a restart of the gateway. A form sent again after one acts again.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from appliance.errors import BadInputError

Result = TypeVar("Result")
MAX_TOKEN_CHARACTERS = 64


class Once:
    """Remembers the results of the last `capacity` forms."""

    def __init__(self, capacity: int = 2_048) -> None:
        self._capacity = capacity
        self._results: OrderedDict[tuple[str, str], Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, person: str, token: str, work: Callable[[], Result]) -> Result:
        """Return the result of `work`, run at most once for this person and token."""
        if not 0 < len(token) <= MAX_TOKEN_CHARACTERS:
            raise BadInputError("the form came without its token", hint="reload the page")
        future, is_first = self._claim((person, token))
        if not is_first:
            return cast(Result, future.result())
        try:
            result = work()
        except BaseException as error:
            with self._lock:
                self._results.pop((person, token), None)
            future.set_exception(error)
            raise
        future.set_result(result)
        return result

    def _claim(self, key: tuple[str, str]) -> tuple[Future[Any], bool]:
        with self._lock:
            known = self._results.get(key)
            if known is not None:
                return known, False
            while len(self._results) >= self._capacity:
                self._results.popitem(last=False)
            future: Future[Any] = Future()
            self._results[key] = future
            return future, True


def new_token() -> str:
    """Return the token for a fresh form."""
    return secrets.token_urlsafe(16)
