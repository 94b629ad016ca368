"""The benchmark of servers measures what it says: prompts, streams taken apart, figures, ratios."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import llama_cpp
import pytest

from tests.bench import serving, serving_prompts
from tests.bench.goals import SERVING
from tests.bench.harness import Row
from tests.bench.serving_load import Answered, Load, Request, Stream, answered, ask_all
from tests.simulators import speed_model

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ASKED = Request("/v1/chat/completions", {"model": "any"})


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> llama_cpp.Llama:
    """The speed model with one layer of its sixteen: the same in all but speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speed_model, "LAYERS", 1)
        path, _ = speed_model.speed_model(tmp_path_factory.mktemp("speed"))
    return llama_cpp.Llama(str(path), n_ctx=512, n_threads=1, n_threads_batch=1, verbose=False)


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """A server that answers every request with two pieces of text and then closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(HEAD + _chunk("a") + _chunk("b"))

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_prompts_have_the_length_they_claim(model: llama_cpp.Llama) -> None:
    """Each word is one token, so a prompt of 200 words has 200 tokens in every server."""
    system, question = serving_prompts.shared(1, "salt")[0]
    tokens = [len(model.tokenize(turn["content"].encode(), False)) for turn in (system, question)]
    assert tokens == [200, 24]


def test_the_speed_model_writes_as_many_tokens_as_asked(model: llama_cpp.Llama) -> None:
    """It neither ends by itself nor writes a token that shows nothing."""
    system, question = serving_prompts.cold(1, "salt")[0]
    stream = model.create_chat_completion([system, question], max_tokens=64, stream=True)
    deltas = [chunk["choices"][0]["delta"] for chunk in stream]
    assert sum(bool(delta.get("content")) for delta in deltas) == 64


def test_shared_prompts_differ_in_the_question_alone() -> None:
    """Eight streams have one system prompt and eight questions."""
    prompts = serving_prompts.shared(8, "salt")
    assert len({system["content"] for system, _ in prompts}) == 1
    assert len({question["content"] for _, question in prompts}) == 8


def test_nothing_is_shared_between_cold_prompts_nor_between_rounds() -> None:
    """No two of them have so much as the first word in common."""
    prompts = [*serving_prompts.cold(8, "1"), *serving_prompts.cold(8, "2")]
    assert len({system["content"].split()[0] for system, _ in prompts}) == 16


def test_a_piece_counts_when_its_line_is_complete() -> None:
    """An event that comes in two reads has the time of the second."""
    event = _chunk("hello")
    reads = [(1.0, HEAD), (2.0, event[:20]), (3.0, event[20:]), (4.0, _chunk("") + _chunk("you"))]
    assert _taken_apart(reads).pieces == (3.0, 4.0)


def test_the_lines_of_ollama_are_read_too() -> None:
    """Its pieces are messages, and its last line counts tokens under other names."""
    lines = b'10\r\n{"message":{"content":"a"}}\n\r\n{"prompt_eval_count":7,"eval_count":1}\n'
    found = _taken_apart([(1.0, HEAD + lines)])
    assert (found.pieces, found.prompt_tokens, found.answer_tokens) == ((1.0,), 7, 1)


def test_a_refusal_is_not_taken_for_an_answer() -> None:
    """A status other than 200 and an error event end the benchmark with what was said."""
    with pytest.raises(AssertionError, match="no such model"):
        _taken_apart([(1.0, b"HTTP/1.1 404 Not Found\r\n\r\nno such model")])
    with pytest.raises(AssertionError, match="out of memory"):
        _taken_apart([(1.0, HEAD + b'data: {"error":{"message":"out of memory"}}\n\n')])


def test_streams_are_read_side_by_side(server: tuple[str, int]) -> None:
    """Requests go out at once and each stream is read to its end."""
    found = ask_all(server, [ASKED] * 4)
    assert [len(one.pieces) for one in found] == [2, 2, 2, 2]
    assert all(one.first_s > 0 for one in found)


def test_an_answer_that_ended_leaves_no_connection(server: tuple[str, int]) -> None:
    """It is closed at once: a server that lingers for its peer would hold the others up."""
    load = Load(server)
    first, second = load.send([ASKED] * 2)
    load.read_until(lambda: first.ended is not None)
    assert first.connection.fileno() == -1
    load.read_all()
    assert second.connection.fileno() == -1
    load.close()


def test_closing_ends_streams_that_still_run(server: tuple[str, int]) -> None:
    """A server sees a closed connection as soon as the load is closed."""
    load = Load(server)
    (stream,) = load.send([ASKED])
    load.close()
    assert stream.connection.fileno() == -1


def test_rates_count_from_the_first_request_to_the_last_token() -> None:
    """Two streams of 64 tokens in 4 seconds: 32 tokens/s; while both run, what came meanwhile."""
    found = serving.together([_answered(0, 1, 2, 3), _answered(0, 2, 3, 4)])
    assert found["tokens_per_s"] == 2 * 64 / 4
    assert found["decode_tokens_per_s"] == 2 / 1
    assert (found["ttft_ms"], found["ttft_p95_ms"]) == (1500, 2000)


def test_streams_one_after_the_other_have_no_common_rate() -> None:
    """Where one stream ended before the next began, no decoding rate is made up."""
    assert "decode_tokens_per_s" not in serving.together([_answered(0, 1, 2), _answered(0, 3, 4)])


def test_the_longest_pause_counts_until_the_newcomer_speaks() -> None:
    """A pause that began before and ends after the newcomer's request counts; a later one not."""
    running = [_answered(0, 1, 2, 3, 4, 9, 10, 30), _answered(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)]
    found = serving.pauses(running, _answered(4.5, 11))
    assert (found["stall_usual_ms"], found["stall_longest_ms"]) == (1000, 20_000)
    found = serving.pauses(running, _answered(4.5, 8.5))
    assert found["stall_ratio"] == 5


