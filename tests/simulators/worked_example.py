"""The small record that docs/reference/record-format.md works through, and its values.

`python -m tests.simulators.worked_example` prints them as tests/vectors/audit/record.json.
"""

from __future__ import annotations

import json
from typing import Any

from tests.simulators import record_forge
from tests.simulators.record_forge import WITNESS, Forge

COSIGNED_AT = 1_772_352_060  # 2026-03-01T08:01:00Z


def forge() -> Forge:
    """Return five entries under two epochs."""
    made = Forge()
    made.by_ledger("appliance.init", {"key": made.key(0)}).checkpoint()
    made.add(action="answer.request", outcome="intent", tokens=None, latency_ms=None)
    made.add(content={"bytes": 1024, "commitment": "cd" * 32, "key": "key_1", "sha256": "ef" * 32})
    return made.hand_over().add(purpose="R\u00fcckfrage").checkpoint()


def values() -> dict[str, Any]:
    """Return everything that another writer or verifier can compare with."""
    made = forge()
    witness = record_forge.secret(WITNESS)
    return {
        "log": made.log,
        "seeds": [made.secret(number).private_bytes_raw().hex() for number in range(2)],
        "keys": [made.key(number) for number in range(2)],
        "entries": [made.entries[seq].decode() for seq in range(made.size)],
        "leaves": [leaf.hex() for leaf in made.leaves],
        "roots": [record_forge.root(made.leaves[:size]).hex() for size in range(made.size + 1)],
        "frontier": record_forge.frontier(made.leaves).hex(),
        "checkpoints": {str(size): note for size, note in made.notes.items()},
        "epochs": [list(row) for row in made.handovers],
        "receipt": made.receipt(2, 4),
        "witness": {
            "seed": witness.private_bytes_raw().hex(),
            "key": record_forge.verifier_key(witness, WITNESS, 4),
            "time": COSIGNED_AT,
            "note": record_forge.cosigned(made.notes[4], COSIGNED_AT),
        },
    }


if __name__ == "__main__":
    print(json.dumps(values(), indent=1, ensure_ascii=False))
