"""Measure a demo GGUF on held-out wording and print a table and one line of JSON.

Usage: python models/demo/evaluate.py [--model FILE] [--show N]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from demo_model.answering import DemoModel
from demo_model.examinations import Item, all_examinations
from demo_model.scoring import extra_numbers, score

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Result:
    """One examination: shares in percent, and counts of what should not be there."""

    examination: str
    items: int
    exact_percent: float
    fields: int
    fields_right_percent: float | None  # None where the answer has no fields
    extra_numbers: int
    extra_fields: int
    wrong_by_field: dict[str, int]


def examine(model: DemoModel, name: str, items: list[Item], *, show: int) -> Result:
    """Ask every item and score it; print up to `show` wrong answers."""
    exact = extra = fields = right = extra_fields = shown = 0
    wrong: Counter[str] = Counter()
    for item in items:
        text = model.answer(item.question, system=item.system, earlier=item.earlier).text.strip()
        exact += text == item.expected
        extra += len(extra_numbers(text, item.expected))
        if item.expected.startswith("**Summary**"):
            scored = score(text, item.expected)
            fields += len(scored.right) + len(scored.wrong) + len(scored.missing)
            right += len(scored.right)
            extra_fields += len(scored.extra_fields)
            wrong.update(scored.wrong + scored.missing)
        if text != item.expected and shown < show:
            shown += 1
            print(f"--- {name}\n{item.question}\n>>> got\n{text}\n>>> expected\n{item.expected}")
    share = round(100 * right / fields, 1) if fields else None
    return Result(
        name,
        len(items),
        round(100 * exact / len(items), 1),
        fields,
        share,
        extra,
        extra_fields,
        dict(wrong.most_common()),
    )


def tokens_per_second(model: DemoModel) -> float:
    """Speed of a long answer on one thread, prompt included."""
    started = time.monotonic()
    answer = model.answer("tell me everything about this appliance")
    return answer.tokens / (time.monotonic() - started)


def print_table(results: list[Result]) -> None:
    """One row per examination."""
    print(f"{'examination':<26}{'items':>6}{'exact %':>9}{'fields %':>10}{'extra numbers':>15}")
    for r in results:
        share = "-" if r.fields_right_percent is None else f"{r.fields_right_percent}"
        print(
            f"{r.examination:<26}{r.items:>6}{r.exact_percent:>9}{share:>10}{r.extra_numbers:>15}"
        )


def main(arguments: list[str]) -> int:
    """Evaluate; exit 1 if fewer than 95 % of the fields of the held-out notes are right."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="default: the one below this folder")
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print, each")
    options = parser.parse_args(arguments)
    path = options.model or min(HERE.glob("**/*.gguf"), key=lambda found: len(found.parts))
    model = DemoModel(path)
    results = [
        examine(model, name, items, show=options.show) for name, items in all_examinations().items()
    ]
    print_table(results)
    report = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "tokens_per_second": round(tokens_per_second(model)),
        "results": [asdict(result) for result in results],
    }
    print(json.dumps(report))
    return 0 if (results[0].fields_right_percent or 0) >= 95 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
