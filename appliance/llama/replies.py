"""The engine's answers in OpenAI's shapes: conversations, continued texts, vectors.

Pure. Source: OpenAI's API reference (chat completions, completions, embeddings). An answer comes
in chunks, each call of a tool whole, or as one body.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from appliance.llama import logprobs
from appliance.llama.events import Called, Done, Piece, TokenLogprob
from appliance.llama.wire import event, usage


@dataclass(frozen=True)
class Answer:
    """What all chunks of one answer have in common; `created` is in whole seconds."""

    identifier: str
    created: int
    digest: str

    def _body(self, kind: str, choice: Mapping[str, object]) -> dict[str, object]:
        return {
            "id": self.identifier,
            "object": kind,
            "created": self.created,
            "model": self.digest,
            "choices": [{"index": 0, **choice}],
        }


@dataclass(frozen=True)
class ChatAnswer(Answer):
    """An answer in a conversation."""

    def opening(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})

    def piece(self, piece: Piece) -> bytes:
        shape = logprobs.chat_shape(piece.logprobs) if piece.logprobs else None
        return self._chunk({"content": piece.text}, shape)

    def call(self, called: Called) -> bytes:
        return self._chunk({"tool_calls": [{"index": called.index, **_call(called)}]})

    def end(self, done: Done) -> bytes:
        """Return the last chunk: the finish reason and the usage."""
        choice: dict[str, object] = {"delta": {}, "finish_reason": done.reason}
        return event({**self._body("chat.completion.chunk", choice), "usage": usage(done)})

    def whole(self, parts: Sequence[Piece | Called], done: Done) -> dict[str, object]:
        """Return the body of an answer that was not streamed."""
        text, tokens = joined(parts)
        calls = [_call(part) for part in parts if isinstance(part, Called)]
        message: dict[str, object] = {"role": "assistant", "content": text}
        if calls:
            message |= {"content": text or None, "tool_calls": calls}
        choice: dict[str, object] = {"message": message, "finish_reason": done.reason}
        if tokens:
            choice["logprobs"] = logprobs.chat_shape(tokens)
        return {**self._body("chat.completion", choice), "usage": usage(done)}

    def _chunk(self, delta: Mapping[str, object], shape: object = None) -> bytes:
        choice: dict[str, object] = {"delta": delta, "finish_reason": None}
        if shape is not None:
            choice["logprobs"] = shape
        return event(self._body("chat.completion.chunk", choice))


@dataclass(frozen=True)
class CompletionAnswer(Answer):
    """The continuation of a text."""

    def opening(self) -> Iterator[bytes]:
        yield from ()

    def piece(self, piece: Piece) -> bytes:
        choice: dict[str, object] = {"text": piece.text, "logprobs": None, "finish_reason": None}
        if piece.logprobs:
            choice["logprobs"] = logprobs.completion_shape(piece.logprobs)
        return event(self._body("text_completion", choice))

    def call(self, called: Called) -> bytes:
        raise AssertionError(f"{called.name} was called where no tools were offered")

    def end(self, done: Done) -> bytes:
        choice = {"text": "", "logprobs": None, "finish_reason": done.reason}
        return event({**self._body("text_completion", choice), "usage": usage(done)})

    def whole(self, parts: Sequence[Piece | Called], done: Done) -> dict[str, object]:
        text, tokens = joined(parts)
        shape = logprobs.completion_shape(tokens) if tokens else None
        choice = {"text": text, "logprobs": shape, "finish_reason": done.reason}
        return {**self._body("text_completion", choice), "usage": usage(done)}


def joined(parts: Iterable[Piece | Called]) -> tuple[str, list[TokenLogprob]]:
    """Return the text of an answer and the logarithms of its tokens."""
    pieces = [part for part in parts if isinstance(part, Piece)]
    tokens = [token for piece in pieces for token in piece.logprobs]
    return "".join(piece.text for piece in pieces), tokens


def _call(called: Called) -> dict[str, object]:
    function = {"name": called.name, "arguments": called.arguments}
    return {"id": called.id, "type": "function", "function": function}


def embeddings(vectors: Sequence[Sequence[float]], tokens: int, digest: str) -> dict[str, object]:
    """Return OpenAI's body for vectors."""
    data = [
        {"object": "embedding", "index": index, "embedding": list(vector)}
        for index, vector in enumerate(vectors)
    ]
    read = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": digest, "usage": read}
