"""From a conversation to the prompt that Ollama gets: the model's own template, word for word.

Guarantee: the prompt is what the signed Jinja template writes, as with our engine, and no text
of a message in it is a control token. Ollama's own way (`/api/chat`) would use a Go template
that it picks by likeness to the model's, and reads commands in messages as commands, so prompts
go to `/api/generate` with `raw`. Not here: tokenizing, which is Ollama's.
"""

from __future__ import annotations

from collections.abc import Sequence

from appliance.errors import BadInputError, ContextOverflowError, EngineUnavailableError
from appliance.inference.engine import EngineModel, Message
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.safe_text import SafeTexts, Writing

# No language needs more bytes per token in any common vocabulary.
BYTES_PER_TOKEN = 16


class PromptWriter:
    """Writes prompts for one model; `adds_bos`: Ollama puts the opening token there itself."""

    def __init__(
        self,
        model: EngineModel,
        library: LibraryFolder,
        writing: Writing,
        texts: SafeTexts,
        context_tokens: int,
        adds_bos: bool,
    ) -> None:
        """Raise EngineUnavailableError when there is no template, or none that compiles."""
        template = library.template(model)
        if not template:
            raise EngineUnavailableError(
                "the model brings no chat template, and none was signed with it",
                hint="sign a chat template with the model, or use engine.kind llama",
            )
        vocabulary = library.vocabulary(model.digest)
        self._safe = texts.of(model)
        self._refused = writing.refused
        self._template = writing.template(template, eos=vocabulary.eos, bos=vocabulary.bos)
        self._doubled = vocabulary.bos if adds_bos else ""
        self._context = context_tokens
        self._most_bytes = context_tokens * BYTES_PER_TOKEN
        # Room for a template's own words; far beyond it a prompt can fit no context.
        self._most_characters = 2 * self._most_bytes + len(template) + 65_536

    def write(self, messages: Sequence[Message]) -> str:
        """Return the prompt; raise BadInputError in the template's words, or for tools."""
        if any(message.role == "tool" or message.tool_calls for message in messages):
            raise BadInputError(
                "tools cannot be used with Ollama here", hint="use engine.kind llama for tools"
            )
        self._bound(sum(len(message.content.encode("utf-8", "replace")) for message in messages))
        said = [{"role": item.role, "content": self._safe(item.content)} for item in messages]
        try:
            prompt = self._rendered(said)
        except self._refused as error:
            raise BadInputError(
                f"this model's chat template refuses the conversation: {error}",
                hint="let user and assistant take turns, and begin with the user",
            ) from error
        return prompt.removeprefix(self._doubled)

    def bare(self, prompt: str) -> str:
        """Return a text that is continued as it stands, safe to send."""
        self._bound(len(prompt.encode("utf-8", "replace")))
        return self._safe(prompt)

    def _rendered(self, said: list[dict[str, str]]) -> str:
        try:
            return self._template.render(said, self._most_characters)
        except self._refused:
            folded = _fold_system(said)
            if folded is None:
                raise
        return self._template.render(folded, self._most_characters)

    def _bound(self, size: int) -> None:
        """Refuse what is too long by its bytes alone, so that a huge text costs nothing."""
        if size > self._most_bytes:
            raise ContextOverflowError(
                f"the conversation has {size} bytes; this model holds {self._context} tokens, "
                f"at most {self._most_bytes} bytes; nothing was asked"
            )


def _fold_system(said: list[dict[str, str]]) -> list[dict[str, str]] | None:
    """Move the system prompt into the first user message, for families that know no system."""
    if [message["role"] for message in said[:2]] != ["system", "user"]:
        return None
    first = f"{said[0]['content']}\n\n{said[1]['content']}"
    return [{"role": "user", "content": first}, *said[2:]]
