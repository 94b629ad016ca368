"""Ask the finished GGUF through llama.cpp, as an engine would: one thread, temperature 0."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llama_cpp import Llama

CONTEXT = 512
LONGEST_ANSWER = 330  # tokens; the longest trained answer is shorter


@dataclass(frozen=True)
class Answer:
    """The text and how it ended: "stop" for the end token, "length" for the limit."""

    text: str
    finish_reason: str
    tokens: int


class DemoModel:
    """A loaded model file; the chat template inside the file is the one used."""

    def __init__(self, path: Path) -> None:
        """Load the file; raises ValueError if llama.cpp does not accept it."""
        self._llama = Llama(
            str(path), n_ctx=CONTEXT, n_threads=1, n_threads_batch=1, verbose=False, seed=0
        )

    def answer(
        self, question: str, *, system: str | None = None, earlier: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        """Answer after the earlier (question, answer) turns; ValueError if they do not fit."""
        messages: list[dict[str, str]] = []
        if system is not None:
            messages.append({"role": "system", "content": system})
        for asked, answered in earlier:
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": answered})
        return self.complete([*messages, {"role": "user", "content": question}])

    def complete(self, messages: list[Any]) -> Answer:
        """Answer a list of chat messages whose content is a string or a list of parts."""
        reply: Any = self._llama.create_chat_completion(
            messages, temperature=0.0, repeat_penalty=1.0, max_tokens=LONGEST_ANSWER
        )
        choice = reply["choices"][0]
        return Answer(
            choice["message"]["content"] or "",
            choice["finish_reason"],
            reply["usage"]["completion_tokens"],
        )
