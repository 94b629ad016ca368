"""Where mutated bundles are imported: a publisher's good bundles, and a machine that trusts them.

A `Ground` is used for many imports in a row; each begins as if it were the first.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from appliance.bundles.publisher import Signers
from appliance.errors import ApplianceError
from tests.fuzz import trees
from tests.fuzz.signing import Desk
from tests.fuzz.trees import Tree
from tests.simulators.bundle_forge import BundleForge
from tests.simulators.gguf_forge import STRING, build, entry, text
from tests.unit.bundles.conftest import open_site

TABLES = ("publishers", "models", "imports")


class BrokenRuleError(Exception):
    """A mutated bundle did what none may do."""


@dataclass(frozen=True)
class Base:
    """A good bundle, the next one of the same publisher, the publisher's keys and first root."""

    tree: Tree
    other: Tree
    desk: Desk
    root: bytes


def make_base(folder: Path, *, split: bool) -> Base:
    """Have a publisher make two bundles. `split`: weights in two parts, thresholds 2 of 3."""
    folder.mkdir()
    people = tuple(CryptoSigner.generate_ecdsa() for _ in range(3 if split else 1))
    online = tuple(CryptoSigner.generate_ed25519() for _ in range(2))
    thresholds = {"root": 2, "targets": 2} if split else {}
    signers = Signers(people, online[:1], online[1:], people, thresholds)
    forge = BundleForge(folder, Signers.one(CryptoSigner.generate_ecdsa()))
    forge.rotate(signers)
    source = forge.add_model()
    source.gguf.write_bytes(build())
    forge.part_bytes = source.gguf.stat().st_size * 2 // 3 if split else forge.part_bytes
    tree = trees.read(forge.good("first"))
    forge.add_model("second").gguf.write_bytes(build(entry("general.name", STRING, text("second"))))
    other = trees.read(forge.good("second", version=2))
    return Base(tree, other, Desk(signers, CryptoSigner.generate_ecdsa()), forge.roots[0])


class Ground:
    """A folder in memory where one process imports, and what has to stay as it is in it."""

    def __init__(self, root: Path, base: Base) -> None:
        self.base = base
        self.medium = root / "stick" / "bundle"
        self.medium.mkdir(parents=True)
        trees.lay(self.medium, {}, base.tree)
        self.here = root / "here"
        self.here.mkdir()
        self.site, self._database = open_site(root / "state")
        forge_root = hashlib.sha256(base.root).hexdigest()
        self.site.library.add_publisher("publisher", base.root, forge_root, "usr_it")
        self._root = root
        self._rows = sqlite3.connect(self.site.state / "appliance.db", isolation_level=None)
        self._rows.execute("PRAGMA synchronous=OFF")
        self._kept = {table: self._table(table) for table in TABLES}
        self._seen = self._outside()

    def close(self) -> None:
        """Let go of the database."""
        self._rows.close()
        self._database.close()

    def bring_in(self, tree: Tree) -> str | None:
        """Import a bundle; return the code of its refusal, None when it entered."""
        trees.lay(self.medium, self.base.tree, tree)
        try:
            self.site.bring_in(self.medium)
        except ApplianceError as error:
            return error.code
        finally:
            trees.lay(self.medium, tree, self.base.tree)
        return None

    def check_good_bundle_enters(self) -> None:
        """Raise BrokenRuleError unless the bundle itself is accepted: else nothing is shown."""
        if self.bring_in(self.base.tree) is not None:
            raise BrokenRuleError("the good bundle was refused")
        self.check_what_came(self.base.tree)
        self.reset()

    def check_nothing_came(self) -> None:
        """Raise BrokenRuleError for a new row or for a file outside staging."""
        if self._table("models"):
            raise BrokenRuleError("a refused bundle left a model's row")
        new = self._outside() ^ self._seen
        if new:
            raise BrokenRuleError(f"outside staging there is now {sorted(new)}")

    def check_what_came(self, tree: Tree) -> None:
        """Raise BrokenRuleError unless what entered is, byte for byte, what was signed."""
        signed = {path.rpartition("/")[2][:64] for path in tree if path.startswith("targets/")}
        for path in self.site.library.folder.iterdir():
            digest, _, role = path.name.partition(".")
            if role == "chunks":
                continue
            if digest != hashlib.sha256(path.read_bytes()).hexdigest():
                raise BrokenRuleError(f"{path.name} does not hold its digest")
            if role != "gguf" and digest not in signed:
                raise BrokenRuleError(f"{path.name} was not signed")

    def reset(self) -> None:
        """Forget everything that the last import did."""
        self._rows.execute("BEGIN IMMEDIATE")
        for table, rows in self._kept.items():
            self._rows.execute(f"DELETE FROM {table}")  # noqa: S608  # names from above
            for row in rows:
                places = ",".join("?" * len(row))
                self._rows.execute(f"INSERT INTO {table} VALUES ({places})", row)  # noqa: S608
        self._rows.execute("COMMIT")
        for folder in (self.site.library.folder, self.site.library.staging):
            for path in folder.iterdir():
                if path.name != ".import.lock":
                    path.unlink()

    def _table(self, name: str) -> list[tuple[object, ...]]:
        return self._rows.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608

    def _outside(self) -> frozenset[str]:
        apart = {self.medium, self.site.library.staging}
        found: set[str] = set()
        for folder, names, files in os.walk(self._root):
            names[:] = [name for name in names if Path(folder) / name not in apart]
            found.update(f"{folder}/{name}" for name in (*names, *files))
        return frozenset(path for path in found if "/appliance.db-" not in path)
