"""A ledger under load that the tests kill: prints `ready`, then each acknowledged entry."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.unit.audit import samples


def main(path: Path) -> None:
    """Append from 16 threads for ever; a line is printed only after the receipt is there."""
    log = samples.opened(path)
    print("ready", flush=True)

    def work(worker: int) -> None:
        number = 0
        while True:
            receipt = log.append(samples.event(worker, entity=f"w{worker}-{number}"))
            sys.stdout.write(f"{receipt.seq} {receipt.leaf.hex()} w{worker}-{number}\n")
            sys.stdout.flush()
            number += 1

    for worker in range(16):
        threading.Thread(target=work, args=(worker,)).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
