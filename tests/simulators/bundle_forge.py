"""Makes a good bundle, then breaks exactly one thing in it.

The forge is the attacker's desk: it holds the real publisher's keys only to build what a real
publisher would, and each `break_*` does what someone with the stick in hand could do. Tests that
need a dishonest *publisher* sign the wrong thing with `signed`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Targets

from appliance.bundles.publisher import (
    ModelSource,
    Signers,
    build_bundle,
    make_metadata,
    make_root,
)
from tests.simulators.tiny_gguf import write_tiny_gguf

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EXPIRES = NOW + timedelta(days=365)


def card_text(name: str, version: str, *, demo: bool = False) -> str:
    """Return a small valid model card."""
    return (
        f'name = "{name}"\nversion = "{version}"\nlicence = "Apache-2.0"\n'
        f'demo = {str(demo).lower()}\nintended_use = "tests"\n'
    )


def two_of_three() -> Signers:
    """Return signers where targets need two of three people."""
    people = tuple(CryptoSigner.generate_ed25519() for _ in range(3))
    online = CryptoSigner.generate_ed25519()
    return Signers(people, (online,), (online,), people, {"root": 2, "targets": 2})


class BundleForge:
    """A publisher's desk under `desk`; bundles go to `desk/<name>`."""

    def __init__(self, desk: Path, signers: Signers | None = None) -> None:
        self.desk = desk
        self.signers = signers or Signers.one(CryptoSigner.generate_ed25519())
        self.roots = [make_root(self.signers, expires=EXPIRES)]
        self.models: list[ModelSource] = []

    def add_model(
        self, name: str = "tiny", version: str = "1.0", *, seed: int = 0, epoch: int = 1
    ) -> ModelSource:
        """Put a tiny model on the desk; it goes into every bundle from now on."""
        folder = self.desk / f"{name}-{version}.src"
        folder.mkdir(parents=True)
        write_tiny_gguf(folder / "model.gguf", seed)
        (folder / "card.toml").write_text(card_text(name, version))
        source = ModelSource(folder / "model.gguf", folder / "card.toml", security_epoch=epoch)
        self.models.append(source)
        return source

    def good(self, name: str = "bundle", *, version: int = 1, expires: datetime = EXPIRES) -> Path:
        """Build a bundle that must be accepted, with one tiny model unless some were added."""
        if not self.models:
            self.add_model()
        folder = self.desk / name
        build_bundle(
            folder, self.models, self.signers, expires=expires, version=version, roots=self.roots
        )
        return folder

    def rotate(self, signers: Signers, *, expires: datetime = EXPIRES) -> None:
        """Replace all keys by a new root that the old keys sign too."""
        version = len(self.roots) + 1
        former = self.signers.root
        self.roots.append(make_root(signers, expires=expires, version=version, former=former))
        self.signers = signers

    def signed(
        self, folder: Path, change: Callable[[Targets], None], signers: Signers | None = None
    ) -> Path:
        """Change the targets of a bundle and sign all anew: what a dishonest publisher does."""
        path = next((folder / "metadata").glob("*.targets.json"))
        targets = Metadata[Targets].from_bytes(path.read_bytes()).signed
        change(targets)
        for name, data in make_metadata(signers or self.signers, targets, EXPIRES).items():
            (folder / "metadata" / name).write_bytes(data)
        return folder


def weights_of(folder: Path) -> Path:
    """Return the first weights file of a bundle."""
    return sorted(folder.glob("targets/*/*.gguf"))[0]


def break_content(folder: Path) -> None:
    """Swap one byte of the weights, keeping the length."""
    path = weights_of(folder)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def break_short(folder: Path) -> None:
    """Cut the last byte of the weights off."""
    path = weights_of(folder)
    path.write_bytes(path.read_bytes()[:-1])


def break_long(folder: Path) -> None:
    """Add a byte to the weights."""
    with weights_of(folder).open("ab") as file:
        file.write(b"\0")


