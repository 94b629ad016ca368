"""Makes a good bundle, then breaks exactly one thing in it.

The forge is the attacker's desk: it holds the real publisher's keys only to build what a real
publisher would, and each `break_*` does what someone with the stick in hand could do. Tests that
need a dishonest *publisher* sign the wrong thing with `signed`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, Targets, Timestamp

from appliance.bundles import building
from appliance.bundles.manifest import PART_BYTES, SIDE_FILES, Denied
from appliance.bundles.publisher import (
    ModelSource,
    Signers,
    build_bundle,
    make_metadata,
    make_root,
    sign_with,
)
from tests.simulators.tiny_gguf import write_tiny_gguf

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
EXPIRES = NOW + timedelta(days=365)
# One golden prompt that any model meets: it writes something, and not too much.
PROMPTS = (
    '{"id": "says-something", "prompt": "How are you?", "max_tokens": 8, '
    '"expect": {"max_characters": 2000}, "why": "an engine answers at all"}\n'
)


def card_text(name: str, version: str, *, demo: bool = False) -> str:
    """Return a small valid model card."""
    return (
        f'name = "{name}"\nversion = "{version}"\nlicence = "Apache-2.0"\n'
        f'demo = {str(demo).lower()}\nintended_use = "tests"\n'
    )


def two_of_three() -> Signers:
    """Return signers where targets need two of three people."""
    people = tuple(CryptoSigner.generate_ecdsa() for _ in range(3))
    online = CryptoSigner.generate_ecdsa()
    return Signers(people, (online,), (online,), people, {"root": 2, "targets": 2})


class BundleForge:
    """A publisher's desk under `desk`; bundles go to `desk/<name>`."""

    def __init__(self, desk: Path, signers: Signers | None = None) -> None:
        self.desk = desk
        self.signers = signers or Signers.one(CryptoSigner.generate_ecdsa())
        self.roots = [make_root(self.signers, expires=EXPIRES)]
        self.models: list[ModelSource] = []
        self.denied: list[Denied] = []
        self.part_bytes = PART_BYTES

    def copied(self, desk: Path) -> BundleForge:
        """Return the same publisher at a copy of its desk."""

        def there(path: Path) -> Path:
            return desk / path.relative_to(self.desk)

        shutil.copytree(self.desk, desk)
        other = BundleForge(desk, self.signers)
        other.roots, other.denied = [*self.roots], [*self.denied]
        other.part_bytes = self.part_bytes
        other.models = [
            dataclasses.replace(
                model,
                gguf=there(model.gguf),
                card=there(model.card),
                prompts=there(model.prompts),
                template=model.template and there(model.template),
            )
            for model in self.models
        ]
        return other

    def add_model(
        self, name: str = "tiny", version: str = "1.0", *, seed: int = 0, epoch: int = 1
    ) -> ModelSource:
        """Put a tiny model on the desk; it goes into every bundle from now on."""
        folder = self.desk / f"{name}-{version}.src"
        folder.mkdir(parents=True)
        write_tiny_gguf(folder / "model.gguf", seed)
        (folder / "card.toml").write_text(card_text(name, version))
        (folder / "eval.jsonl").write_text(PROMPTS)
        source = ModelSource(
            folder / "model.gguf",
            folder / "card.toml",
            folder / "eval.jsonl",
            security_epoch=epoch,
        )
        self.models.append(source)
        return source

    def good(self, name: str = "bundle", *, version: int = 1, expires: datetime = EXPIRES) -> Path:
        """Build a bundle that must be accepted, with one tiny model unless some were added."""
        if not self.models:
            self.add_model()
        folder = self.desk / name
        build_bundle(
            folder,
            self.models,
            self.signers,
            expires=expires,
            version=version,
            roots=self.roots,
            denied=self.denied,
            part_bytes=self.part_bytes,
        )
        return folder

    def advisory(
        self, name: str, *, version: int = 1, denied: Sequence[Denied] = (), **options: datetime
    ) -> Path:
        """Build a bundle that lists no model at all, and may withdraw some."""
        folder = self.desk / name
        build_bundle(
            folder,
            [],
            self.signers,
            expires=options.get("expires", EXPIRES),
            version=version,
            roots=self.roots,
            denied=denied,
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

    def with_weights(self, folder: Path, data: bytes) -> Path:
        """Put other weights into a bundle and sign everything anew, as if they were the model."""

        def change(targets: Targets) -> None:
            name = weights_of(folder).parent.name
            path = f"{name}/{name.rpartition('-')[0]}.gguf"
            custom = targets.targets[path].unrecognized_fields["custom"]
            old = replace(folder, targets, path, data)
            custom["sha256"], custom["length"] = sha256(data), len(data)
            bill = f"{name}/{SIDE_FILES['bom']}"
            text = stored(folder, targets, bill).read_bytes()
            replace(folder, targets, bill, text.replace(old.encode(), sha256(data).encode()))
            self.sign_model(folder, targets, name)

        return self.signed(folder, change)

    def with_file(self, folder: Path, path: str, data: bytes) -> Path:
        """Put another card, template, bill or set of prompts into a bundle and sign anew."""

        def change(targets: Targets) -> None:
            replace(folder, targets, path, data)
            self.sign_model(folder, targets, path.partition("/")[0])

        return self.signed(folder, change)

    def sign_model(
        self, folder: Path, targets: Targets, name: str, signer: Signer | None = None
    ) -> None:
        """Make the OMS signature of the model in `targets/<name>` anew and list it."""
        path = f"{name}/{SIDE_FILES['oms']}"
        stored(folder, targets, path).unlink()
        del targets.targets[path]
        files = [item for item in targets.targets.values() if item.path.startswith(f"{name}/")]
        signer = signer or self.signers.for_models
        key = signer.public_key.keyval["public"].encode()
        made = building.sign_model(folder / "targets", files, key, sign_with(signer))
        targets.targets[made.path] = made


def sha256(data: bytes) -> str:
    """Return a digest in hex."""
    return hashlib.sha256(data).hexdigest()


def stored(folder: Path, targets: Targets, path: str) -> Path:
    """Return where a listed file lies in a bundle."""
    name, _, file = path.partition("/")
    return folder / "targets" / name / f"{targets.targets[path].hashes['sha256']}.{file}"


def replace(folder: Path, targets: Targets, path: str, data: bytes) -> str:
    """Put other content in the place of a listed file and list it; return the former digest."""
    target = targets.targets[path]
    old = target.hashes["sha256"]
    stored(folder, targets, path).unlink()
    target.length, target.hashes = len(data), {"sha256": sha256(data)}
    stored(folder, targets, path).write_bytes(data)
    return old


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
    """Flip a bit inside the signed timestamp, which no other metadata name by its digest."""
    path = folder / "metadata" / "timestamp.json"
    data = path.read_bytes()
    broken = re.sub(rb'("expires": ?")2', rb"\g<1>3", data)
    assert broken != data
    path.write_bytes(broken)


def break_no_signature(folder: Path) -> None:
    """Take all signatures off the timestamp."""
    path = folder / "metadata" / "timestamp.json"
    metadata = Metadata[Timestamp].from_bytes(path.read_bytes())
    metadata.signatures.clear()
    path.write_bytes(metadata.to_bytes())


def break_nested_json(folder: Path) -> None:
    """Make the timestamp JSON that is nested too deeply for a parser."""
    (folder / "metadata" / "timestamp.json").write_bytes(b"[" * 8_000)
