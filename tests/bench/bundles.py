"""`make bench-bundles`: bringing in 2 GiB of weights, against what people do by hand.

Usage: python -m tests.bench.bundles [FOLDER]. FOLDER must lie on the disk to be measured, with
10 GiB free; a folder in memory would measure no fsync. The machine should be quiet.

The same for everyone: one disk; the source read once just before, so that it comes from the page
cache (a stick would hide every difference behind its own speed); what others left to be written
is written out first; a new destination each time; and the clock stops when the bytes are on the
disk (`sync FILE`, or fsync). Our figure is the import from its first step to the commit, which
does more than the others do: it sets room aside, verifies signatures, looks into the file in a
process of its own, and writes the rows. Each is a process of its own; the start of Python counts
for `model_signing`, which is a command, and is listed apart for ours (`process_s`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from appliance.bundles.library import Library
from appliance.bundles.manifest import SIDE_FILES, weights_name
from appliance.bundles.publisher import ModelSource, Signers, build_bundle
from appliance.bundles.trust import fingerprint
from appliance.clock import System
from appliance.database import Database
from tests.bench import harness
from tests.bench.tuf_client import download
from tests.simulators.bundle_forge import PROMPTS, card_text
from tests.simulators.large_gguf import write_large_gguf

BYTES = 2**31
NAME, VERSION = "bench", "1.0"
CHUNK = 1_048_576
WINDOW = 8 * CHUNK
MODEL_SIGNING = Path(sys.executable).with_name("model_signing")


class Bundles:
    """One bundle of one model, and each way to bring it in, on the disk of `folder`."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        self._plain = folder / "plain"
        self._bundle = folder / "bundle"
        self._destination = folder / "destination"
        self._key = folder / "key.pem"
        self._weights = self._plain / weights_name(NAME)
        self._make(size)
        self.size = self._weights.stat().st_size

    def imported(self) -> Mapping[str, float]:
        """The appliance's import, in a process of its own that says how much memory it took."""
        return self._child("import")

    def by_shell(self) -> Mapping[str, float]:
        """`sha256sum`, then `cp`, then `sync`: what a careful person types."""
        script = 'sha256sum "$1" && cp "$1" "$2" && sync "$2"'
        return self._measured(self._weights, lambda: self._shell(script))

    def by_model_signing(self) -> Mapping[str, float]:
        """`model_signing verify key`, then `cp`, then `sync`."""
        script = (
            '"$3" verify key --signature "$4" --public_key "$5" "$6" && cp "$1" "$2" && sync "$2"'
        )
        more = (MODEL_SIGNING, self._folder / "model.oms.sig", self._key, self._plain)
        return self._measured(self._weights, lambda: self._shell(script, *more))

    def by_tuf(self) -> Mapping[str, float]:
        """python-tuf's own client: refresh, then `download_target`, then fsync."""
        return self._child("tuf")

    def hashed(self) -> Mapping[str, float]:
        """Half of the limit: SHA-256 by hashlib, nothing written."""

        def run() -> None:
            with self._weights.open("rb") as file:
                hashlib.file_digest(file, "sha256")

        return self._measured(self._weights, run)

    def written(self) -> Mapping[str, float]:
        """The other half: as many bytes written and fsynced, nothing read.

        In the quickest of the ways tried: the disk is made to begin at once, and what it has is
        dropped from memory. Left to itself the kernel gathers gigabytes first, which takes
        several times as long and would flatter us.
        """
        block = memoryview(os.urandom(CHUNK))

        def run() -> None:
            path = self._destination / "written"
            with path.open("wb", buffering=0) as file:
                os.posix_fallocate(file.fileno(), 0, self.size)
                for start in range(0, self.size, CHUNK):
                    file.write(block[: self.size - start])
                    if start % WINDOW == 0:
                        for behind in (1, 5):
                            at = max(0, start - behind * WINDOW)
                            os.posix_fadvise(file.fileno(), at, WINDOW, os.POSIX_FADV_DONTNEED)
                os.fsync(file.fileno())

        return self._measured(self._weights, run)

    def _make(self, size: int) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._plain.mkdir(parents=True)
        write_large_gguf(self._weights, size)
        source = ModelSource(self._weights, self._folder / "card.toml", self._folder / "eval.jsonl")
        source.card.write_text(card_text(NAME, VERSION))
        source.prompts.write_text(PROMPTS)
        signer = CryptoSigner.generate_ecdsa()
        self._key.write_text(signer.public_key.keyval["public"])
        expires = datetime.now(UTC) + timedelta(days=7)
        build_bundle(self._bundle, [source], Signers.one(signer), expires=expires)
        # model_signing wants the files by their plain names; a hard link would be refused by us.
        for name in SIDE_FILES.values():
            stored = next((self._bundle / "targets").glob(f"*/*.{name}"))
            where = self._folder if name == SIDE_FILES["oms"] else self._plain
            shutil.copyfile(stored, where / name)

    def _measured(self, source: Path, run: Callable[[], None]) -> dict[str, float]:
        shutil.rmtree(self._destination, ignore_errors=True)
        self._destination.mkdir()
        with source.open("rb") as file:
            while file.read(CHUNK):
                pass
        os.sync()
        started = time.perf_counter()
        run()
        seconds = time.perf_counter() - started
        return {"seconds": seconds, "mb_per_s": self.size / seconds / 1e6}

    def _shell(self, script: str, *more: Path) -> None:
        target = self._destination / "copied"
        command = ["sh", "-c", script, "sh", self._weights, target, *more]
        subprocess.run(command, check=True, capture_output=True)

    def _child(self, what: str) -> Mapping[str, float]:
        """Run one of this module's own ways in a fresh process; it times the work itself."""
        stored = next((self._bundle / "targets").glob(f"*/*.{weights_name(NAME)}"))
        command = [sys.executable, "-m", "tests.bench.bundles", f"--{what}"]
        folders = [str(self._bundle), str(self._destination)]
        said: dict[str, float] = {}

        def run() -> None:
            done = subprocess.run([*command, *folders], check=True, capture_output=True)
            said.update(json.loads(done.stdout))

        process = self._measured(stored, run)
        rate = self.size / said["seconds"] / 1e6
        return said | {"mb_per_s": rate, "process_s": process["seconds"]}


