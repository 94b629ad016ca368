"""A placement in llama.cpp's own words, and the placement of a verified file on this machine.

Guarantee: nothing but a `Placement` decides how weights and context are made. Not here: what is
decided (`placement`), and the loading itself (`weights`, `context`).
"""

from __future__ import annotations

import ctypes
import logging
from typing import Any

import llama_cpp.llama_cpp as api

from appliance.config import Engine as Settings
from appliance.llama.library_view import VerifiedWeights
from appliance.llama.placing.hardware import this_machine
from appliance.llama.placing.header import read_facts
from appliance.llama.placing.placement import Placement, plan

LOG = logging.getLogger("appliance.llama")
FLASH = {
    "auto": api.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": api.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": api.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}
CACHE = {
    "f16": api.GGML_TYPE_F16,
    "q8_0": api.GGML_TYPE_Q8_0,
    "q4_0": api.GGML_TYPE_Q4_0,
}


def plan_for(source: VerifiedWeights, settings: Settings, card_context: int = 0) -> Placement:
    """Return where these weights go on this machine as it is now; log what is not as wished."""
    placement = plan(settings, read_facts(source), this_machine(), card_context)
    for note in placement.notes:
        LOG.warning("%s", note)
    return placement


def model_parameters(placement: Placement) -> Any:
    """Return the parameters for loading; they keep the shares of several GPUs alive."""
    parameters = api.llama_model_default_params()
    parameters.load_mode = api.LLAMA_LOAD_MODE_MMAP
    parameters.n_gpu_layers = placement.gpu_layers
    parameters.main_gpu = placement.main_gpu
    parameters.split_mode = (
        api.LLAMA_SPLIT_MODE_LAYER if placement.split else api.LLAMA_SPLIT_MODE_NONE
    )
    if placement.split:
        # llama.cpp reads as many as it could ever have devices.
        parameters.tensor_split = (ctypes.c_float * api.llama_max_devices())(*placement.split)
    return parameters


def context_parameters(placement: Placement) -> Any:
    """Return the parameters for one context that all answers share."""
    parameters = api.llama_context_default_params()
    parameters.n_ctx = placement.pool_tokens
    parameters.n_seq_max = placement.slots
    parameters.n_batch = parameters.n_ubatch = placement.batch_tokens
    # One token is wanted of each answer that runs; scores of a whole batch would take a gigabyte.
    parameters.n_outputs_max = parameters.n_seq_max
    parameters.n_threads = placement.threads
    parameters.n_threads_batch = placement.threads_batch
    parameters.flash_attn_type = FLASH[placement.flash_attention]
    parameters.type_k = CACHE[placement.cache_type_k]
    parameters.type_v = CACHE[placement.cache_type_v]
    parameters.offload_kqv = True
    # One memory for all sequences, so that a shared beginning takes room once; all of it, also
    # for layers that look at a window only, so that a sequence can be cut at any place.
    parameters.kv_unified = True
    parameters.swa_full = True
    parameters.no_perf = True
    return parameters
