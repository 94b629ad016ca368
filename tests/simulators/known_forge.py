"""A publisher that is the same in all tests of a process, and builds no bundle twice.

Building one looks into each model in a process of its own, and so does importing it; where a test
is about the hospital's side, the first of the two is spared. What the publisher has built before
from the same files, keys and numbers it gives out again, as a copy.
"""

from __future__ import annotations

import functools
import shutil
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from appliance.bundles.publisher import Signers, make_root
from tests.simulators.bundle_forge import EXPIRES, BundleForge, sha256
from tests.simulators.kept_folder import kept_folder

BUILT: dict[tuple[object, ...], Path] = {}


@functools.cache
def _publisher() -> tuple[Signers, bytes]:
    signers = Signers.one(CryptoSigner.generate_ecdsa())
    return signers, make_root(signers, expires=EXPIRES)


class KnownForge(BundleForge):
    """That publisher at a desk of its own; once its keys have changed, it builds every time."""

    def __init__(self, desk: Path) -> None:
        signers, root = _publisher()
        super().__init__(desk, signers)
        self.roots = [root]

    def good(self, name: str = "bundle", *, version: int = 1, expires: datetime = EXPIRES) -> Path:
        if not self.models:
            self.add_model()
        folder = self.desk / name
        made_of = self._contents(version, expires)
        if made_of in BUILT and not folder.exists():
            return Path(shutil.copytree(BUILT[made_of], folder))
        super().good(name, version=version, expires=expires)
        if self.signers is _publisher()[0]:
            BUILT[made_of] = Path(shutil.copytree(folder, kept_folder() / "bundle"))
        return folder

    def _contents(self, *more: object) -> tuple[object, ...]:
        """Return everything that a bundle of what lies on the desk is made of."""
        models = [
            tuple(
                sha256(value.read_bytes()) if isinstance(value, Path) else value
                for value in vars(model).values()
            )
            for model in self.models
        ]
        return (*models, *self.roots, *self.denied, self.part_bytes, *more)
