"""The table of sizes in docs/how-to/use-a-gpu.md, computed from the catalogue by the engine's rule.

Nothing in it is typed by hand or measured: it says what fits, and nothing of speed.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from appliance.llama.placing.memory import GIB, MIB, Layer, cache_bytes_per_token

ROOT = Path(__file__).resolve().parents[2]
CATALOG = ROOT / "models" / "catalog"
PAGE = ROOT / "docs" / "how-to" / "use-a-gpu.md"
BEGIN, END = "<!-- sizes: made by docs/reference/generate.py -->\n", "<!-- end of sizes -->"
GPUS_GB = (16, 24, 48, 80)
COLUMNS = (
    "card", "weights", "1,000 tokens in f16", "in q8_0", "in q4_0",
    *(f"tokens on {size} GB" for size in GPUS_GB),
)  # fmt: skip
# Buffers and the driver's share, as in the rule of models/catalog/README.md.
REST = GIB


def page() -> str:
    """Return the page with the table as it should be; everything else stays as it is."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def table() -> str:
    """Return one line for each card of the catalogue, the smallest weights first."""
    cards = [tomllib.loads(path.read_text(encoding="utf-8")) for path in CATALOG.glob("*.toml")]
    ordered = sorted(cards, key=lambda card: (card["source"]["file_gb"], card["name"]))
    head = (COLUMNS, ("---",) * len(COLUMNS))
    return "".join(f"| {' | '.join(row)} |\n" for row in (*head, *map(_row, ordered)))


def _row(card: dict[str, Any]) -> tuple[str, ...]:
    shape, weights = card["memory"], int(card["source"]["file_gb"] * 1e9)
    each = shape["kv_heads"] * shape["head_size"]
    layers = [Layer(0, each, each)] * shape["layers"]
    caches = [cache_bytes_per_token(layers, kind) for kind in ("f16", "q8_0", "q4_0")]
    sizes = [f"{1_000 * cache / MIB:.0f} MiB" for cache in caches]
    held = [_held(gpu * GIB - weights - REST, caches[0]) for gpu in GPUS_GB]
    return (f"`{card['name']}`", f"{weights / GIB:.1f} GiB", *sizes, *held)


def _held(free: int, cache: int) -> str:
    tokens = free // cache // 1_000 * 1_000
    return f"{tokens:,}" if tokens > 0 else "does not fit"
