"""Export to one GGUF file that llama.cpp loads without any other file.

Guarantee: matrices are Q8_0, norms stay f32, `output.weight` is left out because it is tied
to the embedding, and the tokenizer carries a token for each byte.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from demo_model.chat_format import CHAT_TEMPLATE
from demo_model.model import Llama, Shape
from demo_model.tokenizer import Tokenizer


def _write_header(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("demo")
    writer.add_version("1")
    writer.add_license("Apache-2.0")
    writer.add_description("Synthetic demo. Wrong on real notes. Not for care.")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)


def _token_type(tokenizer: Tokenizer, number: int) -> gguf.TokenType:
    processor = tokenizer.processor
    if processor.is_unknown(number):
        return gguf.TokenType.UNKNOWN
    if processor.is_control(number):
        return gguf.TokenType.CONTROL
    if processor.is_byte(number):
        return gguf.TokenType.BYTE
    return gguf.TokenType.NORMAL


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    processor = tokenizer.processor
    numbers = range(processor.vocab_size())
    writer.add_tokenizer_model("llama")
    writer.add_token_list([processor.id_to_piece(n).encode() for n in numbers])
    writer.add_token_scores([processor.get_score(n) for n in numbers])
    writer.add_token_types([_token_type(tokenizer, n) for n in numbers])
    writer.add_unk_token_id(processor.unk_id())
    writer.add_bos_token_id(processor.bos_id())
    writer.add_eos_token_id(processor.eos_id())
    writer.add_eot_token_id(processor.eos_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def write_gguf(path: Path, model: Llama, tokenizer: Tokenizer) -> None:
    """Write header, tokenizer and tensors; an existing file is replaced when complete."""
    unfinished = path.with_suffix(".part")
    writer = gguf.GGUFWriter(str(unfinished), "llama")
    _write_header(writer, model.shape)
    _write_tokenizer(writer, tokenizer)
    for name, weight in model.state_dict().items():
        values = weight.detach().float().numpy()
        if values.ndim == 1:
            writer.add_tensor(name, values.astype(np.float32))
            continue
        q8 = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(values, q8), raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    unfinished.replace(path)
