"""From OpenAI-style message bodies to `Message`s: text only, known roles, printable characters.

Pure. Guarantees that what comes out can be encoded, sealed, shown and tokenized. Control
characters are replaced, not refused, since they come along when text is pasted from other
systems: form feeds and the like become a line break, all others a space, lone surrogates
U+FFFD. Marks for right-to-left text and emoji stay as they are. Not here: limits in tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from appliance.errors import BadInputError, TooLargeError
from appliance.inference.engine import Message, Role

MAX_MESSAGES = 1_000
ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_LINE_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean_text(text: str) -> str:
    """Return `text` with line breaks as `\\n` and no control characters or lone surrogates."""
    text = _CONTROL.sub(" ", _LINE_BREAKS.sub("\n", text))
    return _SURROGATES.sub("\ufffd", text)


def parse_messages(value: object) -> tuple[Message, ...]:
    """Return the conversation in a body's `messages`, which must end with a user's message.

    Raises BadInputError that names the message at fault (counted from 1), or TooLargeError.
    """
    if not isinstance(value, list) or not value:
        raise BadInputError("messages must be a list with at least one message")
    if len(value) > MAX_MESSAGES:
        raise TooLargeError(f"there are {len(value)} messages; at most {MAX_MESSAGES} are taken")
    messages = tuple(_message(item, number) for number, item in enumerate(value, start=1))
    if messages[-1].role != "user":
        raise BadInputError("the last message must come from the user")
    if not messages[-1].content.strip():
        raise BadInputError("the last message is empty; there is nothing to answer")
    return messages


def _message(item: object, number: int) -> Message:
    if not isinstance(item, Mapping):
        raise BadInputError(f"message {number} must be an object with role and content")
    role = item.get("role")
    if role in ("tool", "function") or item.get("tool_calls") or item.get("function_call"):
        raise BadInputError(
            f"message {number} is about a tool; this appliance does not use tools",
            hint="send text messages only",
        )
    if not isinstance(role, str) or role not in ROLES:
        raise BadInputError(
            f"message {number} has no known role", hint=f"use one of {', '.join(ROLES)}"
        )
    return Message(ROLES[role], clean_text(_content(item.get("content"), number)))


def _content(content: object, number: int) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadInputError(f"the content of message {number} must be a text")
    return "\n".join(_part(part, number) for part in content)


def _part(part: object, number: int) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    text = part.get("text") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(text, str):
        return text
    if isinstance(kind, str) and kind != "text":
        # The kind is the caller's own text, so only a short and plain one is repeated.
        shown = kind if re.fullmatch("[a-z_]{1,32}", kind) else "something else"
        raise BadInputError(
            f"message {number} holds {shown}; this appliance reads text only",
            hint="send the text of it instead",
        )
    raise BadInputError(f"a part of message {number} is not a text")