def test_a_stream_that_falls_silent_has_paused() -> None:
    """Without any piece after the request, the pause lasts until the newcomer speaks."""
    assert serving.pauses([_answered(0, 1, 2, 3)], _answered(3.5, 23))["stall_longest_ms"] == 20_000


def test_a_stream_whose_answer_is_whole_has_not_paused() -> None:
    """What comes after the end of an answer is no pause of it."""
    whole = replace(_answered(0, 1, 2, 3), ended=3.5)
    assert serving.pauses([whole], _answered(3.2, 23))["stall_longest_ms"] == 500


def test_ratios_have_the_names_of_the_goals() -> None:
    """What is computed is what the table of goals explains, and what was not measured is absent."""
    figures = [f"{kind}_8_{figure}" for kind in ("shared", "warm", "cold") for figure in _FIGURES]
    ours = dict.fromkeys([*figures, "prefix_ttft", "stall_ratio", "decode_tokens_per_s"], 2.0)
    peers = ["our engine", "llama-server", "llama_cpp.server", "ollama", serving.LIMIT]
    assert set(serving.ratios([Row(peer, ours) for peer in peers])) == set(SERVING)
    assert set(serving.ratios([Row("our engine", ours)])) == {"prefix_ttft", "stall_ratio"}


def test_the_peer_in_python_computes_with_our_library() -> None:
    """Both lock files name the same llama-cpp-python, so that its server has our llama.cpp."""
    names = "requirements.lock", "requirements-bench.lock"
    lines = [
        line.split()[0]
        for name in names
        for line in Path(name).read_text().splitlines()
        if line.startswith("llama-cpp-python==")
    ]
    assert len(lines) == 2
    assert len(set(lines)) == 1


_FIGURES = ("tokens_per_s", "ttft_ms", "ttft_p95_ms", "decode_tokens_per_s")


def _chunk(text: str) -> bytes:
    return b'2f\r\ndata: {"choices":[{"delta":{"content":"%s"}}]}\n\n\r\n' % text.encode()


def _taken_apart(reads: list[tuple[float, bytes]]) -> Answered:
    with socket.socket() as unused:
        return answered(Stream(unused, sent=0.0, reads=reads))


def _answered(sent: float, *pieces: float) -> Answered:
    return Answered(sent, pieces, 230, 64)
