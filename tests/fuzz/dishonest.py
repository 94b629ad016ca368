"""What a publisher who holds the keys can sign and still must not get in, and forged signatures.

Everything around the one wrong thing is made to fit again (`signing`), so that what refuses the
bundle is the rule about that thing, and not a broken digest or signature elsewhere.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from securesystemslib.signer import Signer

from appliance.bundles import oms
from appliance.bundles.manifest import DENIED_FIELD
from appliance.bundles.publisher import sign_with
from tests.fuzz.mutations import spoil_json
from tests.fuzz.signing import (
    MODEL,
    ROLES,
    WEIGHTS,
    Change,
    Desk,
    Signed,
    listed,
    metadata_path,
    put_file,
    refer,
    resigned,
    stored,
    with_file,
)
from tests.fuzz.trees import Entry
from tests.simulators.gguf_forge import MALFORMED

HEX = "ab" * 32
LONG = "x" * 201
# What the description of the weights may not say. None: the value is left out.
WRONG_CUSTOM: Mapping[str, Sequence[Any]] = {
    "role": (None, "card", "engine", 1, ["weights"]),
    "part": (None, 0, -1, 2, "1", True, 1_000, [1]),
    "parts": (None, 0, -1, 3, 1_000, "1", True, {}),
    "model": (None, "Tiny", "other", "../tiny", "", "tiny/x", 1),
    "version": (None, "1.1", "v1", "1.0 ", "", "1.0.0.0.0", 1, "1.0\n"),
    "security_epoch": (None, -1, 2**31 + 1, "1", True, [1]),
    "min_engine": (None, "999.0", "", "x", "0.3.", 3),
    "architecture": (None, "qwen3", "LLAMA", "", "ll ama", 1),
    "licence": (None, "MIT", "", "Apache-2.0\n", LONG, 1, "apache-2.0"),
    "oms_target": (None, f"{MODEL}/card.toml", "other-1.0/model.oms.sig", "", 1),
    "sha256": (None, HEX, "", HEX.upper(), HEX[:-1], 1),
    "length": (None, 0, -1, 1, 2**42 + 1, "100", True),
    "chat_template_sha256": (None, HEX, "", HEX.upper(), 1),
    "template_from": (None, "", "both", "Weights", 1, ["weights"]),
}  # fmt: skip
WRONG_TARGET: Mapping[str, Sequence[Any]] = {
    "length": (None, 0, -1, 1, 2**42 + 1, "100", True, []),
    "hashes": (None, {}, {"sha256": HEX}, {"sha512": "ab" * 64}, {"sha256": ""}, [], "x",
               {"sha256": HEX.upper()}, {"sha256": "../../x"}, {"sha256": 1}),
    "custom": (None, {}, [], "x", {"role": "weights"}, {"role": None}),
}  # fmt: skip
WRONG_PATHS = (
    "../tiny.gguf", "/etc/passwd", "tiny.gguf", f"{MODEL}/../x", f"{MODEL}/a/b", f"{MODEL}/",
    f"{MODEL}/TINY.gguf", f"{MODEL}/.tiny", f"{MODEL}//tiny.gguf", f"{MODEL}\\tiny.gguf",
    "tiny-1.1/tiny.gguf", "tiny-1.0 /tiny.gguf", f"{MODEL}/tiny.gguf\n", f"{MODEL}/tïny.gguf",
    f"{MODEL}/other.gguf", f"{MODEL}/" + "x" * 200, "", "/", "..",
)  # fmt: skip
WRONG_DENIED = (
    "x", {}, 1, [1], [{}], [{"sha256": HEX}], [[]],
    [{"sha256": "", "model": "a", "version": "1", "reason": "r"}],
    [{"sha256": HEX, "model": "A/..", "version": "1", "reason": "r"}],
    [{"sha256": HEX, "model": "a", "version": "x y", "reason": "r"}],
    [{"sha256": HEX, "model": "a", "version": "1", "reason": LONG}],
    [{"sha256": HEX, "model": "a", "version": "1", "reason": "\x1b[2J"}],
    [{"sha256": HEX, "model": "a", "version": "1", "reason": "r", "more": 1}],
)  # fmt: skip
WRONG_HEAD: Mapping[str, Sequence[Any]] = {
    "_type": (None, "root", "Targets", 1, ""),
    "version": (None, 0, -1, "1", []),
    "spec_version": (None, "2.0.0", "x", 1, ""),
    "expires": (None, "2001-01-01T00:00:00Z", "x", "", 1, "2026-13-01T00:00:00Z"),
}
WRONG_META: Mapping[str, Sequence[Any]] = {
    "version": (None, 0, -1, 2, "1", True),
    "length": (0, 1, -1, 2**40, "1"),
    "hashes": ({}, {"sha256": HEX}, {"md5": "x"}, [], "x", {"sha256": 1}),
}


HOSTILE = tuple(data for data, _ in MALFORMED.values() if data)


def wrong_field(tree: dict[str, Entry], desk: Desk, source: random.Random) -> None:
    """Sign a list of models that breaks one rule of the format."""
    how = source.randrange(6)
    if how <= 1:
        key = source.choice(sorted(WRONG_CUSTOM))
        value = source.choice(WRONG_CUSTOM[key])
        change = _first(lambda signed, path: _put(_custom(signed, path), key, value))
    elif how == 2:
        key = source.choice(sorted(WRONG_TARGET))
        value = source.choice(WRONG_TARGET[key])
        number = source.randrange(1_000)
        change = _any(number, lambda signed, path: _put(signed["targets"][path], key, value))
    elif how == 3:
        name, number = source.choice(WRONG_PATHS), source.randrange(1_000)
        change = _any(number, lambda signed, path: _move(signed["targets"], path, name))
    elif how == 4:
        denied = source.choice(WRONG_DENIED)
        change = lambda signed: signed.update({DENIED_FIELD: denied})  # noqa: E731
    else:
        number = source.randrange(1_000)
        change = source.choice(
            (_any(number, lambda signed, path: signed["targets"].pop(path)), _twice, _delegates)
        )
    resigned(tree, desk.own, {"targets": change})


def wrong_head(tree: dict[str, Entry], desk: Desk, source: random.Random) -> None:
    """Sign metadata of another type, version, time or with another's digest."""
    role = source.choice(ROLES)
    if role == "targets" or source.random() < 0.5:
        key = source.choice(sorted(WRONG_HEAD))
        value = source.choice(WRONG_HEAD[key])
        resigned(tree, desk.own, {role: lambda signed: _put(signed, key, value)})
        return
    key = source.choice(sorted(WRONG_META))
    value = source.choice(WRONG_META[key])

    def change(signed: Signed) -> None:
        # Replaced, not left out: a length or digest that is not there is not compared.
        _put(next(iter(signed["meta"].values())), key, value)

    resigned(tree, desk.own, {role: change})


