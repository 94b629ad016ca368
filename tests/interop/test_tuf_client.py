"""python-tuf's own client follows our metadata, and metadata made with its API imports here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.ngclient import FetcherInterface, Updater

from appliance.bundles import oms
from appliance.bundles.desk.roots import ROLES, Change
from appliance.bundles.inspection import inspect_file
from appliance.bundles.publisher import sign_with
from appliance.bundles.trust import fingerprint
from tests.simulators.publisher_desk import PublisherDesk, person, write_source
from tests.unit.bundles.conftest import open_site

TODAY = datetime.now(tz=UTC)


class FromFolder(FetcherInterface):
    """Serves a bundle's folder as a TUF repository; no network."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._bundle / urlsplit(url).path.lstrip("/")
        if not path.is_file():
            raise DownloadHTTPError("not there", 404)
        return iter([path.read_bytes()])


def client(bundle: Path, home: Path, root: bytes | None) -> Updater:
    """Return python-tuf's client, which starts from the first root."""
    (home / "targets").mkdir(parents=True, exist_ok=True)
    return Updater(
        metadata_dir=str(home),
        metadata_base_url="https://publisher.invalid/metadata/",
        target_dir=str(home / "targets"),
        target_base_url="https://publisher.invalid/targets/",
        fetcher=FromFolder(bundle),
        bootstrap=root,
    )


def test_the_client_follows_a_bundle_and_gets_a_target(tmp_path: Path) -> None:
    """Two of three signatures, consistent snapshots, digest-prefixed targets: all standard."""
    site = PublisherDesk(tmp_path / "site", ("alice", "bob", "carol"), 2, now=TODAY)
    source = write_source(tmp_path / "source")
    bundle = site.publish("stick", source, by=("carol", "alice"))
    updater = client(bundle, tmp_path / "client", site.first_root)
    updater.refresh()
    info = updater.get_targetinfo("tiny-1.0/tiny.gguf")
    assert info is not None
    path = updater.download_target(info)
    assert Path(path).read_bytes() == source.gguf.read_bytes()


def test_the_client_follows_a_rotation(tmp_path: Path) -> None:
    """From the first root, over one that replaced every key, to what the new key signed."""
    site = PublisherDesk(tmp_path / "site", now=TODAY)
    first = site.first_root
    source = write_source(tmp_path / "source")
    old = site.publish("one", source)
    known = tmp_path / "client"
    client(old, known, first).refresh()
    pair, site.signers["new"] = person(tmp_path / "people", "new")
    site.propose(Change(ROLES, (pair.key,), (site.signers["alone"].public_key.keyid,)))
    site.sign_root("alone")
    assert site.sign_root("new")
    new = site.publish("two", write_source(tmp_path / "b", version="2.0", seed=1), by=("new",))
    updater = client(new, known, first)
    updater.refresh()
    assert updater.get_targetinfo("tiny-2.0/card.toml") is not None
    with pytest.raises(RepositoryError):
        client(old, known, first).refresh()


def test_metadata_made_with_python_tuf_imports(tmp_path: Path) -> None:
    """A publisher with tools of their own needs ours for nothing but the layout of a model."""
    signer = CryptoSigner.generate_ecdsa()
    bundle = tmp_path / "bundle"
    (bundle / "metadata").mkdir(parents=True)
    targets = Targets(
        1, expires=TODAY + timedelta(days=30), targets=by_hand(bundle, signer, tmp_path)
    )
    root = Root(1, expires=TODAY + timedelta(days=30), consistent_snapshot=True)
    for role in ROLES:
        root.add_key(signer.public_key, role)
    snapshot = Snapshot(1, expires=targets.expires, meta={})
    timestamp = Timestamp(1, expires=targets.expires)
    data = {"1.targets.json": signed(targets, signer)}
    snapshot.meta["targets.json"] = MetaFile(1)
    data["1.snapshot.json"] = signed(snapshot, signer)
    timestamp.snapshot_meta = MetaFile(1)
    data["timestamp.json"] = signed(timestamp, signer)
    data["1.root.json"] = signed(root, signer)
    for name, content in data.items():
        (bundle / "metadata" / name).write_bytes(content)
    hospital, database = open_site(tmp_path / "state")
    first = data["1.root.json"]
    hospital.library.add_publisher("tuf", first, fingerprint(first), "usr_it")
    found = hospital.bring_in(bundle, now=TODAY.timestamp())
    database.close()
    assert found == ["tiny 1.0 imported"]


def signed(part: Root | Timestamp | Snapshot | Targets, signer: CryptoSigner) -> bytes:
    metadata = Metadata(part)
    metadata.sign(signer)
    return metadata.to_bytes()


def by_hand(bundle: Path, signer: CryptoSigner, scratch: Path) -> dict[str, TargetFile]:
    """Lay a model out with nothing but python-tuf's TargetFile, from the documented format."""
    source = write_source(scratch / "source")
    facts = inspect_file(source.gguf)
    folder = bundle / "targets" / "tiny-1.0"
    folder.mkdir(parents=True)
    weights = source.gguf.read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    files = {
        "tiny.gguf": weights,
        "card.toml": source.card.read_bytes(),
        "chat_template.jinja": facts.chat_template.encode(),
        "eval.jsonl": source.prompts.read_bytes(),
        "bom.cdx.json": BOM.replace("DIGEST", digest).encode(),
    }
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    key = signer.public_key.keyval["public"].encode()
    files["model.oms.sig"] = oms.sign("tiny-1.0", digests, key, sign_with(signer))
    roles = dict(zip(files, ("weights", "card", "template", "eval", "bom", "oms"), strict=True))
    custom = {
        "part": 1, "parts": 1, "model": "tiny", "version": "1.0", "security_epoch": 1,
        "min_engine": "0.3", "chat_template_sha256": digests["chat_template.jinja"],
        "template_from": "weights", "architecture": "llama", "licence": "Apache-2.0",
        "oms_target": "tiny-1.0/model.oms.sig", "sha256": digest, "length": len(weights),
    }  # fmt: skip
    listed = {}
    for name, data in files.items():
        target = TargetFile.from_data(f"tiny-1.0/{name}", data, ["sha256"])
        own = {"role": roles[name], **(custom if name == "tiny.gguf" else {})}
        target.unrecognized_fields["custom"] = own
        (folder / f"{target.hashes['sha256']}.{name}").write_bytes(data)
        listed[target.path] = target
    return listed


BOM = """{
  "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
  "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
  "metadata": {
    "timestamp": "2026-03-01T12:00:00Z",
    "component": {
      "type": "machine-learning-model", "bom-ref": "model", "name": "tiny", "version": "1.0",
      "hashes": [{"alg": "SHA-256", "content": "DIGEST"}]
    }
  }
}
"""
