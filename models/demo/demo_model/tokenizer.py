"""The tokenizer: BPE with byte fallback, trained on generated conversations only.

Guarantee: every string can be encoded, because each byte has a token of its own; without
that, llama.cpp aborts its whole process on a character outside the vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import sentencepiece

from demo_model.chat_format import CONTROL_TOKENS, UNKNOWN_TOKEN, Piece, pieces
from demo_model.conversations import Conversation, draw_conversation

VOCABULARY = 1280
SAMPLE_CONVERSATIONS = 20_000


def train_tokenizer(folder: Path, *, seed: int) -> Path:
    """Write `tokenizer.model` into the folder and return its path; same seed, same file."""
    rng = Random(seed)
    lines = (
        line
        for _ in range(SAMPLE_CONVERSATIONS)
        for piece in pieces(draw_conversation(rng))
        if not piece.control
        for line in piece.text.splitlines()
        if line
    )
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines,
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        split_digits=True,
        character_coverage=0.9995,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        unk_piece=UNKNOWN_TOKEN,
        bos_piece=CONTROL_TOKENS[0],
        eos_piece=CONTROL_TOKENS[1],
        control_symbols=list(CONTROL_TOKENS[2:]),
        num_threads=1,
        minloglevel=1,
    )
    return folder / "tokenizer.model"


class Tokenizer:
    """Conversations to token numbers and a mask of the tokens to learn."""

    def __init__(self, path: Path) -> None:
        """Read the model file; `path` ends in tokenizer.model."""
        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def encode_piece(self, piece: Piece) -> list[int]:
        """The tokens of one piece; a control token is always exactly one."""
        if piece.control:
            return [self.processor.piece_to_id(piece.text)]
        return list(self.processor.encode(piece.text))

    def encode(self, conversation: Conversation) -> tuple[list[int], list[bool]]:
        """Token numbers, and for each whether the loss counts it."""
        tokens: list[int] = []
        learnt: list[bool] = []
        for piece in pieces(conversation):
            ids = self.encode_piece(piece)
            tokens += ids
            learnt += [piece.learnt] * len(ids)
        return tokens, learnt
