"""What Ollama calls `options`: sampling, which is heeded, and loading, which is ours to decide.

Options for loading (`num_ctx`, `num_gpu`, `num_thread`, ...) are ignored: how a model is loaded is
the site's setting, and a text that does not fit is refused, never cut. Options for sampling that
no engine here has are refused unless they are neutral, and so is every name that is not known,
since a misspelt one would otherwise change nothing in silence.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from appliance.operations.questions import SamplingWish
from appliance.web.api.bodies import (
    MAX_TOKENS,
    MAX_TOP_K,
    Body,
    Refused,
    Seed,
    Stops,
    listed,
    seed_of,
)

NOT_HERE = "this way of sampling is not offered here; leave it out"
USUAL_WINDOW = 64


class Options(Body):
    model_config = ConfigDict(extra="forbid")

    num_predict: int | None = Field(default=None, ge=-2, le=MAX_TOKENS)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, le=MAX_TOP_K)
    min_p: float | None = Field(default=None, ge=0, le=1)
    seed: Seed | None = None
    stop: Stops | Annotated[list[Any], Field(max_length=0)] | None = None
    repeat_penalty: float | None = Field(default=None, gt=0, le=10)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    repeat_last_n: Annotated[None, Refused(NOT_HERE, USUAL_WINDOW)] = None
    mirostat: Annotated[None, Refused(NOT_HERE, 0)] = None
    tfs_z: Annotated[None, Refused(NOT_HERE, 1)] = None
    typical_p: Annotated[None, Refused(NOT_HERE, 1)] = None
    penalize_newline: Annotated[None, Refused(NOT_HERE, False)] = None
    # Without mirostat they mean nothing.
    mirostat_tau: Any = None
    mirostat_eta: Any = None
    # How a model is loaded and its context held.
    num_ctx: Any = None
    num_keep: Any = None
    num_batch: Any = None
    num_gpu: Any = None
    main_gpu: Any = None
    num_thread: Any = None
    numa: Any = None
    low_vram: Any = None
    f16_kv: Any = None
    logits_all: Any = None
    vocab_only: Any = None
    use_mmap: Any = None
    use_mlock: Any = None
    embedding_only: Any = None

    def wish(self, logprobs: int | None, schema: str | None) -> SamplingWish:
        """Return what is wished of the sampling; no more than the site's longest answer."""
        longest = self.num_predict or 0
        return SamplingWish(
            max_tokens=longest if longest > 0 else None,
            temperature=self.temperature,
            top_p=self.top_p,
            # -1 is how Ollama says: another one each time.
            seed=None if self.seed == -1 else seed_of(self.seed),
            stop=listed(self.stop),
            top_k=None if self.top_k is None else max(0, self.top_k),
            min_p=self.min_p,
            repeat_penalty=self.repeat_penalty,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            logprobs=logprobs,
            schema=schema,
        )
