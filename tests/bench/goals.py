"""What each key of a benchmark means, and what it should reach. Nothing here judges a result.

A key that is not listed has no goal; it is printed without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """`reach` is for readers; empty where there is no goal."""

    meaning: str
    reach: str = ""


RECORD: Mapping[str, Goal] = {
    "append_one_vs_bare": Goal(
        "time of a durable append inside the ledger, over a bare SQLite commit of the same bytes",
        "≤ 1.6",
    ),
    "append_call_vs_bare": Goal("the same through the ledger's socket", "≤ 3"),
    "append_group_vs_single": Goal("durable entries/s with 32 callers, over 1 caller", "≥ 3"),
    "events_per_commit_32": Goal("entries in one commit with 32 callers", "≥ 8"),
    "verify_one_core": Goal("entries verified per second: bytes, chain, tree, checkpoints",
                            "≥ 300,000"),
    "verify_two_cores": Goal("the same with two processes", "≥ 550,000"),
    "growth_entries": Goal("entries in the large record that the next keys speak of"),
    "growth_append": Goal("time of an append in the large record, over one of 10,000", "≤ 1.2"),
    "growth_page": Goal("time of a filtered page, likewise; median of the filters below", "≤ 1.2"),
}  # fmt: skip

BUNDLES: Mapping[str, Goal] = {
    "import_vs_sha256sum_cp_sync": Goal("speed over `sha256sum`, `cp` and `sync`", "≥ 2.5"),
    "import_vs_model_signing_cp_sync": Goal("speed over `model_signing verify`, `cp`, `sync`"),
    "import_vs_tuf_download_target": Goal("speed over python-tuf's `download_target`"),
    "import_vs_limit": Goal("speed over the slower of hashing alone and writing alone", "≥ 0.8"),
    "import_rss_mb": Goal("most memory held, MB", "≤ 200"),
}

ANSWER: Mapping[str, Goal] = {
    "first_token_added_ms": Goal(
        "what engine, gateway, sealing and record add to the first token, ms"
    ),
    "tokens_vs_in_process": Goal("tokens/s over llama-cpp-python in the same process"),
}

SERVING: Mapping[str, Goal] = {
    "tokens_vs_llama_server_8": Goal(
        "tokens/s of 8 streams that share a system prompt of 200 tokens, over llama-server's",
        "≥ 1.5",
    ),
    "tokens_vs_llama_server_8_warm": Goal("the same once the system prompt was asked under before"),
    "tokens_vs_llama_server_8_cold": Goal("the same with nothing shared", "≥ 0.95"),
    "tokens_vs_llama_cpp_server_8": Goal("shared, over `llama_cpp.server`'s", "≥ 2"),
    "tokens_vs_ollama_8": Goal("shared, over Ollama's"),
    "decode_vs_limit_8": Goal(
        "tokens/s while all 8 are written, over `llama-batched-bench`'s better way", "≥ 0.85"
    ),
    "ttft_vs_llama_server_8": Goal("median time to first token, shared, over llama-server's"),
    "ttft_p95_vs_llama_server_8": Goal("95th percentile of it", "≤ 0.4"),
    "ttft_p95_vs_llama_server_8_warm": Goal("95th percentile of it, system prompt known"),
    "ttft_vs_ollama_8": Goal("median time to first token, shared, over Ollama's"),
    "ttft_p95_vs_ollama_8": Goal("95th percentile of it"),
    "prefix_ttft": Goal(
        "second request's time to first token over the first's, 1,000 tokens shared", "≤ 0.2"
    ),
    "stall_ratio": Goal(
        "longest pause of 3 running streams while a prompt of 6,000 tokens enters, over their "
        "usual one",
        "≤ 3",
    ),
}

GATEWAY: Mapping[str, Goal] = {
    "rps_vs_litellm_1": Goal("answers/s with the durable record, over LiteLLM's proxy", "≥ 3"),
    "rps_vs_litellm_8": Goal("the same with 8 callers", "≥ 3"),
    "ttft_added_vs_litellm_1": Goal(
        "what is added to the time to first token, over LiteLLM's", "≤ 0.5"
    ),
    "ttft_added_vs_litellm_8": Goal("the same with 8 callers", "≤ 0.5"),
    "ttft_added_ms_1": Goal("what we add to the time to first token, ms"),
    "ttft_added_ms_8": Goal("the same with 8 callers, ms"),
    "idle_streams_64_rss_mb": Goal("memory that 64 idle streams cost the gateway, MB", "< 300"),
}

STACK: Mapping[str, Goal] = {
    "rps_vs_run": Goal(
        "answers/s of 8 callers through edge and containers, over those without either", "≥ 0.8"
    ),
    "ttft_added_ms": Goal("what both add to the median time to first token, ms; one caller", "< 5"),
    "first_answer_s": Goal("from `make up` without state, images present, to an answer, s", "≤ 60"),
    "rps_vs_run_1": Goal("answers/s with one caller"),
    "ttft_added_ms_8": Goal("added to the median time to first token with 8 callers, ms"),
}

GOALS: Mapping[str, Mapping[str, Goal]] = {
    "serving": SERVING,
    "gateway": GATEWAY,
    "stack": STACK,
    "answer": ANSWER,
    "record": RECORD,
    "bundles": BUNDLES,
}
