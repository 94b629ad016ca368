"""An auditor with the stand-alone verifier, who asks it about records."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "installer" / "auditor" / "verify_record.py"
DOCUMENT = ROOT / "docs" / "reference" / "record-format.md"
WHOLE, BAD_INPUT, TAMPERED, INCOMPLETE = 0, 2, 3, 4


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_record", SCRIPT)
    if spec is None or spec.loader is None:
        raise ImportError(f"{SCRIPT} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules["verify_record"] = module
    spec.loader.exec_module(module)
    return module


VERIFIER = _loaded()


def schema() -> dict[str, str]:
    """Return the statements that record-format.md gives for audit.db, by name."""
    block = DOCUMENT.read_text().partition("```sql\n")[2].partition("```")[0]
    statements = [" ".join(text.split()).rstrip(";") for text in block.split(";\n\n")]
    named = re.compile(r"CREATE (?:TABLE|TRIGGER) (\w+) ")
    return {found[1]: text for text in statements if (found := named.match(text))}


def ask(*arguments: object) -> dict[str, Any]:
    """Return the report on what the arguments name, as `--json` would print it."""
    options = VERIFIER.parser().parse_args([str(argument) for argument in arguments])
    report: dict[str, Any] = VERIFIER.judge(options)
    assert list(VERIFIER.show(report)), "there is something to read for people too"
    return report


def result(*arguments: object) -> tuple[int, int | None, str]:
    """Return exit code, first bad entry and what is wrong ('' if nothing)."""
    report = ask(*arguments)
    bad = report.get("first_bad", {"entry": None, "what": ""})
    return report["exit"], bad["entry"], bad["what"]
