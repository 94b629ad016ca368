"""Finds calls of tools in an answer while it is written.

Pure. Guarantee: whatever does not become a call comes out as text, every character of it and in
order, and as soon as it can be told; a call comes out whole, once, with a name that was offered
and a JSON object of arguments. Only blanks and marks around a call are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from typing import Any

from appliance.llama.events import Called, Done, Event, Piece
from appliance.llama.tools import Call, Style, read_arguments, read_json

# What stands outside the strings of a JSON text.
_JSON_SIGNS = frozenset('{}[]:,"+-.0123456789eEtrufalsn \t\n\r')
_FIELDS = ("name", "type", "parameters", "arguments", "function", "id")


@dataclass(frozen=True)
class _Form:
    """`mark` opens a call anywhere, `bare` is what one may begin with at the very beginning.

    Many vocabularies have the mark as a control token, which an answer does not show.
    """

    mark: str
    close: str
    bare: str
    between: str = " \t\r\n"


FORMS: dict[Style, _Form] = {
    "hermes": _Form("<tool_call>", "</tool_call>", "{"),
    "llama": _Form("<|python_tag|>", "", "{", " \t\r\n;"),
    "mistral": _Form("[TOOL_CALLS]", "", "["),
}


class _Json:
    """Follows a JSON text to its end, without keeping it."""

    def __init__(self) -> None:
        self.ended = False
        self.broken = False
        self._open: list[str] = []
        self._in_string = False
        self._escaped = False

    def take(self, sign: str) -> None:
        if self._in_string:
            self._in_string = self._escaped or sign != '"'
            self._escaped = not self._escaped and sign == "\\"
        elif sign not in _JSON_SIGNS or (not self._open and sign not in "{[ \t\n\r"):
            self.broken = True
        elif sign == '"':
            self._in_string = True
        elif sign in "{[":
            self._open.append("}" if sign == "{" else "]")
        elif sign in "}]":
            self.broken = self._open.pop() != sign
            self.ended = not self._open and not self.broken


class CallReader:
    """Reads one answer; `feed` and `flush` return texts and calls in their order."""

    def __init__(
        self, style: Style, names: Set[str], new_id: Callable[[], str], *, one: bool = False
    ) -> None:
        """`names` are the tools that may be called; with `one`, calls after the first vanish."""
        self._form = FORMS[style]
        self._names = names
        self._new_id = new_id
        self._one = one
        self.found = 0
        self._buffer = ""
        # What `_buffer` is: text to look through, what may be a call, what follows one.
        self._state = "begin"
        self._json = _Json()
        self._mark = 0
        self._read = 0

    def feed(self, text: str) -> list[str | Call]:
        """Take a piece of the answer; return what is certain now."""
        self._buffer += text
        return _joined(self._steps(ending=False))

    def flush(self) -> list[str | Call]:
        """Return what is left when the answer ends."""
        return _joined(self._steps(ending=True))

    def _steps(self, *, ending: bool) -> Iterator[str | Call]:
        steps = {"begin": self._begin, "text": self._text, "json": self._held, "after": self._after}
        before = None
        while self._buffer and before != (self._state, len(self._buffer), self._read):
            before = (self._state, len(self._buffer), self._read)
            yield from steps[self._state](ending)

    def _begin(self, ending: bool) -> Iterator[str | Call]:
        """Where a call may begin without a mark: only blanks have come yet."""
        rest, mark = self._buffer.lstrip(), self._form.mark
        if rest.startswith(self._form.bare) and not mark.startswith(rest[: len(mark)]):
            self._hold(0)
        elif ending or (rest and not mark.startswith(rest)):
            self._state = "text"
        yield from ()

    def _text(self, ending: bool) -> Iterator[str | Call]:
        at = self._buffer.find(self._form.mark)
        held = 0 if ending else _overlap(self._buffer, self._form.mark)
        shown = at if at >= 0 else len(self._buffer) - held
        if shown:
            yield self._release(shown)
        if at >= 0:
            self._hold(len(self._form.mark))

    def _hold(self, mark: int) -> None:
        """Begin to follow what may be a call, after a mark of so many characters."""
        self._state, self._mark, self._read, self._json = "json", mark, mark, _Json()

    def _held(self, ending: bool) -> Iterator[str | Call]:
        while self._read < len(self._buffer) and not (self._json.ended or self._json.broken):
            self._json.take(self._buffer[self._read])
            self._read += 1
        calls = self._calls(self._buffer[self._mark : self._read]) if self._json.ended else None
        if calls is not None:
            self._release(self._read)
            self._state = "after"
            yield from calls
        elif self._json.ended or self._json.broken or ending or not self._promises():
            # No call: its mark is text, and what follows is looked through as any other text.
            self._state = "text"
            if self._mark:
                yield self._release(self._mark)

    def _promises(self) -> bool:
        """Tell whether what is held may still become a call: by the name of its first member."""
        rest = "".join(self._buffer[self._mark :][:80].split()).removeprefix("[")
        return any(f'{{"{field}":'.startswith(rest[: len(field) + 4]) for field in _FIELDS)

    def _after(self, ending: bool) -> Iterator[str | Call]:
        rest = self._buffer.lstrip(self._form.between)
        close = self._form.close
        if close and rest.startswith(close):
            rest = rest[len(close) :].lstrip(self._form.between)
        elif close and rest and close.startswith(rest) and not ending:
            return
        self._buffer = rest
        if rest:
            self._state = "begin" if self._form.bare == "{" else "text"
        yield from ()

    def _calls(self, text: str) -> list[Call] | None:
        """Return the calls in a complete JSON text; None unless all of it is calls."""
        value = read_json(text)
        found: list[Call] = []
        for item in value if isinstance(value, list) else [value]:
            call = self._call(item)
            if call is None:
                return None
            found.append(call)
        if not found:
            return None
        first = self.found
        self.found += len(found)
        return found[: max(0, 1 - first)] if self._one else found

    def _call(self, item: Any) -> Call | None:
        if not isinstance(item, dict):
            return None
        if isinstance(item.get("function"), dict):
            item = item["function"]
        name = item.get("name")
        given = item.get("arguments", item.get("parameters", {}))
        arguments = read_arguments({} if given is None else given)
        if not isinstance(name, str) or name not in self._names or arguments is None:
            return None
        return Call(self._new_id(), name, arguments)

    def _release(self, length: int) -> str:
        shown, self._buffer = self._buffer[:length], self._buffer[length:]
        return shown


def with_calls(events: Iterable[Event], reader: CallReader) -> Iterator[Event]:
    """Pass the events of an answer on, calls in the place of the text that they were."""
    index = 0
    for event in events:
        match event:
            case Piece(text, logprobs):
                parts = reader.feed(text)
            case Done():
                parts, logprobs = reader.flush(), ()
            case _:
                yield event
                continue
        for part in parts:
            if isinstance(part, str):
                yield Piece(part, logprobs)
                logprobs = ()
            else:
                yield Called(index, part.id, part.name, part.arguments)
                index += 1
        if logprobs:
            yield Piece("", logprobs)
        if isinstance(event, Done):
            yield replace(event, reason="tool_calls") if index and event.reason == "stop" else event


def _overlap(text: str, mark: str) -> int:
    """Return how much of the end of `text` may be the beginning of `mark`."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if mark.startswith(text[-length:]):
            return length
    return 0


def _joined(parts: Iterator[str | Call]) -> list[str | Call]:
    """Put neighbouring texts together."""
    found: list[str | Call] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return found
