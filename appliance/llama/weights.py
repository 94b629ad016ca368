"""A loaded model file: its vocabulary, its metadata, its tokenizer. Read-only once loaded.

Guarantee: only `VerifiedWeights` are loaded, and a model whose tokenizer may abort the process
on ordinary input is refused. Every method may be called from several threads: llama.cpp's model
and vocabulary are constant after loading. The memory is freed when the last user lets go.
"""

from __future__ import annotations

import ctypes
import functools
import re
import weakref

import llama_cpp.llama_cpp as api

from appliance.errors import EngineUnavailableError
from appliance.llama import log
from appliance.llama.cutting import LONGEST, marks_of, parts
from appliance.llama.library_view import VerifiedWeights

_SPECIAL = api.LLAMA_TOKEN_ATTR_CONTROL | api.LLAMA_TOKEN_ATTR_UNKNOWN
# What llama.cpp looks for in a text before it splits the rest.
_WHOLE = _SPECIAL | api.LLAMA_TOKEN_ATTR_USER_DEFINED


class Weights:
    """One model file in memory (mapped, so that its pages are shared and loaded on demand)."""

    def __init__(
        self, source: VerifiedWeights, parameters: api.llama_model_params | None = None
    ) -> None:
        """Load; raise EngineUnavailableError when llama.cpp cannot use the file."""
        log.start_backend()
        parameters = parameters or api.llama_model_default_params()
        parameters.load_mode = api.LLAMA_LOAD_MODE_MMAP
        self.digest = source.digest
        self.model = api.llama_model_load_from_file(source.path.encode(), parameters)
        if not self.model:
            raise EngineUnavailableError(
                "llama.cpp cannot load the weights; the file may be for a newer version",
                hint="look at the engine's log; import a model that this version supports",
            )
        # Not at interpreter exit: a thread may still decode then, and the system frees anyway.
        weakref.finalize(self, api.llama_model_free, self.model).atexit = False
        source.require_unchanged()
        self.vocabulary = api.llama_model_get_vocab(self.model)
        self.training_context = int(api.llama_model_n_ctx_train(self.model))
        self._pieces: dict[int, bytes] = {}
        self._read_vocabulary()
        self._require_usable()

    def _read_vocabulary(self) -> None:
        count = api.llama_vocab_n_tokens(self.vocabulary)
        get_text, get_attr = api.llama_vocab_get_text, api.llama_vocab_get_attr
        self.texts: list[bytes] = [
            get_text(self.vocabulary, token) or b"" for token in range(count)
        ]
        self._attributes = [int(get_attr(self.vocabulary, token)) for token in range(count)]
        self.longest_piece = max(map(len, self.texts), default=1)
        self.bos = int(api.llama_vocab_bos(self.vocabulary))
        self.eos = int(api.llama_vocab_eos(self.vocabulary))
        self.adds_bos = bool(api.llama_vocab_get_add_bos(self.vocabulary))
        self._splits = api.llama_vocab_type(self.vocabulary) == api.LLAMA_VOCAB_TYPE_BPE

    def _require_usable(self) -> None:
        """Refuse what cannot answer, and what would abort this process on ordinary text.

        llama.cpp's SPM tokenizer looks every byte it cannot place up as `<0xNN>` and, missing
        that, as itself, and an exception that nobody catches follows when neither exists.
        """
        if not api.llama_model_has_decoder(self.model) or api.llama_model_has_encoder(self.model):
            raise EngineUnavailableError("the model does not write text, so it was not loaded")
        if api.llama_vocab_type(self.vocabulary) == api.LLAMA_VOCAB_TYPE_SPM:
            known = set(self.texts)
            missing = sum(b"<0x%02X>" % value not in known for value in range(256))
            if missing:
                raise EngineUnavailableError(
                    f"the model's vocabulary lacks {missing} of 256 byte tokens, so some "
                    "characters would stop the engine; it was not loaded",
                    hint="convert the model with byte fallback, or use another one",
                )

    def control_texts(self, template: str) -> list[str]:
        """Return the texts that may never come from a message.

        Control and unknown tokens always; user-defined ones only where the template itself uses
        them, since other models keep runs of spaces or HTML tags in that class.
        """
        found = []
        for text, attribute in zip(self.texts, self._attributes, strict=True):
            readable = text.decode("utf-8", "replace")
            user_defined = attribute & api.LLAMA_TOKEN_ATTR_USER_DEFINED
            if attribute & _SPECIAL or (user_defined and readable.strip() and readable in template):
                found.append(readable)
        return found

    def ends_answer(self, token: int) -> bool:
        return bool(api.llama_vocab_is_eog(self.vocabulary, token))

    def text_of(self, token: int) -> str:
        return self.texts[token].decode("utf-8", "replace") if token >= 0 else ""

    def tokenize(self, text: str) -> list[int]:
        """Return the tokens of `text`, control tokens recognised, nothing added around it."""
        if self._splits and len(text) > LONGEST:
            return [token for part in parts(text, self._marks) for token in self._tokens(part)]
        return self._tokens(text)

    @functools.cached_property
    def _marks(self) -> re.Pattern[str]:
        pairs = zip(self.texts, self._attributes, strict=True)
        return marks_of(text.decode("utf-8", "replace") for text, kind in pairs if kind & _WHOLE)

    def _tokens(self, text: str) -> list[int]:
        data = text.encode()
        room = len(data) + 16
        while True:
            tokens = (api.llama_token * room)()
            count = api.llama_tokenize(self.vocabulary, data, len(data), tokens, room, False, True)
            if count >= 0:
                return list(tokens[:count])
            room = -count

    def piece(self, token: int) -> bytes:
        """Return the bytes that `token` adds to an answer; none for a control token."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._read_piece(token)
        return known

    def _read_piece(self, token: int) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = api.llama_token_to_piece(self.vocabulary, token, buffer, room, 0, False)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def metadata(self, key: str) -> str | None:
        """Return a metadata value as text, or None when the file has no such key."""
        room = 4096
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = api.llama_model_meta_val_str(self.model, key.encode(), buffer, room)
            if count < room:
                return buffer.raw[:count].decode("utf-8", "replace") if count >= 0 else None
            room = count + 1
