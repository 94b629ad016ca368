"""Makes a bundle fit again after a change: bill of materials, signatures, digests, lengths.

Written without the publisher's own code where that would refuse to sign such a thing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Signer

from appliance.bundles import oms
from appliance.bundles.publisher import Signers, sign_with
from tests.fuzz.trees import Entry, Tree, content

Signed = dict[str, Any]
Change = Callable[[Signed], None]
ROLES = ("targets", "snapshot", "timestamp")
MODEL, WEIGHTS = "tiny-1.0", "tiny-1.0/tiny.gguf"
BILL, TEMPLATE = f"{MODEL}/bom.cdx.json", f"{MODEL}/chat_template.jinja"
SIGNATURE = f"{MODEL}/model.oms.sig"


@dataclass(frozen=True)
class Desk:
    """The keys of the publisher, and those of somebody else."""

    own: Signers
    stranger: Signer


def metadata_path(role: str) -> str:
    """Return where the metadata of a role lies in a bundle of version 1."""
    return f"metadata/{'' if role == 'timestamp' else '1.'}{role}.json"


def listed(tree: Tree) -> list[str]:
    """Return the signed names of the model's files that the bundle holds."""
    folder = f"targets/{MODEL}/"
    return [f"{MODEL}/{path[len(folder) + 65 :]}" for path in tree if path.startswith(folder)]


def stored(tree: Tree, name: str) -> bytes:
    """Return the content of one of the model's files by its signed name."""
    return content(tree[_place(tree, name)])


def put_file(tree: dict[str, Entry], name: str, data: bytes) -> None:
    """Put other content in the place of one of the model's files, under its own digest."""
    del tree[_place(tree, name)]
    tree[f"targets/{MODEL}/{_sha256(data)}.{name.partition('/')[2]}"] = data


def refer(tree: Tree, *names: str) -> Change:
    """Return a change that lists those files as they are now."""

    def change(signed: Signed) -> None:
        for name in names:
            data = stored(tree, name)
            digest = _sha256(data)
            signed["targets"][name].update(length=len(data), hashes={"sha256": digest})
            first = min(path for path in signed["targets"] if path.startswith(WEIGHTS))
            custom = signed["targets"][first]["custom"]
            if name == WEIGHTS:
                custom.update(sha256=digest, length=len(data))
            elif name == TEMPLATE:
                custom.update(chat_template_sha256=digest)

    return change


def with_file(tree: dict[str, Entry], desk: Desk, name: str, data: bytes) -> None:
    """Put another file into the bundle and make everything fit: bill, signature, list."""
    old, new = _sha256(stored(tree, name)), _sha256(data)
    put_file(tree, name, data)
    changed = {name, BILL, SIGNATURE}
    if name != BILL:
        put_file(tree, BILL, stored(tree, BILL).replace(old.encode(), new.encode()))
    signer = desk.own.for_models
    key = signer.public_key.keyval["public"].encode()
    put_file(tree, SIGNATURE, oms.sign(MODEL, _digests(tree), key, sign_with(signer)))
    resigned(tree, desk.own, {"targets": refer(tree, *changed)})


def resigned(
    tree: dict[str, Entry],
    signers: Signers,
    changes: Mapping[str, Change],
    instead: Mapping[str, Sequence[Signer]] | None = None,
) -> None:
    """Change the signed part of each role, and make digests, lengths and signatures fit.

    `instead` says who signs a role in the place of those who should.
    """
    meta: dict[str, Any] = {}
    for role in ROLES:
        path = metadata_path(role)
        signed = json.loads(content(tree[path]))["signed"]
        if meta:
            signed["meta"] = meta
        if role in changes:
            changes[role](signed)
        data = signed_json(signed, (instead or {}).get(role, signers.of(role)))
        tree[path] = data
        meta = {
            f"{role}.json": {
                "version": 1, "length": len(data), "hashes": {"sha256": _sha256(data)}
            }
        }  # fmt: skip


def signed_json(signed: Signed, signers: Sequence[Signer]) -> bytes:
    """Return metadata as JSON, whatever is in it, with one signature of each signer."""
    message = str(encode_canonical(signed)).encode()
    signatures = [signer.sign(message).to_dict() for signer in signers]
    return json.dumps({"signatures": signatures, "signed": signed}).encode()


def _digests(tree: Tree) -> dict[str, str]:
    """Return what the model's own signature covers: whole weights, and all but itself."""
    weights = [name for name in sorted(listed(tree)) if name.startswith(WEIGHTS)]
    whole = b"".join(stored(tree, name) for name in weights)
    side = [name for name in listed(tree) if name not in (*weights, SIGNATURE)]
    digests = {name.partition("/")[2]: _sha256(stored(tree, name)) for name in side}
    return {WEIGHTS.partition("/")[2]: _sha256(whole), **digests}


def _place(tree: Tree, name: str) -> str:
    folder, _, file = name.partition("/")
    start = f"targets/{folder}/"
    return next(p for p in tree if p.startswith(start) and p[len(start) + 65 :] == file)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
