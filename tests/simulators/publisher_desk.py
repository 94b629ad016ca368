"""A publisher's desk with real keys, whose passphrases take no second each to check."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from securesystemslib.signer import Signer

from appliance.bundles.desk import build, contents, founding, keys, recording, signing
from appliance.bundles.desk.build import Built, Order
from appliance.bundles.desk.drafts import Draft
from appliance.bundles.desk.founding import ROOT_DAYS
from appliance.bundles.desk.keys import KeyPair
from appliance.bundles.desk.roots import Change, Holders, sign, successor
from appliance.bundles.desk.signing import Outcome
from appliance.bundles.publisher import ModelSource
from tests.simulators.bundle_forge import NOW, card_text
from tests.simulators.tiny_gguf import write_tiny_gguf

PASSPHRASE = "correct horse battery"
ROUNDS = 1
# Room for a tiny model's small files and half its weights, so that it takes two media.
TWO_MEDIA = 2**20 + 400_000
PROMPT = (
    '{"id":"hello","prompt":"Say hello","expect":{"min_characters":1},'
    '"required":true,"why":"it answers"}\n'
)


def quiet(_done: int, _total: int) -> None:
    """Watch nothing."""


def write_source(
    folder: Path, name: str = "tiny", version: str = "1.0", *, seed: int = 0
) -> ModelSource:
    """Write what a publisher starts from: weights, card and golden prompts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.gguf").write_bytes(_weights(seed))
    (folder / "card.toml").write_text(card_text(name, version))
    (folder / "eval.jsonl").write_text(PROMPT)
    return ModelSource(folder / "model.gguf", folder / "card.toml", folder / "eval.jsonl")


@lru_cache
def _weights(seed: int) -> bytes:
    """Return a tiny model's weights, which take a moment to make."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_tiny_gguf(path, seed)
        return path.read_bytes()


def person(folder: Path, name: str) -> tuple[KeyPair, Signer]:
    """Make one person's key pair, and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    pair = keys.create(folder / name, PASSPHRASE, rounds=ROUNDS)
    return pair, pair.signer


class PublisherDesk:
    """A desk in `home/desk`, its people, and bundles in `home`."""

    def __init__(
        self, home: Path, people: Sequence[str] = (), threshold: int = 1, *, now: datetime = NOW
    ) -> None:
        self.home = home
        self.now = now
        home.mkdir(parents=True, exist_ok=True)
        self.signers: dict[str, Signer] = {}
        if not people:
            self.desk, pair = founding.found_alone(
                home / "desk", "Test models", PASSPHRASE, now, rounds=ROUNDS
            )
            self.signers["alone"] = pair.signer
            return
        self.signers = {name: person(home / "people", name)[1] for name in people}
        all_of_them = Holders(tuple(s.public_key for s in self.signers.values()), threshold)
        fresh = Holders(all_of_them.keys)
        holders = {
            "root": all_of_them, "targets": all_of_them, "snapshot": fresh, "timestamp": fresh,
        }  # fmt: skip
        self.desk = founding.found_together(home / "desk", "Test models", holders, now)
        for name in list(self.signers)[:threshold]:
            self.sign_root(name)

    @property
    def first_root(self) -> bytes:
        return self.desk.chain()[0]

    def sign_root(self, name: str) -> bool:
        """Add a person's signature to the pending root; tell whether it is complete."""
        chain = self.desk.chain()
        pending = self.desk.pending()
        assert pending is not None
        return self.desk.keep_root(sign(pending, chain[-1] if chain else None, self.signers[name]))

    def propose(self, change: Change) -> None:
        """Make a successor root that waits for signatures."""
        current = self.desk.chain()[-1]
        base = self.desk.pending() or current
        ends = self.now + timedelta(days=ROOT_DAYS)
        self.desk.keep_root(successor(current, base, change, ends))

    def build(
        self,
        *folders: str,
        sources: Sequence[ModelSource] = (),
        now: datetime | None = None,
        **more: Any,
    ) -> Built:
        """Build a draft in folders of `home`."""
        order = Order(tuple(sources), tuple(self.home / name for name in folders), **more)
        with self.desk.held():
            return build.build(self.desk, order, now or self.now, quiet)

    def sign(self, *folders: str, by: str = "alone", now: datetime | None = None) -> Outcome:
        """Read a draft and add a person's signature."""
        draft = Draft.open([self.home / name for name in folders])
        signer = self.signers[by]
        found = contents.read(draft, quiet) if signing.must_read(draft, signer) else None
        return signing.sign(draft, signer, found, now or self.now)

    def record(self, folder: str) -> None:
        """Tell the desk that a bundle was completed."""
        with self.desk.held():
            recording.record(self.desk, self.home / folder)

    def publish(self, folder: str, *sources: ModelSource, by: Sequence[str] = ("alone",)) -> Path:
        """Build, sign and record a bundle."""
        self.build(folder, sources=sources)
        for name in by:
            self.sign(folder, by=name)
        self.record(folder)
        return self.home / folder