def wrong_signature(tree: dict[str, Entry], desk: Desk, source: random.Random) -> None:
    """Have one role signed by too few, by a stranger, by another role, or by one twice."""
    role, how = source.choice(ROLES), source.randrange(5)
    own = desk.own.of(role)
    needed = desk.own.thresholds.get(role, 1)
    others = [desk.own.timestamp[0] if role != "timestamp" else desk.own.snapshot[0]]
    signers: Sequence[Signer]
    if how == 0:
        signers = own[: needed - 1]
    elif how == 1:
        signers = [*own[: needed - 1], desk.stranger]
    elif how == 2:
        signers = [*own[: needed - 1], *others]
    elif how == 3:
        signers = [own[0]] * (needed if needed > 1 else 0)
    else:
        _garble(tree, metadata_path(role), source)
        return
    resigned(tree, desk.own, {}, {role: signers})


def wrong_file(tree: dict[str, Entry], desk: Desk, source: random.Random) -> None:
    """Sign a model with a file that must not be used: weights, card, bill, prompts, signature."""
    role = source.choice(("weights", "card.toml", "bom.cdx.json", "eval.jsonl", "model.oms.sig"))
    if role == "weights":
        if WEIGHTS in listed(tree):
            with_file(tree, desk, WEIGHTS, source.choice(HOSTILE))
            return
        role = "card.toml"
    if role == "model.oms.sig":
        forged_model_signature(tree, desk, source)
        return
    old = stored(tree, f"{MODEL}/{role}")
    wrong: dict[str, tuple[bytes, ...]] = {
        "card.toml": (old.replace(b"1.0", b"1.1"), old.replace(b"tiny", b"tony"), b"x", old * 2,
                      old.replace(b"Apache", b"apache"), b"", b"\xff", b"[" * 9_000),
        "bom.cdx.json": (b"{}", b"[]", b"", old[:-2], old.replace(b"1.6", b"1.5"), b"[" * 9_000,
                         old.replace(b'"tiny"', b'"tony"'), b'{"bomFormat":"CycloneDX"}'),
        "eval.jsonl": (b"", b"\n", b"{}", old + old, b"null", b"[" * 9_000, old[:-3], b"\xff",
                       old.replace(b'"prompt"', b'"promt"'), old.replace(b"8", b"-8")),
    }  # fmt: skip
    with_file(tree, desk, f"{MODEL}/{role}", source.choice(wrong[role]))


