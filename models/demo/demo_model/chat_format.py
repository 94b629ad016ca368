"""The conversation format, once as the jinja template in the GGUF and once in Python.

Guarantee: both give the same text for the same messages (a test compares them), and no
message can contain a control token: every `<|` in content is broken by a space.
"""

from __future__ import annotations

from dataclasses import dataclass

from demo_model.conversations import Conversation

BEGIN, END, UNKNOWN_TOKEN = "<|begin|>", "<|end|>", "<|unk|>"
ROLES = {"system": "<|system|>", "user": "<|user|>", "assistant": "<|assistant|>"}
CONTROL_TOKENS = (BEGIN, END, *ROLES.values())

# Content is a string, or a list of parts of which the text parts count. All control tokens
# open with `<|`, so one replacement disarms them; inserting a space cannot make a new one.
CHAT_TEMPLATE = (
    "{{ '<|begin|>' }}"
    "{%- for message in messages -%}"
    "{%- set ns = namespace(text='') -%}"
    "{%- if message['content'] is string -%}"
    "{%- set ns.text = message['content'] -%}"
    "{%- elif message['content'] -%}"
    "{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'text' -%}{%- set ns.text = ns.text + part['text'] -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- endif -%}"
    "{%- if message['role'] in ['system', 'user', 'assistant'] -%}"
    "{{ '<|' + message['role'] + '|>' + (ns.text | replace('<|', '< |') | trim) + '<|end|>' }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}"
)


@dataclass(frozen=True)
class Piece:
    """A run of text, tokenised on its own; `learnt` marks what the loss counts."""

    text: str
    learnt: bool
    control: bool


def _message(role: str, content: str) -> list[Piece]:
    learnt = role == "assistant"
    text = content.replace("<|", "< |").strip()
    return [
        Piece(ROLES[role], learnt=False, control=True),
        Piece(text, learnt=learnt, control=False),
        Piece(END, learnt=learnt, control=True),
    ]


def pieces(conversation: Conversation) -> list[Piece]:
    """The conversation as control tokens and text, in the template's order."""
    found = [Piece(BEGIN, learnt=False, control=True)]
    if conversation.system is not None:
        found += _message("system", conversation.system)
    for turn in conversation.turns:
        found += _message("user", turn.question) + _message("assistant", turn.answer)
    return found
