"""`make bench-answer`: time to first token and tokens/s of the demo model, one question at a time.

Three ways in one run, in turn: llama-cpp-python inside this process (no record, no sealing, no
sign-in), our engine over its Unix socket, and the gateway's API with the durable record on.
The prompt changes with every question, so that no prompt cache flatters anyone.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import llama_cpp

from tests.bench.harness import Row, report
from tests.simulators.stack import Stack

ROUNDS = 3
QUESTIONS = 8
MAX_TOKENS = 96
Pieces = Iterator[str]


def question(number: int) -> list[dict[str, str]]:
    """Return one question about a made-up note; `number` makes it different from the others."""
    age, pain = 20 + number * 7 % 60, 1 + number % 9
    note = f"{age} y/o man with chest pain for {1 + number % 5} days. Pain {pain}/10."
    return [{"role": "user", "content": f"Summarise this note: {note}"}]


def over_http(client: httpx.Client, path: str, model: str) -> Callable[[int], Pieces]:
    """Return a way to ask through an OpenAI-style stream."""

    def ask(number: int) -> Pieces:
        body = {
            "model": model,
            "messages": question(number),
            "stream": True,
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
        }
        with client.stream("POST", path, json=body) as response:
            response.raise_for_status()
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    for choice in json.loads(line[6:]).get("choices", ()):
                        yield choice["delta"].get("content") or ""

    return ask


def in_process(weights: Path) -> Callable[[int], Pieces]:
    """Return a way to ask llama-cpp-python directly, with one thread like the others."""
    model = llama_cpp.Llama(str(weights), n_ctx=0, n_threads=1, n_threads_batch=1, verbose=False)

    def ask(number: int) -> Pieces:
        stream = model.create_chat_completion(
            question(number), stream=True, max_tokens=MAX_TOKENS, temperature=0
        )
        for chunk in stream:
            yield chunk["choices"][0]["delta"].get("content") or ""

    return ask


def measure(ask: Callable[[int], Pieces], first: int) -> tuple[float, float]:
    """Return median seconds to the first piece, and pieces per second after it."""
    waits, rates = [], []
    for number in range(first, first + QUESTIONS):
        began = time.perf_counter()
        times = [time.perf_counter() for piece in ask(number) if piece]
        waits.append(times[0] - began)
        if len(times) > 1:
            rates.append((len(times) - 1) / (times[-1] - times[0]))
    return statistics.median(waits), statistics.median(rates)


def main() -> None:
    """Measure the three ways in turn and print them."""
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder) / "state").start()
        try:
            report("answer", *_compare(stack))
        finally:
            stack.stop()


def _compare(stack: Stack) -> tuple[list[Row], dict[str, float]]:
    weights = next((stack.state / "models").glob("*.gguf"))
    engine = httpx.Client(
        transport=httpx.HTTPTransport(
            uds=str(stack.state / f"run/engines/{weights.stem[:16]}.sock")
        ),
        base_url="http://engine",
        timeout=60,
    )
    key = {"Authorization": f"Bearer {stack.api_key()}"}
    gateway = httpx.Client(base_url=stack.address, headers=key, timeout=60)
    path = "/v1/chat/completions"
    ways = {
        "llama-cpp-python, same process": in_process(weights),
        "our engine, Unix socket": over_http(engine, path, weights.stem),
        "gateway API, recorded and sealed": over_http(gateway, path, "demo"),
    }
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for round_number in range(ROUNDS + 1):
        for offset, (name, ask) in enumerate(ways.items()):
            figures = measure(ask, (round_number * len(ways) + offset) * QUESTIONS)
            if round_number:  # the first round warms caches and is not counted
                seen[name].append(figures)
    rows = [
        Row(
            name,
            {
                "first_token_ms": statistics.median(wait for wait, _ in figures) * 1000,
                "tokens_per_s": statistics.median(rate for _, rate in figures),
            },
        )
        for name, figures in seen.items()
    ]
    bare, _, ours = (row.figures for row in rows)
    ratios = {
        "first_token_added_ms": ours["first_token_ms"] - bare["first_token_ms"],
        "tokens_vs_in_process": ours["tokens_per_s"] / bare["tokens_per_s"],
    }
    return rows, ratios


if __name__ == "__main__":
    main()
