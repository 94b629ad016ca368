"""An answer on its way from tokens to text.

Guarantee: pieces are whole characters; the answer ends at its stop text, its end token or its
longest length, whichever comes first; neither stop text nor end token is shown or counted.
Not here: which token comes next (`sampler`), calls of tools in the text (`tools`).
"""

from __future__ import annotations

from collections.abc import Iterator

from appliance.llama.batching.prefixes import Prompt
from appliance.llama.events import Done, FinishReason, Piece, TokenLogprob
from appliance.llama.sampler import Chosen, Sampler
from appliance.llama.sampling import Sampling
from appliance.llama.text import PieceDecoder, StopMatcher
from appliance.llama.weights import Weights


class AnswerWriter:
    """Writes one answer of at most `most` tokens to a prompt."""

    def __init__(self, weights: Weights, sampling: Sampling, prompt: Prompt, most: int) -> None:
        self.sampler = Sampler(weights, sampling, prompt.tokens)
        self.prompt = prompt
        self.most = most
        self.seeded = sampling.seed is not None
        self.done = False
        self._weights = weights
        self._decoder = PieceDecoder()
        self._stops = StopMatcher(sampling.stop)
        self._written = 0
        self._logprobs: list[TokenLogprob] = []

    def close(self) -> None:
        """Free what llama.cpp holds for the choice of tokens."""
        self.sampler.close()

    def take(self, chosen: Chosen) -> Iterator[Piece | Done]:
        """Yield what a chosen token shows, and `Done` when the answer ends with it."""
        if self._weights.ends_answer(chosen.token):
            yield from self._end("stop")
            return
        self._written += 1
        if chosen.logprobs is not None:
            self._logprobs.append(chosen.logprobs)
        text = self._stops.feed(self._decoder.feed(self._weights.piece(chosen.token)))
        if text:
            yield self._piece(text)
        if self._stops.matched or self._written >= self.most:
            yield from self._end("length")

    def _end(self, reason: FinishReason) -> Iterator[Piece | Done]:
        rest = self._stops.feed(self._decoder.flush()) + self._stops.flush()
        if rest or self._logprobs:
            yield self._piece(rest)
        self.done = True
        reason = "stop" if self._stops.matched else reason
        yield Done(reason, len(self.prompt), self._written)

    def _piece(self, text: str) -> Piece:
        logprobs, self._logprobs = tuple(self._logprobs), []
        return Piece(text, logprobs)
