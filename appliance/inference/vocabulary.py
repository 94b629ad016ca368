"""What the header of a weights file says of its texts: chat template, control tokens, ends.

Pure. For engines of others, which tokenize a prompt as one text: the texts that may not come
from a message have to be known before. Guarantee: every count is checked against what is there,
so that a header costs no more than its own size. Not here: whether the file is safe to load, for
which `bundles` and the engine have their own rules.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from appliance.errors import EngineUnavailableError

MAX_VALUES = 4_096
MAX_TEXT = 4 * 1_048_576
MAX_ITEMS = 4_194_304
UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
_BOOL, _STRING, _ARRAY = 7, 8, 9
_NUMBERS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", _BOOL: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """`template` is "" when the file has none; `tokens` and `kinds` are by number."""

    template: str
    tokens: tuple[str, ...]
    kinds: tuple[int, ...]
    bos: str
    eos: str
    context_tokens: int

    def control_texts(self, template: str) -> tuple[str, ...]:
        """Return the texts that may never come from a message.

        User-defined ones only where the template uses them, since some models keep runs of
        spaces or HTML tags in that class.
        """
        return tuple(
            text
            for text, kind in zip(self.tokens, self.kinds, strict=False)
            if kind in (UNKNOWN, CONTROL)
            or (kind == USER_DEFINED and text.strip() and text in template)
        )


def read_vocabulary(file: BinaryIO) -> Vocabulary:
    """Return what the header says; raise EngineUnavailableError when it makes no sense."""
    try:
        values = _header(file)
    except (struct.error, ValueError, KeyError, OverflowError, UnicodeDecodeError) as error:
        raise EngineUnavailableError(
            f"the header of the weights cannot be read ({error}); nothing was asked",
            hint="verify the model with `appliance model verify`",
        ) from error
    tokens = _texts(values.get("tokenizer.ggml.tokens"))
    kinds = values.get("tokenizer.ggml.token_type")
    architecture = values.get("general.architecture")
    context = values.get(f"{architecture}.context_length")
    template = values.get("tokenizer.chat_template")
    return Vocabulary(
        template if isinstance(template, str) else "",
        tokens,
        tuple(kinds) if isinstance(kinds, tuple) else (),
        _named(values, "bos", tokens),
        _named(values, "eos", tokens),
        context if type(context) is int else 0,
    )


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if type(item) is str) if isinstance(value, tuple) else ()


def _named(values: Mapping[str, Any], name: str, tokens: Sequence[str]) -> str:
    number = values.get(f"tokenizer.ggml.{name}_token_id")
    return tokens[number] if type(number) is int and 0 <= number < len(tokens) else ""


def _header(file: BinaryIO) -> dict[str, Any]:
    magic, version, _, count = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version not in (2, 3) or count > MAX_VALUES:
        raise ValueError("not GGUF 2 or 3")
    values = {}
    for _ in range(count):
        key = _text(file)
        values[key] = _value(file, *_unpack(file, "I"))
    return values


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _text(file)
    if kind != _ARRAY:
        return _unpack(file, _NUMBERS[kind])[0]
    inner, count = _unpack(file, "IQ")
    if count > MAX_ITEMS:
        raise ValueError("an array without end")
    if inner == _STRING:
        return tuple(_text(file) for _ in range(count))
    return _unpack(file, f"{count}{_NUMBERS[inner]}")


def _text(file: BinaryIO) -> str:
    (length,) = _unpack(file, "Q")
    if length > MAX_TEXT:
        raise ValueError("a text without end")
    data = file.read(length)
    if len(data) != length:
        raise ValueError("it ends early")
    return data.decode("utf-8", "replace")


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack("<" + layout, file.read(struct.calcsize("<" + layout)))
