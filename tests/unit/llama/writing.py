"""A tiny model that writes under a `Sampler`, step by step, with nothing of the engine around."""

from __future__ import annotations

import llama_cpp.llama_cpp as api

from appliance.llama.sampler import Chosen, Sampler
from appliance.llama.sampling import Sampling
from appliance.llama.text import PieceDecoder
from appliance.llama.weights import Weights

WILD = Sampling(max_tokens=400, temperature=2.0, top_p=1.0, seed=1, stop=(), min_p=0.0)
GREEDY = Sampling(max_tokens=400, temperature=0.0, top_p=1.0, seed=None, stop=())


class Writer:
    """One context of one sequence."""

    def __init__(self, weights: Weights, tokens: int = 2048) -> None:
        self.weights = weights
        parameters = api.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = tokens
        parameters.n_threads = parameters.n_threads_batch = 1
        self.pointer = api.llama_init_from_model(weights.model, parameters)

    def begin(self, text: str = "") -> None:
        api.llama_memory_clear(api.llama_get_memory(self.pointer), True)
        self.add([self.weights.bos, *self.weights.tokenize(text)])

    def add(self, tokens: list[int]) -> None:
        array = (api.llama_token * len(tokens))(*tokens)
        assert api.llama_decode(self.pointer, api.llama_batch_get_one(array, len(tokens))) == 0

    def choose(self, sampling: Sampling, text: str = "") -> list[Chosen]:
        """Return what a sampler chooses until it ends the answer, the end token last."""
        self.begin(text)
        sampler = Sampler(self.weights, sampling, self.weights.tokenize(text))
        chosen: list[Chosen] = []
        try:
            while len(chosen) < sampling.max_tokens:
                chosen.append(sampler.choose(self.pointer, -1))
                if self.weights.ends_answer(chosen[-1].token):
                    break
                self.add([chosen[-1].token])
        finally:
            sampler.close()
        return chosen

    def tokens(self, sampling: Sampling, text: str = "") -> list[int]:
        return [chosen.token for chosen in self.choose(sampling, text)]

    def text(self, sampling: Sampling) -> tuple[str, str]:
        """Return why an answer ended and what it shows, as the engine shows it."""
        tokens, decoder = self.tokens(sampling), PieceDecoder()
        ended = self.weights.ends_answer(tokens[-1])
        shown = "".join(decoder.feed(self.weights.piece(token)) for token in tokens)
        return "stop" if ended else "length", shown + decoder.flush()

    def close(self) -> None:
        api.llama_free(self.pointer)
