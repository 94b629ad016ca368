"""A model that answers: verified weights, a prompt writer, and the way into its context.

Guarantee: token counts are exact, and a prompt says which part of it is no person's own.
`prepare` and `count` may be called by many threads; `decoding` by one at a time.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

from appliance.config import Engine as Settings
from appliance.errors import BadInputError
from appliance.llama.batching.decoding import Decoding
from appliance.llama.batching.prefixes import Prompt, common
from appliance.llama.context import Context
from appliance.llama.events import Event
from appliance.llama.library_view import ActiveModel, read_template, verified
from appliance.llama.placing.parameters import model_parameters, plan_for
from appliance.llama.placing.placement import Placement
from appliance.llama.prompt import PromptWriter, Turn
from appliance.llama.sampling import Sampling
from appliance.llama.weights import Weights

HELLO = (Turn("user", "Hello"),)
# Stand where a person's own words begin: what two prompts with them have in common is nobody's.
# Not even their first bytes are alike.
MARKS = ("\u2063\u2064", "\U000f0000\U000f0001")
MOST_BEGINNINGS = 64
# A template may write the date. Words may grow together with as many tokens before them.
OLD_S = 60.0
GROWN_TOGETHER = 4


class Model:
    """One active model, loaded and ready."""

    def __init__(self, weights: Weights, placement: Placement, template: str | None = None) -> None:
        """Join the parts; `template` takes the place of the weights' own chat template."""
        self.digest = weights.digest
        self.weights = weights
        self.placement = placement
        self.context_tokens = placement.context_tokens
        self.prompts = PromptWriter(weights, placement.context_tokens, template)
        self.decoding = Decoding(Context(weights, placement), placement)
        # By a digest of the system prompt: what every prompt with it begins with, and since when.
        self._beginnings: OrderedDict[bytes, tuple[float, list[int]]] = OrderedDict()
        self._lock = threading.Lock()

    def prepare(self, turns: Sequence[Turn], sampling: Sampling) -> Prompt:
        """Return the prompt's tokens; raise ContextOverflowError or BadInputError."""
        tokens = self.prompts.write(turns, sampling.max_tokens)
        return Prompt(tuple(tokens), self._public(turns, tokens))

    def count(self, turns: Sequence[Turn]) -> int:
        return len(self.prompts.tokens(turns))

    def warm_up(self) -> None:
        """Write one token, so that the first person does not wait for what comes up only then.

        Raises what a question would raise: a model that cannot answer `Hello` is not ready.
        """
        sampling = Sampling(max_tokens=1, temperature=0.0, top_p=1.0, seed=None, stop=())
        for _ in self.answer(self.prepare(HELLO, sampling), sampling):
            pass

    def answer(self, prompt: Prompt, sampling: Sampling) -> Iterator[Event]:
        """Yield the pieces of an answer, then `Done` or `Failed`, while nothing else is asked."""
        return self.decoding.alone(prompt, sampling)

    def _public(self, turns: Sequence[Turn], tokens: list[int]) -> int:
        """Return how much of a prompt is template and system prompt."""
        system = [turn for turn in turns[:1] if turn.role == "system"]
        key = hashlib.sha256(repr(system).encode()).digest()
        with self._lock:
            since, known = self._beginnings.get(key, (-math.inf, []))
        found, age = common(known, tokens), time.monotonic() - since
        if age < OLD_S or (age < math.inf and found >= len(known) - GROWN_TOGETHER):
            return found
        known = self._beginning(system)
        with self._lock:
            self._beginnings[key] = time.monotonic(), known
            self._beginnings.move_to_end(key)
            while len(self._beginnings) > MOST_BEGINNINGS:
                self._beginnings.popitem(last=False)
        return common(known, tokens)

    def _beginning(self, system: Sequence[Turn]) -> list[int]:
        try:
            one, other = (self.prompts.tokens([*system, Turn("user", mark)]) for mark in MARKS)
        except BadInputError:
            return []  # a template that takes no such conversation: then nothing is in common
        return one[: common(one, other)]


def load(folder: Path, active: ActiveModel, settings: Settings) -> Model:
    """Return the active model, its file verified; see `library_view` and `Weights` for errors."""
    template = read_template(folder, active.template_sha256)
    with verified(folder, active.digest, active.chunks_sha256) as source:
        placement = plan_for(source, settings, active.context_tokens)
        weights = Weights(source, model_parameters(placement))
    return Model(weights, placement, template)