def any_file(tree: dict[str, Entry], desk: Desk, source: random.Random) -> None:
    """Sign a model with a side file damaged anywhere; whether it may enter depends on where."""
    name = source.choice(("card.toml", "bom.cdx.json", "eval.jsonl", "chat_template.jinja"))
    data = bytearray(stored(tree, f"{MODEL}/{name}"))
    if name.endswith(".json") and source.random() < 0.7:
        document = json.loads(bytes(data))
        spoil_json(document, source)
        data = bytearray(json.dumps(document).encode("utf-8", "replace"))
    else:
        place = source.randrange(len(data))
        data[place : place + source.randrange(4)] = source.randbytes(source.randrange(1, 4))
    with_file(tree, desk, f"{MODEL}/{name}", bytes(data))


def forged_model_signature(tree: dict[str, Entry], desk: Desk, source: random.Random) -> None:
    """Sign a model anew with a wrong OMS signature, and list that one."""
    path = f"{MODEL}/model.oms.sig"
    bundle = json.loads(stored(tree, path))
    envelope = bundle["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    how = source.randrange(4)
    if how == 0:
        resources = statement["predicate"]["resources"]
        source.choice(resources)["digest"] = HEX
        statement["subject"][0]["digest"]["sha256"] = oms.root_digest(resources)
        _envelope(bundle, statement, desk.own.for_models)
    elif how == 1:
        _envelope(bundle, statement, desk.stranger)
        key = desk.stranger.public_key.keyval["public"].encode()
        hint = source.choice((oms.load(key).key_sha256, None))
        if hint is not None:
            bundle["verificationMaterial"]["publicKey"]["hint"] = hint
    elif how == 2:
        envelope["signatures"] *= source.choice((0, 2))
    else:
        key = source.choice(("payload", "payloadType", "signatures"))
        envelope[key] = source.choice((None, "", "AAAA", [], {}, [{}], 1, "é"))
    put_file(tree, path, json.dumps(bundle).encode())
    resigned(tree, desk.own, {"targets": refer(tree, path)})


DISHONEST: tuple[tuple[Callable[[dict[str, Entry], Desk, random.Random], None], int], ...] = (
    (wrong_field, 6), (wrong_head, 3), (wrong_signature, 3), (wrong_file, 1),
)  # fmt: skip


def _envelope(bundle: Signed, statement: Signed, signer: Signer) -> None:
    payload = json.dumps(statement).encode()
    signature = sign_with(signer)(oms.pae(payload))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()


def _first(change: Callable[[Signed, str], object]) -> Change:
    """Return a change at the first part of the weights, which describes the model."""
    return lambda signed: change(signed, min(path for path in signed["targets"] if WEIGHTS in path))


def _any(number: int, change: Callable[[Signed, str], object]) -> Change:
    def changed(signed: Signed) -> None:
        paths = sorted(signed["targets"])
        change(signed, paths[number % len(paths)])

    return changed


def _custom(signed: Signed, path: str) -> dict[str, Any]:
    custom: dict[str, Any] = signed["targets"][path]["custom"]
    return custom


def _move(targets: dict[str, Any], path: str, name: str) -> None:
    if name != path:
        targets[name] = targets.pop(path)


def _twice(signed: Signed) -> None:
    signed["targets"][f"{MODEL}/more.toml"] = signed["targets"][f"{MODEL}/card.toml"]


def _delegates(signed: Signed) -> None:
    signed["delegations"] = {"keys": {}, "roles": []}


def _garble(tree: dict[str, Entry], path: str, source: random.Random) -> None:
    """Spoil every signature of one piece of metadata, and leave the rest."""
    entry = tree[path]
    document = json.loads(entry if isinstance(entry, bytes) else entry.data)
    for item in document["signatures"]:
        how = source.randrange(4)
        if how == 0:
            item["sig"] = ""
        elif how == 1:
            item["sig"] = item["sig"][:-2] + ("00" if item["sig"][-2:] != "00" else "01")
        elif how == 2:
            item["keyid"] = HEX
        else:
            item["sig"] = "zz"
    tree[path] = json.dumps(document).encode()


def _put(place: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        place.pop(key, None)
    else:
        place[key] = value
