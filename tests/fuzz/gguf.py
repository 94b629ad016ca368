"""Coverage-guided fuzzing of the GGUF header reader.

Run: python -m tests.fuzz.gguf [--seconds 30] [--seed 1]. What must hold for any bytes:

1. `inspect` returns Facts or raises UnsafeModelError, nothing else (`check`);
2. facts that come back are within the bounds that the parent checks again;
3. reading costs no more than a few times the bytes there are, and 10 s and 512 MiB at most
   (libFuzzer's own limits here).

The corpus starts with the named files of `gguf_forge`, small good files of several kinds, and a
real model's header. An input that breaks a rule is left in build/fuzz/ with its path printed; it
then becomes a named file of `gguf_forge`. Where the fuzzing engine (atheris) is not installed, as
on a Python newer than it supports, the same rules are checked by mutation without guidance.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import random
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.simulators.gguf_forge import (
    ARRAY,
    BOOL,
    F32,
    MALFORMED,
    STRING,
    U32,
    build,
    entry,
    strings,
    tensor,
    text,
)
from tests.simulators.tiny_gguf import write_tiny_gguf

FOUND = Path(__file__).resolve().parents[2] / "build" / "fuzz"
# Small: the structure is what counts, and short inputs are tried more often.
MAX_INPUT_BYTES = 4_096
MAX_READ_FACTOR = 4
MAX_REASON_CHARACTERS = 1_000
WORDS = (
    "GGUF", "general.architecture", "general.alignment", "general.file_type", "general.type",
    "llama.context_length", "llama.block_count", "tokenizer.chat_template",
    "tokenizer.ggml.tokens", "split.count", "split.no",
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """Yield the files that fuzzing starts from."""
    for data, _ in MALFORMED.values():
        if len(data) <= MAX_INPUT_BYTES:
            yield data
    yield build()
    yield build(without="tokenizer.chat_template")
    yield build(entry("general.alignment", U32, struct.pack("<I", 64)), data=64)
    yield build(entry("general.file_type", U32, struct.pack("<I", 7)))
    yield build(entry("f", ARRAY, struct.pack("<IQ2?", BOOL, 2, True, False)))
    yield build(entry("s", ARRAY, struct.pack("<IQ2f", F32, 2, 0.5, -1.0)))
    yield build(entry("t", ARRAY, strings(*"abcdef")), entry("u", STRING, text("é☤🙂")))
    parts = (tensor("blk.0.w", (32, 2), kind=8), tensor("blk.1.w", (64,), kind=39, offset=96))
    yield build(tensors=parts, data=160)


def tiny() -> bytes:
    """Return the bytes of a real model that llama.cpp loads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        write_tiny_gguf(path)
        return path.read_bytes()


def check(data: bytes) -> bool:
    """Raise AssertionError when the reader breaks a rule; return whether it took the file."""
    # Here, so that the fuzzing engine can watch the reader's branches from its import on.
    from appliance.bundles import gguf, gguf_cursor, inspection
    from appliance.bundles.refusals import UnsafeModelError

    read = 0

    def count(offset: int, wanted: int) -> bytes:
        nonlocal read
        read += wanted
        return data[offset : offset + wanted]

    facts, reason = None, ""
    try:
        facts = gguf.inspect(count, len(data))
    except UnsafeModelError as error:
        reason = error.message
    largest = MAX_READ_FACTOR * max(len(data), gguf_cursor.WINDOW)
    assert read <= largest, f"{read} bytes read of {len(data)}"
    assert len(reason) < MAX_REASON_CHARACTERS, "the reason is too long"
    assert facts is None or inspection._sound(facts), "facts that the parent would not take"
    return facts is not None


def mutated(data: bytes, source: random.Random) -> bytes:
    """Return a file with one to four places changed: numbers at their edges, cuts, doublings."""
    changed = bytearray(data)
    for _ in range(source.randint(1, 4)):
        reach = min(len(changed), source.choice((500, 9_000, len(changed))))
        place, size = source.randrange(reach + 1), source.choice((1, 2, 4, 8))
        how = source.randrange(5)
        if how == 0:
            changed[place : place + size] = source.randbytes(size)
        elif how == 1:
            changed[place : place + size] = source.choice((b"\xff" * size, bytes(size)))
        elif how == 2:
            changed[place : place + 8] = struct.pack("<Q", 2 ** source.randrange(64))
        elif how == 3:
            changed[place:place] = changed[place : place + source.randint(1, 64)]
        else:
            del changed[place : place + size]
    return bytes(changed)


def mutations(count: int, seed: int) -> Iterator[bytes]:
    """Yield that many mutated files; as many come of a good file as of a malformed one."""
    source = random.Random(seed)  # noqa: S311  # repeatable, not secret
    files = [*seeds(), *[tiny()] * len(MALFORMED)]
    for _ in range(count):
        yield mutated(source.choice(files), source)


def unguided(count: int, seed: int) -> tuple[int, int]:
    """Check `count` mutations; return how many were taken and refused. The seed decides all."""
    taken = 0
    for number, data in enumerate(mutations(count, seed)):
        try:
            taken += check(data)
        except Exception:
            print(f"seed {seed}, file {number}: {keep(data)}", file=sys.stderr)
            raise
    return taken, count - taken


def keep(data: bytes) -> Path:
    """Write an input that broke a rule where it can be looked at."""
    FOUND.mkdir(parents=True, exist_ok=True)
    path = FOUND / f"gguf-{hashlib.sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    return path


def guided(seconds: int, seed: int) -> None:
    """Fuzz with coverage for so long; ends the process, with status 77 when a rule was broken."""
    import atheris

    modules = ("gguf", "gguf_cursor", "gguf_types", "chat_template", "inspection")
    with atheris.instrument_imports(include=[f"appliance.bundles.{name}" for name in modules]):
        target: Callable[[bytes], bool] = check
        target(build())
    corpus = Path(tempfile.mkdtemp(prefix="gguf-corpus-"))
    for number, data in enumerate([*seeds(), tiny()[:MAX_INPUT_BYTES]]):
        (corpus / f"{number:03}").write_bytes(data)
    words = corpus.with_suffix(".dict")
    words.write_text("".join(f'"{word}"\n' for word in WORDS))
    FOUND.mkdir(parents=True, exist_ok=True)
    options = [
        "gguf", str(corpus), f"-max_total_time={seconds}", f"-seed={seed}", f"-dict={words}",
        f"-max_len={MAX_INPUT_BYTES}", "-timeout=10", "-rss_limit_mb=1024", "-verbosity=0",
        "-print_final_stats=1", f"-artifact_prefix={FOUND}/gguf-",
    ]  # fmt: skip
    atheris.Setup(options, target)
    atheris.Fuzz()


def main() -> None:
    """Fuzz for the time that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.gguf")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if importlib.util.find_spec("atheris") is not None:
        guided(asked.seconds, asked.seed)
        return
    print("atheris is not installed for this Python: mutations without coverage instead")
    end, taken, refused, seed = time.monotonic() + asked.seconds, 0, 0, asked.seed
    while time.monotonic() < end:
        more = unguided(2_000, seed)
        taken, refused, seed = taken + more[0], refused + more[1], seed + 1
    print(f"gguf: {taken + refused} files, {taken} taken, {refused} refused, no rule broken")


if __name__ == "__main__":
    main()
