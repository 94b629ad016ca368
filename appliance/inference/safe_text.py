"""Messages for engines that tokenize a whole prompt at once: no text in them is a command.

Guarantee: with what comes from here, the control tokens in a prompt are the template's own, as
with our engine. How a text is broken is given by whoever builds the engine, one way for all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.inference.engine import EngineModel
from appliance.inference.library_folder import LibraryFolder
from appliance.inference.messages import clean_text

Neutralise = Callable[[str], str]
MakeNeutralise = Callable[[Iterable[str]], Neutralise]


class Template(Protocol):
    """A chat template, ready to render within its limits."""

    def render(self, messages: Sequence[dict[str, str]], most: int) -> str: ...


class MakeTemplate(Protocol):
    def __call__(self, template: str, *, eos: str, bos: str) -> Template: ...


@dataclass(frozen=True)
class Writing:
    """How texts are made safe and templates rendered; `refused` is what a template raises."""

    neutralise: MakeNeutralise
    template: MakeTemplate
    refused: type[Exception]


class SafeTexts:
    """Makes texts safe for the models of one library."""

    def __init__(self, library: LibraryFolder, make: MakeNeutralise) -> None:
        self._library = library
        self._make = make
        self._lock = threading.Lock()
        self._known: Mapping[tuple[str, str], Neutralise] = {}

    def of(self, model: EngineModel) -> Neutralise:
        """Return what makes a text safe for this model; raise EngineUnavailableError."""
        key = (model.digest, model.template_sha256 or "")
        with self._lock:
            if key not in self._known:
                vocabulary = self._library.vocabulary(model.digest)
                texts = vocabulary.control_texts(self._library.template(model))
                neutralise = self._make(texts)
                self._known = {**self._known, key: lambda text: neutralise(clean_text(text))}
            return self._known[key]