def import_here(bundle: Path, destination: Path) -> dict[str, float]:
    """Import into a new library under `destination`; return what it took."""
    database = Database.create(destination / "appliance.db", "appliance")
    library = Library(database, destination / "models", destination / "staging", System())
    root = (bundle / "metadata" / "1.root.json").read_bytes()
    library.add_publisher("bench", root, fingerprint(root), "usr_bench")
    before = _peak_mb()
    started = time.perf_counter()
    library.import_bundle([bundle], time.time(), "usr_bench")
    seconds = time.perf_counter() - started
    database.close()
    return {"seconds": seconds, "rss_mb": _peak_mb(), "rss_before_mb": before}


def _peak_mb() -> float:
    """Return the most memory this process has had resident, in 10^6 bytes.

    Not `getrusage`: there a child begins with its parent's peak.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("this kernel states no peak of resident memory")


def _child(arguments: list[str]) -> None:
    what, bundle, destination = arguments[0], Path(arguments[1]), Path(arguments[2])
    if what == "--import":
        print(json.dumps(import_here(bundle, destination)))
        return
    started = time.perf_counter()
    download(bundle, destination, f"{NAME}-{VERSION}/{weights_name(NAME)}")
    print(json.dumps({"seconds": time.perf_counter() - started}))


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1].startswith("--"):
        _child(sys.argv[1:])
        return
    disk = Path(sys.argv[1] if len(sys.argv) > 1 else harness.BUILD)
    bundles = Bundles(disk / "bundles", BYTES)
    rows = harness.measure(
        {
            "appliance import": bundles.imported,
            "sha256sum, cp, sync": bundles.by_shell,
            "model_signing verify, cp, sync": bundles.by_model_signing,
            "python-tuf download_target": bundles.by_tuf,
            "hashlib alone": bundles.hashed,
            "write alone": bundles.written,
        }
    )
    shutil.rmtree(disk / "bundles")
    ours = harness.median(rows, "appliance import", "seconds")

    def seconds(subject: str) -> float:
        return harness.median(rows, subject, "seconds")

    harness.report(
        "bundles",
        rows,
        {
            "import_vs_sha256sum_cp_sync": seconds("sha256sum, cp, sync") / ours,
            "import_vs_model_signing_cp_sync": seconds("model_signing verify, cp, sync") / ours,
            "import_vs_tuf_download_target": seconds("python-tuf download_target") / ours,
            "import_vs_limit": max(seconds("hashlib alone"), seconds("write alone")) / ours,
            "import_rss_mb": harness.median(rows, "appliance import", "rss_mb"),
        },
    )


if __name__ == "__main__":
    main()
