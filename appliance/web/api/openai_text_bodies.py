"""What a program may send to /v1/completions and /v1/embeddings.

Lists of token numbers are refused: which number stands for which word differs between models,
so the same list would mean something else after the next model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from appliance.operations.embedding import EmbeddingWish
from appliance.operations.questions import Question
from appliance.web.api.bodies import Body, ModelName, Refused, Text, Texts, fault, listed
from appliance.web.api.openai_bodies import Asked, Metadata

MAX_ALTERNATIVES = 5
TEXT_NOT_TOKENS = "send text: lists of token numbers mean something else to every model"


def _no_tokens(value: object) -> object:
    if isinstance(value, list) and any(isinstance(item, int | list) for item in value):
        raise fault(TEXT_NOT_TOKENS)
    return value


OneText = Annotated[
    Text | Annotated[list[Text], Field(min_length=1, max_length=1)], BeforeValidator(_no_tokens)
]


class Completion(Asked):
    """The body of a completion: a text that is continued as it stands, without a template."""

    prompt: OneText
    logprobs: int | None = Field(default=None, ge=0, le=MAX_ALTERNATIVES)
    echo: Annotated[None, Refused("the prompt is not repeated", False)] = None
    suffix: Annotated[None, Refused("no text can be filled in before another", "")] = None
    best_of: Literal[1] | None = None

    def question(self, purpose: str | None) -> Question:
        """Return the question that the body asks."""
        return Question(
            messages=(),
            model=self.model,
            purpose=self.purpose(purpose),
            sampling=self.wish(self.max_tokens, self.logprobs, None),
            origin="api",
            patient=self.patient,
            raw=listed(self.prompt)[0],
        )


class EmbeddingBody(Body):
    """The body of a request for vectors, one for each text."""

    model: ModelName
    input: Annotated[Texts, BeforeValidator(_no_tokens)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[None, Refused("vectors are as long as the model makes them")] = None
    metadata: Metadata | None = None

    def wish(self, purpose: str | None) -> EmbeddingWish:
        """Return what is to be turned into vectors."""
        stated = self.metadata or Metadata()
        return EmbeddingWish(
            texts=listed(self.input),
            model=self.model,
            purpose=purpose or stated.purpose,
            patient=stated.patient or None,
        )
