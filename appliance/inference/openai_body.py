"""What is sent to an OpenAI-compatible server: requests as JSON bodies.

Pure. Fields at their neutral value are not sent, so that a server which knows only OpenAI's own
fields is not asked for more than a request needs. Not here: the way there (`connection`), and
what comes back (`events`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from appliance.errors import BadInputError
from appliance.inference.engine import Generation, Message, Sampling, Tool, Tools
from appliance.inference.messages import clean_text

Safe = Callable[[str], str]
ANY_OBJECT = {"type": "object"}


def chat_body(request: Generation, safe: Safe = clean_text) -> dict[str, Any]:
    """Return the body of a chat; `safe` is put over every text that a caller wrote."""
    return {
        "model": request.digest,
        "messages": message_bodies(request.messages, safe),
        **_streamed(request),
        **_sampling(request.sampling),
        **_tools(request.tools, safe),
    }


def completion_body(request: Generation, safe: Safe = clean_text) -> dict[str, Any]:
    """Return the body of a text to be continued; raise BadInputError for tools."""
    if request.tools.offered:
        raise BadInputError("tools can be used in a conversation only, not with a bare prompt")
    return {
        "model": request.digest,
        "prompt": safe(request.prompt or ""),
        **_streamed(request),
        **_sampling(request.sampling),
    }


def message_bodies(messages: tuple[Message, ...], safe: Safe = clean_text) -> list[dict[str, Any]]:
    return [_message(message, safe) for message in messages]


def schema_value(text: str) -> dict[str, Any]:
    """Return a JSON Schema as an object; raise BadInputError for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInputError("the JSON schema is not JSON") from error
    if not isinstance(value, dict):
        raise BadInputError("a JSON schema is an object")
    return value


def tool_body(tool: Tool, safe: Safe = clean_text) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": safe(tool.description),
            "parameters": _safe_value(schema_value(tool.parameters or "{}"), safe),
        },
    }


def _safe_value(value: Any, safe: Safe) -> Any:
    """Return a JSON value with all its texts and names made safe."""
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, dict):
        return {safe(name): _safe_value(item, safe) for name, item in value.items()}
    return [_safe_value(item, safe) for item in value] if isinstance(value, list) else value


def _safe_arguments(text: str, safe: Safe) -> str:
    """Return a call's arguments, safe once they are read: JSON can write any sign as an escape."""
    try:
        return json.dumps(_safe_value(json.loads(text), safe), ensure_ascii=False)
    except (ValueError, RecursionError):
        return safe(text)


def _message(message: Message, safe: Safe) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": safe(message.content)}
    if message.tool_calls:
        body["tool_calls"] = [
            {
                "id": safe(call.id),
                "type": "function",
                "function": {
                    "name": safe(call.name),
                    "arguments": _safe_arguments(call.arguments, safe),
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        body["tool_call_id"] = safe(message.tool_call_id)
    return body


def _streamed(request: Generation) -> dict[str, Any]:
    body: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    return {**body, "user": request.person} if request.person else body


def _sampling(sampling: Sampling) -> dict[str, Any]:
    body: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    neutral = Sampling(0)
    for name in (
        "seed",
        "top_k",
        "min_p",
        "repeat_penalty",
        "frequency_penalty",
        "presence_penalty",
    ):
        value = getattr(sampling, name)
        if value != getattr(neutral, name):
            body[name] = value
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias}
    if sampling.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
    if sampling.schema is not None:
        body["response_format"] = _response_format(schema_value(sampling.schema))
    return body


def _response_format(schema: dict[str, Any]) -> dict[str, Any]:
    if schema == ANY_OBJECT:
        return {"type": "json_object"}
    named = {"name": "answer", "strict": True, "schema": schema}
    return {"type": "json_schema", "json_schema": named}


def _tools(tools: Tools, safe: Safe) -> dict[str, Any]:
    """Return what is offered; a way of choosing among nothing is not sent."""
    if not tools.offered:
        return {}
    choice: object = tools.mode
    if tools.named is not None:
        choice = {"type": "function", "function": {"name": tools.named}}
    single = {} if tools.parallel else {"parallel_tool_calls": False}
    return {
        "tools": [tool_body(tool, safe) for tool in tools.offered],
        "tool_choice": choice,
        **single,
    }
