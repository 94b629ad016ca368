"""`make bench-gateway`: what the gateway adds to an answer, beside LiteLLM's proxy.

Both stand before the same upstream, which answers at once (`fake_upstream.py`), and the same
bare client asks both, with 1 and with 8 callers. Ours is whole: gunicorn, a key per caller,
policy, sealing, and the durable record in the ledger's process. LiteLLM's proxy has one key and
writes nothing. Its environment is build/bench/venv (`tests/bench/environment.sh`),
or what LITELLM_VENV names; without it, our rows are printed alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.gateway_client import Caller, Endpoint, first_words, whole_answers
from tests.bench.harness import BUILD, Measure, Row, measure, median, report
from tests.simulators.gateway_site import GatewaySite
from tests.simulators.stack import free_port

CALLERS = (1, 8)
RATE_S = 3.0
FIRST_WORDS = 120
IDLE_STREAMS = 64
SETTLE_S = 2.0
START_WITHIN_S = 120
DIRECT, OURS, PEER = "upstream, asked directly", "our gateway, recorded", "LiteLLM's proxy"
MASTER_KEY = "sk-bench"
CONFIGURATION = """\
model_list:
  - model_name: demo
    litellm_params: {{model: openai/demo, api_base: "http://127.0.0.1:{port}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{num_retries: 0, request_timeout: 60}}
"""


def speed(endpoints: list[Endpoint]) -> Measure:
    """Return a measurement of one server: whole answers a second, and milliseconds to a word."""

    def run() -> dict[str, float]:
        figures: dict[str, float] = {}
        for callers in CALLERS:
            chosen = endpoints[:callers]
            whole_answers(chosen, 0.3)  # connections, imports and caches are not what is asked
            figures[f"rps_{callers}"] = whole_answers(chosen, RATE_S)
            waits = first_words(chosen, FIRST_WORDS)
            figures[f"ttft_ms_{callers}"] = statistics.median(waits) * 1000
        return figures

    return run


@contextlib.contextmanager
def litellm(upstream_port: int, folder: Path) -> Iterator[Endpoint | None]:
    """Run LiteLLM's proxy with its own defaults: one worker, no database, no callbacks."""
    command = Path(os.environ.get("LITELLM_VENV", BUILD / "venv")) / "bin" / "litellm"
    if not command.exists():
        print(f"{command} is not there: LiteLLM's proxy is left out")
        yield None
        return
    port, file = free_port(), folder / "litellm.yaml"
    file.write_text(CONFIGURATION.format(port=upstream_port, key=MASTER_KEY))
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with (folder / "litellm.log").open("wb") as log:
        process = subprocess.Popen(
            [str(command), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **quiet}, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    endpoint = Endpoint("127.0.0.1", port, MASTER_KEY)
    try:
        _await(endpoint, process, folder / "litellm.log")
        yield endpoint
    finally:
        process.terminate()
        process.wait(30)


def _await(endpoint: Endpoint, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError), contextlib.closing(Caller(endpoint)) as one:
            one.whole("hello")
            return
        time.sleep(0.5)
    raise AssertionError(f"LiteLLM's proxy did not start:\n{log.read_text()[-2000:]}")


def idle_streams(site: GatewaySite) -> float:
    """Return the megabytes that 64 open streams, which say nothing, add to the gateway."""
    before = site.resident_mb()
    with contextlib.ExitStack() as held:
        for endpoint in site.endpoints(IDLE_STREAMS):
            caller = held.enter_context(contextlib.closing(Caller(endpoint)))
            caller.begin_stream("hold")
            caller.await_word()
        time.sleep(SETTLE_S)
        return site.resident_mb() - before


def main() -> None:
    """Measure everything in turn and print it."""
    folder = Path(tempfile.mkdtemp(prefix="gwb-"))
    port = free_port()
    try:
        with contextlib.ExitStack() as parts:
            site = parts.enter_context(GatewaySite(folder / "state", upstream_port=port))
            peer = parts.enter_context(litellm(port, folder))
            subjects = {
                DIRECT: speed([Endpoint("127.0.0.1", port, "none")] * max(CALLERS)),
                OURS: speed(site.endpoints(max(CALLERS))),
            }
            if peer is not None:
                subjects[PEER] = speed([peer] * max(CALLERS))
            rows = measure(subjects)
            memory = idle_streams(site)
        rows.append(Row(OURS + ", 64 idle streams", {"rss_mb": memory}))
        report(
            "gateway", rows, {**_ratios(rows, peer is not None), "idle_streams_64_rss_mb": memory}
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ratios(rows: list[Row], with_peer: bool) -> dict[str, float]:
    ratios: dict[str, float] = {}
    for callers in CALLERS:
        bare = median(rows, DIRECT, f"ttft_ms_{callers}")
        added = median(rows, OURS, f"ttft_ms_{callers}") - bare
        ratios[f"ttft_added_ms_{callers}"] = added
        if with_peer:
            rates = [median(rows, subject, f"rps_{callers}") for subject in (OURS, PEER)]
            ratios[f"rps_vs_litellm_{callers}"] = rates[0] / rates[1]
            theirs = median(rows, PEER, f"ttft_ms_{callers}") - bare
            ratios[f"ttft_added_vs_litellm_{callers}"] = added / theirs
    return ratios


if __name__ == "__main__":
    main()
