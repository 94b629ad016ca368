"""`make bench-serving`: our engine, llama-server, llama_cpp.server and Ollama at 1 to 16 streams.

One run, one model of random weights, two threads, the same context and prompts for all. Servers
run one at a time, started anew in each round, so that none computes beside another and none keeps
anything. All requests of a measurement are sent at once and ask for `TOKENS` tokens each:

- shared: questions that differ under one system prompt of 200 tokens, which is new to the server;
- warm: other questions under the system prompt of the measurement just before;
- cold: prompts of the same length that have nothing in common.

`tokens_per_s` counts all tokens from the first request sent to the last token. Every answer is as
long as asked, which is checked; the choice is greedy, save Ollama's, which would end an answer that
repeats itself (`peers`).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import signal
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType

from tests.bench import peers, serving_prompts
from tests.bench.harness import BUILD, ROUNDS, Measure, Row, measure, median, report
from tests.bench.peers import Model, Server
from tests.bench.serving_load import Answered, Load, answered, ask_all
from tests.bench.serving_prompts import Messages
from tests.simulators.speed_model import speed_model

TOKENS = 64
STREAMS = (1, 4, 8, 16)
QUICK_STREAMS = (8,)
OURS, LIMIT = "our engine", "llama-batched-bench"
PREFIX_PAIRS, PREFIX_ANSWER = 3, 4
# While the long prompt enters: so many streams run, each for long enough, and were seen so often.
STALLED, STALLED_TOKENS, SEEN_BEFORE = 3, 1_500, 60
# The template's own marks around a system prompt and a question.
TEMPLATE_TOKENS = 6

Figures = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """What one round measures, and settings of our engine that are tried out."""

    streams: Sequence[int]
    changed: Mapping[str, object]


class Subject:
    """One server, measured once per round; the prompts of a round are the same for all."""

    def __init__(self, name: str, model: Model, plan: Plan) -> None:
        self._name = name
        self._model = model
        self._plan = plan
        self._round = 0

    def __call__(self) -> Figures:
        """Start the server, measure everything, end it."""
        self._round += 1
        figures: Figures = {}
        with self._started() as server:
            _ask(server, serving_prompts.shared(1, f"{self._round}/before"))
            for streams in self._plan.streams:
                figures |= self._together(server, "shared", streams)
                figures |= self._together(server, "warm", streams)
            for streams in self._plan.streams:
                figures |= self._together(server, "cold", streams)
            figures |= prefix(server, f"{self._round}/prefix")
            if self._name != "llama_cpp.server":  # nothing runs there while a prompt is read
                figures |= stall(server, f"{self._round}/stall")
        return figures

    def _started(self) -> contextlib.AbstractContextManager[Server]:
        if self._name == OURS:
            return peers.ours(self._model, self._plan.changed)
        return peers.ALL[self._name](self._model)

    def _together(self, server: Server, kind: str, streams: int) -> Figures:
        salt = f"{self._round}/{streams}"
        prompts = {
            "shared": lambda: serving_prompts.shared(streams, salt),
            "warm": lambda: serving_prompts.shared(streams, salt, asked="later"),
            "cold": lambda: serving_prompts.cold(streams, salt),
        }[kind]()
        found = together(_ask(server, prompts))
        return {f"{kind}_{streams}_{figure}": value for figure, value in found.items()}


def together(answers: Sequence[Answered]) -> Figures:
    """Return the figures of requests that were sent at once."""
    began = min(answer.sent for answer in answers)
    ended = max(answer.pieces[-1] for answer in answers)
    waits = sorted(answer.first_s * 1000 for answer in answers)
    figures = {
        "tokens_per_s": sum(answer.tokens for answer in answers) / (ended - began),
        "ttft_ms": statistics.median(waits),
        "ttft_p95_ms": waits[math.ceil(0.95 * len(waits)) - 1],
    }
    decoding = (
        max(answer.pieces[0] for answer in answers),
        min(answer.pieces[-1] for answer in answers),
    )
    if decoding[1] > decoding[0]:  # else they were never all being written at once
        pieces = [when for answer in answers for when in answer.pieces]
        inside = sum(decoding[0] < when <= decoding[1] for when in pieces)
        figures["decode_tokens_per_s"] = inside / (decoding[1] - decoding[0])
    return figures


def prefix(server: Server, salt: str) -> Figures:
    """Return the wait for the first token of a second question under the same long prompt."""
    waits: list[tuple[float, float]] = []
    for pair in range(PREFIX_PAIRS):
        questions = serving_prompts.prefixed(2, f"{salt}/{pair}")
        first, second = (_ask(server, [one], PREFIX_ANSWER)[0].first_s for one in questions)
        waits.append((first, second))
    return {
        "prefix_first_ms": statistics.median(first for first, _ in waits) * 1000,
        "prefix_second_ms": statistics.median(second for _, second in waits) * 1000,
        "prefix_ttft": statistics.median(second / first for first, second in waits),
    }


def stall(server: Server, salt: str) -> Figures:
    """Return how long running streams pause while a prompt of 6,000 tokens enters."""
    load = Load(server.address)
    try:
        prompts = serving_prompts.cold(STALLED, salt)
        running = load.send(
            [server.request(one, STALLED_TOKENS, f"p{i}") for i, one in enumerate(prompts)]
        )
        load.read_until(lambda: all(len(stream.reads) > SEEN_BEFORE for stream in running))
        (entering,) = load.send([server.request(serving_prompts.long(salt), 1, "enters")])
        load.read_until(lambda: entering.ended is not None)
    finally:
        load.close()
    return pauses([answered(stream) for stream in running], answered(entering))


def pauses(running: Sequence[Answered], entering: Answered) -> Figures:
    """Return the usual pause of streams before a request entered, and the longest until it spoke.

    Only pauses that began when all of them were being written count as usual.
    """
    settled = max(stream.pieces[0] for stream in running)
    gaps = [gap for stream in running for gap in itertools.pairwise(stream.pieces)]
    before = [end - start for start, end in gaps if settled <= start and end < entering.sent]
    spoke = entering.pieces[0]
    during = [end - start for start, end in gaps if end >= entering.sent and start < spoke]
    # One that wrote nothing more has paused until the newcomer spoke, unless its answer was whole.
    silent = [min(spoke, stream.ended) - stream.pieces[-1] for stream in running]
    usual, longest = statistics.median(before), max([*during, *silent])
    return {
        "stall_usual_ms": usual * 1000,
        "stall_longest_ms": longest * 1000,
        "stall_long_ttft_ms": entering.first_s * 1000,
        "stall_ratio": longest / usual,
    }


def ratios(rows: list[Row]) -> Figures:
    """Return what BENCH.md names, as far as both sides were measured."""

    def over(figure: str, peer: str, theirs: str | None = None) -> Callable[[], float]:
        return lambda: median(rows, OURS, figure) / median(rows, peer, theirs or figure)

    def own(figure: str) -> Callable[[], float]:
        return lambda: median(rows, OURS, figure)

    keys: Mapping[str, Callable[[], float]] = {
        "tokens_vs_llama_server_8": over("shared_8_tokens_per_s", "llama-server"),
        "tokens_vs_llama_server_8_warm": over("warm_8_tokens_per_s", "llama-server"),
        "tokens_vs_llama_server_8_cold": over("cold_8_tokens_per_s", "llama-server"),
        "tokens_vs_llama_cpp_server_8": over("shared_8_tokens_per_s", "llama_cpp.server"),
        "tokens_vs_ollama_8": over("shared_8_tokens_per_s", "ollama"),
        "decode_vs_limit_8": over("shared_8_decode_tokens_per_s", LIMIT, "decode_tokens_per_s"),
        "ttft_vs_llama_server_8": over("shared_8_ttft_ms", "llama-server"),
        "ttft_p95_vs_llama_server_8": over("shared_8_ttft_p95_ms", "llama-server"),
        "ttft_p95_vs_llama_server_8_warm": over("warm_8_ttft_p95_ms", "llama-server"),
        "ttft_vs_ollama_8": over("shared_8_ttft_ms", "ollama"),
        "ttft_p95_vs_ollama_8": over("shared_8_ttft_p95_ms", "ollama"),
        "prefix_ttft": own("prefix_ttft"),
        "stall_ratio": own("stall_ratio"),
    }
    found: Figures = {}
    for key, value in keys.items():
        with contextlib.suppress(KeyError, StopIteration):  # one of the two was not measured
            found[key] = value()
    return found


def main() -> None:
    """Measure what the command line names and print it."""
    given = _arguments()
    # Ends as after Ctrl+C: the servers are stopped on the way out.
    signal.signal(signal.SIGTERM, _leave)
    model = Model(*speed_model(BUILD / "models"))
    streams = QUICK_STREAMS if given.quick else STREAMS
    plan = Plan(streams, dict(map(_setting, given.engine)))
    wanted = given.only.split(",") if given.only else [*peers.ALL, LIMIT]
    rows = measure(_subjects(wanted, model, plan), 1 if given.quick else given.rounds)
    # What was only tried must not take the place of what was measured.
    tried = given.quick or given.only or given.engine
    report("serving-tried" if tried else "serving", rows, ratios(rows))


def _subjects(wanted: Sequence[str], model: Model, plan: Plan) -> dict[str, Measure]:
    subjects: dict[str, Measure] = {}
    for name in wanted:
        if lacking := peers.missing(name):
            print(f"not measured: {name}; {lacking}", file=sys.stderr)
        elif name == LIMIT:
            subjects[name] = lambda: _limit(model)
        else:
            subjects[name] = Subject(name, model, plan)
    return subjects


def _limit(model: Model) -> Figures:
    """Return the better of llama.cpp's two ways to keep several sequences."""
    prompt = serving_prompts.SYSTEM_TOKENS + serving_prompts.QUESTION_TOKENS + TEMPLATE_TOKENS
    split, unified = (
        peers.batched_bench(model, prompt, TOKENS, unified=one) for one in (False, True)
    )
    both = (split["decode_tokens_per_s"], unified["decode_tokens_per_s"])
    return {
        "decode_tokens_per_s": max(both),
        "decode_split_tokens_per_s": both[0],
        "decode_unified_tokens_per_s": both[1],
        "prompt_tokens_per_s": split["prompt_tokens_per_s"],
    }


def _ask(server: Server, prompts: Sequence[Messages], tokens: int = TOKENS) -> list[Answered]:
    """Ask all at once, each as a person of its own; check that every answer is whole."""
    requests = [server.request(one, tokens, f"p{number}") for number, one in enumerate(prompts)]
    answers = ask_all(server.address, requests)
    for answer in answers:
        if answer.tokens != tokens or not answer.pieces:
            raise AssertionError(f"{tokens} tokens were asked for, {answer.tokens} came")
    return answers


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    return name, int(value) if value.lstrip("-").isdecimal() else value


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit("stopped")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving")
    parser.add_argument("--quick", action="store_true", help="one round, 8 streams only")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", help=f"some of: {', '.join([*peers.ALL, LIMIT])}")
    parser.add_argument(
        "--engine", action="append", default=[], metavar="SETTING=VALUE", help="try a setting out"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
