"""A model that answers: verified weights, a prompt writer, a context, and the way between them.

Guarantee: token counts are exact, pieces are whole characters, an answer ends at its stop text,
its end token, `max_tokens` or the end of the context, whichever comes first. `prepare` may be
called by many threads; `answer` by one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from appliance.config import Engine as Settings
from appliance.llama.context import Cancel, Context
from appliance.llama.cores import default_threads
from appliance.llama.events import Done, FinishReason, Piece
from appliance.llama.library_view import ActiveModel, read_template, verified
from appliance.llama.prompt import PromptWriter, Turn
from appliance.llama.sampling import Sampling
from appliance.llama.text import PieceDecoder, StopMatcher
from appliance.llama.weights import Weights

HELLO = (Turn("user", "Hello"),)


class Model:
    """One active model, loaded and ready."""

    def __init__(
        self, weights: Weights, context: Context, context_tokens: int, template: str | None = None
    ) -> None:
        """Join the parts; `template` takes the place of the weights' own chat template."""
        self.digest = weights.digest
        self.context_tokens = context_tokens
        self.prompts = PromptWriter(weights, context_tokens, template)
        self._weights = weights
        self._context = context

    def prepare(self, turns: Sequence[Turn], sampling: Sampling) -> list[int]:
        """Return the prompt's tokens; raise ContextOverflowError or BadInputError."""
        return self.prompts.write(turns, sampling.max_tokens)

    def count(self, turns: Sequence[Turn]) -> int:
        return len(self.prompts.tokens(turns))

    def warm_up(self) -> None:
        """Write one token, so that the first person does not wait for what comes up only then.

        Raises what a question would raise: a model that cannot answer `Hello` is not ready.
        """
        sampling = Sampling(max_tokens=1, temperature=0.0, top_p=1.0, seed=None, stop=())
        for _ in self.answer(self.prepare(HELLO, sampling), sampling, Cancel()):
            pass

    def answer(
        self, prompt: Sequence[int], sampling: Sampling, cancel: Cancel
    ) -> Iterator[Piece | Done]:
        """Yield the pieces of an answer, then `Done`; raise Cancelled between two tokens."""
        decoder, stops = PieceDecoder(), StopMatcher(sampling.stop)
        most = min(sampling.max_tokens, self.context_tokens - len(prompt))
        written = 0
        reason: FinishReason = "length"
        with closing(self._context.generate(prompt, sampling, cancel)) as tokens:
            for token in tokens:
                if self._weights.ends_answer(token):
                    reason = "stop"
                    break
                written += 1
                text = stops.feed(decoder.feed(self._weights.piece(token)))
                if text:
                    yield Piece(text)
                if stops.matched or written >= most:
                    break
        rest = stops.feed(decoder.flush()) + stops.flush()
        if rest:
            yield Piece(rest)
        yield Done("stop" if stops.matched else reason, len(prompt), written)


def load(folder: Path, active: ActiveModel, settings: Settings) -> Model:
    """Return the active model, its file verified; see `library_view` and `Weights` for errors."""
    template = read_template(folder, active.template_sha256)
    with verified(folder, active.digest, active.chunks_sha256) as source:
        weights = Weights(source)
    tokens = context_length(settings.context_tokens or active.context_tokens, weights)
    threads = settings.threads or default_threads()
    context = Context(weights, context_tokens=tokens, threads=threads)
    return Model(weights, context, tokens, template)


def context_length(wanted: int, weights: Weights) -> int:
    """Return the wanted context, at most what the model was trained for (0: all of that)."""
    return min(wanted or weights.training_context, weights.training_context)
