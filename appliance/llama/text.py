"""Text on its way in and out of a model: made safe, put together, stopped at the right place.

Pure. Guarantees that no text of a message can become a control token of a model (`Neutraliser`),
that only complete characters come out (`PieceDecoder`), and that a stop text never appears in an
answer even when it arrives in several tokens (`StopMatcher`).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

REPLACEMENT = "\ufffd"
_SURROGATES = re.compile("[\ud800-\udfff]")
# Everything in C0 and C1 but tab and newline: a terminal or a page might act on it.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")

# Turn markers of the common model families. A model's vocabulary may hold some of them as plain
# text, and a template may use them all the same, so they are broken whatever the vocabulary says.
_KNOWN_MARKERS = (
    r"<\|[^\s|<>]{1,64}\|>",
    r"<\uff5c[^\s<>]{1,64}\uff5c>",  # the same with full-width bars
    r"</?s>",
    r"\[/?INST\]",
    r"<</?SYS>>",
    r"<(?:start|end)_of_turn>",
    # What wraps calls of tools and their results.
    r"</?tool_(?:call|response)>",
    r"\[/?(?:TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]",
)


def without_surrogates(text: str) -> str:
    """Replace lone surrogates, which have no UTF-8 form, by U+FFFD."""
    return _SURROGATES.sub(REPLACEMENT, text)


class Neutraliser:
    """Breaks every control-token text inside a message, so that it stays ordinary text.

    A space goes in after the first character (`< |end|>`): a reader still sees what was written,
    and the tokenizer no longer sees the token. A marker of one character becomes U+FFFD.
    """

    def __init__(self, control_texts: Iterable[str]) -> None:
        own = sorted({text for text in control_texts if text.strip()}, key=len, reverse=True)
        self._pattern = re.compile("|".join([*map(re.escape, own), *_KNOWN_MARKERS]))

    def __call__(self, text: str) -> str:
        # Breaking one marker may, in a strange vocabulary, spell another; so until none is left.
        # Each round makes the text longer or shorter in a way that ends: a broken marker cannot
        # match at the same place again unless the vocabulary holds that spelling too.
        for _ in range(8):
            text, broken = self._pattern.subn(_break, text)
            if not broken:
                return text
        return self._pattern.sub(REPLACEMENT, text)


def _break(match: re.Match[str]) -> str:
    marker = match.group()
    return f"{marker[0]} {marker[1:]}" if len(marker) > 1 else REPLACEMENT


class PieceDecoder:
    """Turns the bytes of tokens into text; holds a half character back until it is whole.

    Bytes that are no UTF-8 become U+FFFD, control characters other than tab and newline vanish.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, piece: bytes) -> str:
        return _CONTROL.sub("", self._decoder.decode(piece))

    def flush(self) -> str:
        return _CONTROL.sub("", self._decoder.decode(b"", final=True))


class StopMatcher:
    """Passes text on up to the first stop text; holds back an ending that may become one."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""
        self.matched = False

    def feed(self, text: str) -> str:
        """Return what may be shown now; sets `matched` once a stop text is complete."""
        if self.matched:
            return ""
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.matched = True
            return self._release(min(found))
        return self._release(len(self._held) - self._possible())

    def flush(self) -> str:
        """Return what was held back, when the answer ends without a stop text."""
        return "" if self.matched else self._release(len(self._held))

    def _release(self, length: int) -> str:
        shown, self._held = self._held[:length], self._held[length:]
        return shown

    def _possible(self) -> int:
        longest = max(map(len, self._stops), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0
