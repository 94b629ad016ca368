"""The program of the template process: gives up its rights, renders what it is sent, replies.

Started by `rendering` only, with the template in its first message. Imports the standard library
and Jinja alone. One JSON object per line, in and out:

    in   {"template", "eos", "bos"}           out  {"ready": true}
    in   {"messages", "tools", "most"}        out  {"prompt": text}

or `{"refused": why}`: the template is not valid, or refuses the conversation in its own words.
Any other end means that a limit was hit: processor time per message, memory, open files.

The dialect is that of Hugging Face's `transformers`, as `llama_cpp.llama_chat_format` follows it.
"""

from __future__ import annotations

import ctypes
import functools
import json
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, BinaryIO

import jinja2
import jinja2.debug  # Jinja's first error would load it, when no file can be opened
import jinja2.ext
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_SECONDS = 1.0
MEMORY_BYTES = 512 * 1_048_576
MAX_REASON = 500
PR_SET_NO_NEW_PRIVS = 38
# A template raises ValueError through its own `raise_exception`, and TypeError on odd input.
REFUSALS = (jinja2.TemplateError, ValueError, TypeError)


class _GenerationTags(jinja2.ext.Extension):
    """Passes what stands in `{% generation %}` through; it marks training data."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> Node | list[Node]:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def main() -> None:
    """Lock down, compile the template, render until the other end closes."""
    give_up_rights()
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    first = _timed(lambda: _compiled(json.loads(requests.readline())))
    template = first.pop("template", None)
    _reply(replies, first)
    while template is not None and (line := requests.readline()):
        _reply(replies, _timed(functools.partial(_rendered, template, line)))


def give_up_rights() -> None:
    """Leave this process its open descriptors, bounded memory, and no way to start another."""
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # What Python opens files for at first use, while it still can.
    datetime.now().astimezone()
    b"\\n".decode("unicode-escape")
    for limit, wanted in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        hard = resource.getrlimit(limit)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(limit, (value, value))


def _timed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do one piece of work within the processor's time; the kernel ends this process else.

    A timer of the process itself, since a single long operation in C lets no Python code run.
    """
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        return work()
    except REFUSALS as error:
        return {"refused": str(error)[:MAX_REASON]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _compiled(sent: Mapping[str, Any]) -> dict[str, Any]:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationTags, jinja2.ext.loopcontrols],
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(
        eos_token=sent["eos"],
        bos_token=sent["bos"],
        add_generation_prompt=True,
        functions=None,
        function_call=None,
        tool_choice=None,
        raise_exception=_refuse,
        strftime_now=_now,
    )
    return {"ready": True, "template": environment.from_string(sent["template"])}


def _rendered(template: jinja2.Template, line: bytes) -> dict[str, Any]:
    sent = json.loads(line)
    prompt: list[str] = []
    room: int = sent["most"]
    for piece in template.generate(messages=sent["messages"], tools=sent["tools"]):
        room -= len(piece)
        if room < 0:
            return {"refused": f"it writes more than {sent['most']} characters"}
        prompt.append(piece)
    return {"prompt": "".join(prompt)}


def _reply(replies: BinaryIO, value: Mapping[str, Any]) -> None:
    replies.write(json.dumps(value).encode() + b"\n")
    replies.flush()


def _refuse(message: object) -> None:
    raise ValueError(str(message))


def _now(layout: str) -> str:
    return datetime.now().strftime(layout)  # noqa: DTZ005 - the ward's own time, as templates expect


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