def break_extra_file(folder: Path) -> None:
    """Put an unsigned file beside the weights."""
    (weights_of(folder).parent / "run-me.sh").write_text("true\n")


def break_extra_folder(folder: Path) -> None:
    """Put an unsigned folder beside `targets`."""
    (folder / "tools").mkdir()


def break_empty_folder(folder: Path) -> None:
    """Put an empty folder beside the model's."""
    (folder / "targets" / "empty").mkdir()


def break_terminal_name(folder: Path) -> None:
    """Put a file whose name would steer a terminal beside the model's folder."""
    (folder / "targets" / "\x1b]0;x\x07\udcff").write_text("")


def break_extra_metadata(folder: Path) -> None:
    """Put a root of a far version beside the metadata."""
    shutil.copy(folder / "metadata" / "1.root.json", folder / "metadata" / "99.root.json")


def break_unknown_metadata(folder: Path) -> None:
    """Put a file of another kind beside the metadata."""
    (folder / "metadata" / "mirrors.json").write_text("{}")


def break_huge_metadata(folder: Path) -> None:
    """Make the timestamp larger than any timestamp may be."""
    (folder / "metadata" / "timestamp.json").write_bytes(b" " * 20_000)


def break_missing_file(folder: Path) -> None:
    """Remove the weights."""
    weights_of(folder).unlink()


def break_missing_metadata(folder: Path) -> None:
    """Remove the snapshot."""
    (folder / "metadata" / "1.snapshot.json").unlink()


def break_symlink(folder: Path) -> None:
    """Move the weights elsewhere and leave a link to them."""
    path = weights_of(folder)
    elsewhere = folder.with_name("elsewhere.gguf")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def break_folder_symlink(folder: Path) -> None:
    """Move the model's folder elsewhere and leave a link to it."""
    path = weights_of(folder).parent
    elsewhere = folder.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def break_hard_link(folder: Path) -> None:
    """Give the weights a second name outside the bundle."""
    os.link(weights_of(folder), folder.with_name("second-name"))


def break_fifo(folder: Path) -> None:
    """Put a FIFO where the weights should be; opening it plainly would wait for ever."""
    path = weights_of(folder)
    path.unlink()
    os.mkfifo(path)


def break_subfolder(folder: Path) -> None:
    """Put a folder where the weights should be."""
    path = weights_of(folder)
    path.unlink()
    path.mkdir()


def break_setuid(folder: Path) -> None:
    """Mark the weights set-user-id."""
    weights_of(folder).chmod(0o4755)


def break_upper_case(folder: Path) -> None:
    """Put a second file whose name differs in case only."""
    path = weights_of(folder)
    shutil.copy(path, path.with_name(path.name.upper()))


def break_metadata_bit(folder: Path) -> None:
    """Flip a bit inside the signed targets."""
    path = folder / "metadata" / "1.targets.json"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"Apache-2.0", b"apache-2.0"))


def break_no_signature(folder: Path) -> None:
    """Take all signatures off the targets."""
    path = folder / "metadata" / "1.targets.json"
    metadata = Metadata[Targets].from_bytes(path.read_bytes())
    metadata.signatures.clear()
    path.write_bytes(metadata.to_bytes())


def break_nested_json(folder: Path) -> None:
    """Make the timestamp JSON that is nested too deeply for a parser."""
    (folder / "metadata" / "timestamp.json").write_bytes(b"[" * 8_000)


def swap_weights(folder: Path, data: bytes) -> Callable[[Targets], None]:
    """Put other weights into a bundle; the result changes the targets to match (see `signed`)."""
    path = weights_of(folder)
    path.unlink()
    digest = hashlib.sha256(data).hexdigest()
    path.with_name(f"{digest}.{path.name.partition('.')[2]}").write_bytes(data)

    def change(targets: Targets) -> None:
        target = targets.targets[f"{path.parent.name}/{path.name.partition('.')[2]}"]
        target.length, target.hashes = len(data), {"sha256": digest}

    return change
