"""How a publisher's desk, roots and drafts look to people and to programs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from tuf.api.metadata import Root

from appliance.bundles import listing, trust
from appliance.bundles.desk import roots
from appliance.bundles.desk.contents import Contents
from appliance.bundles.desk.desk import Desk
from appliance.bundles.desk.drafts import Draft
from appliance.bundles.desk.roots import Missing
from appliance.bundles.manifest import Denied, VerifiedModel
from appliance.cli import presenting
from appliance.cli.invocation import Invocation

GROUP = 8
SOON_DAYS = 60


def groups(fingerprint: str) -> str:
    """Return a fingerprint as people compare it: in groups of eight."""
    return " ".join(fingerprint[at : at + GROUP] for at in range(0, len(fingerprint), GROUP))


def key_of(desk: Desk) -> str:
    """Return the key file of a desk that has one alone, else a word for it."""
    own = sorted((desk.folder / "keys").glob("*.key"))
    return str(own[0]) if len(own) == 1 else "KEY"


def fingerprint_of(desk: Desk) -> str:
    return trust.fingerprint(desk.chain()[0])


def founded(invocation: Invocation, desk: Desk, key: Path) -> None:
    """Show a new desk with one key."""

    def people() -> None:
        presenting.say(f"the desk of {desk.state.name} is ready in {desk.folder}")
        paper(desk)
        presenting.remark(f"next: keep a copy of {key} elsewhere: without it, or its passphrase,")
        presenting.remark("      nothing can be published any more")
        presenting.remark(f"next: {_build(desk)}")

    value = {
        "desk": str(desk.folder),
        "name": desk.state.name,
        "fingerprint": fingerprint_of(desk),
        "key": str(key),
    }
    invocation.present(value, people)


def paper(desk: Desk) -> None:
    """Print what a hospital must get on another way than the bundles."""
    presenting.say("put this on paper; each hospital compares it once, before its first bundle:")
    presenting.say(f"  publisher    {desk.state.name}")
    presenting.say(f"  fingerprint  {groups(fingerprint_of(desk))}")


def pending(invocation: Invocation, desk: Desk) -> None:
    """Show how far the newest root is."""
    waiting = desk.pending()
    chain = desk.chain()
    if waiting is None:
        _complete(invocation, desk, len(chain))
        return
    parts = roots.missing(waiting, chain[-1] if chain else None)
    version = roots.parse(waiting).signed.version

    def people() -> None:
        for part, whose in zip(parts, ("its own people", "the people of the root before"),
                               strict=False):  # fmt: skip
            presenting.say(f"root {version} has {counted(part)} of {whose}")
        presenting.remark(f"next: {waiting_for(parts)} runs")
        presenting.remark(f"      appliance publisher sign {desk.folder} --key KEY")

    invocation.present(
        {"desk": str(desk.folder), "root": version, "complete": False,
         "signatures": [_signatures(part) for part in parts]}, people
    )  # fmt: skip


def counted(part: Missing) -> str:
    """Return for example `1 of 2 signatures`."""
    return f"{len(part.signed)} of {part.wanted} signatures"


def waiting_for(parts: tuple[Missing, ...]) -> str:
    """Return whose signatures can still come, joined by `or`."""
    names = dict.fromkeys(name for part in parts if not part.done for name in part.open)
    return " or ".join(names) or "nobody"


def root(desk: Desk, data: bytes) -> None:
    """Print what a root says, to stderr, for the person who is to sign it."""
    found = roots.parse(data).signed
    presenting.remark(f"root {found.version} of {desk.state.name}, valid until "
                      f"{found.expires:%Y-%m-%d}:")  # fmt: skip
    for name, threshold, holders in _roles(found):
        presenting.remark(f"  {name:<10} {threshold} of {', '.join(holders)}")


def withdrawn(invocation: Invocation, desk: Desk, denied: Denied) -> None:
    """Show a model that the next bundle will withdraw."""

    def people() -> None:
        presenting.say(f"{denied.model} {denied.version} will be withdrawn by the next bundle")
        presenting.remark("next: to send that out alone, without a model:")
        presenting.remark(f"      appliance bundle build {desk.folder} --out FOLDER")

    invocation.present(_denied(denied), people)


def overview(invocation: Invocation, desk: Desk, now: datetime) -> None:
    """Show everything that the desk knows."""
    chain = desk.chain()
    newest = roots.parse(chain[-1] if chain else desk.pending() or b"").signed
    targets = desk.listing()
    models = listing.read_models(targets) if targets is not None else ()
    denied = (*(listing.read_denied(targets) if targets else ()), *desk.state.denied)
    notes = list(_warnings(desk, newest, now))
    under_way = desk.state.building
    facts: dict[str, object] = {
        "publisher": desk.state.name,
        "fingerprint": groups(fingerprint_of(desk)) if chain else None,
        "root": f"{newest.version}, valid until {newest.expires:%Y-%m-%d}",
        "newest bundle": desk.state.recorded or "none yet",
        "valid until": f"{targets.expires:%Y-%m-%d}" if targets is not None else None,
        "under way": under_way and f"{under_way.version}, in {', '.join(under_way.folders)}",
    }

    def people() -> None:
        presenting.facts(facts)
        presenting.say("")
        presenting.table(("role", "takes", "of"),
                         [(n, t, ", ".join(h)) for n, t, h in _roles(newest)])  # fmt: skip
        presenting.say("")
        rows = [(m.name, m.version, m.licence, presenting.size(m.length), m.sha256) for m in models]
        presenting.table(("model", "version", "licence", "size", "SHA-256 of the weights"), rows,
                         empty="no model is published", spare=("licence",))  # fmt: skip
        for item in denied:
            presenting.say(f"withdrawn: {item.model} {item.version}: {item.reason}")
        for note in notes:
            presenting.remark(f"mind: {note}")

    value = {
        "name": desk.state.name,
        "fingerprint": fingerprint_of(desk) if chain else None,
        "root": {"version": newest.version, "expires": newest.expires.timestamp(),
                 "complete": bool(chain)},
        "roles": {name: {"threshold": t, "keys": list(h)} for name, t, h in _roles(newest)},
        "keys": {keyid: roots.describe(item) for keyid, item in newest.keys.items()},
        "bundle": desk.state.recorded or None,
        "expires": targets.expires.timestamp() if targets is not None else None,
        "under_way": under_way and under_way.version,
        "models": [{"name": m.name, "version": m.version, "sha256": m.sha256} for m in models],
        "denied": [_denied(item) for item in denied],
        "warnings": notes,
    }  # fmt: skip
    invocation.present(value, people)


def summary(draft: Draft, found: Contents) -> None:
    """Print what a signature stands for, to stderr, for the person who is to give it."""
    targets = draft.metadata.signed
    presenting.remark(
        f"bundle {draft.info.version} of {draft.info.publisher}, valid until "
        f"{targets.expires:%Y-%m-%d}, under root {draft.root.version} "
        f"(first root {groups(trust.fingerprint(draft.chain[0]))})"
    )
    # A draft names the list it follows: an older one would hide what was taken back since.
    if draft.former is None:
        presenting.remark("  the first list; if one was published before, do not sign")
    else:
        former = draft.former.version
        presenting.remark(f"  follows list {former}; if a newer one was published, do not sign")
    for model in found.carried:
        for line in _model(model):
            presenting.remark(line)
    _names("still listed, as signed before", found.listed)
    _names("no longer listed", found.dropped)
    new = set(found.newly_denied)
    for item in found.denied:
        word = "withdraws" if item in new else "withdrawn before"
        presenting.remark(f"  {word}: {item.model} {item.version} ({item.sha256}): {item.reason}")


def _model(model: VerifiedModel) -> Iterator[str]:
    parts = len(model.parts)
    yield f"  read just now: {model.name} {model.version}"
    yield f"    weights   {presenting.size(model.length)} in {parts} file{'s' * (parts > 1)}"
    yield f"    SHA-256   {model.sha256}"
    yield f"    licence   {model.licence}"
    whose = "that of the weights" if model.template_from == "weights" else "the publisher's own"
    yield f"    template  {whose}"
    yield f"    epoch     {model.security_epoch}, for engine {model.min_engine} or newer"


def _names(what: str, models: tuple[VerifiedModel, ...]) -> None:
    for model in models:
        presenting.remark(f"  {what}: {model.name} {model.version} ({model.sha256})")


def _complete(invocation: Invocation, desk: Desk, version: int) -> None:
    def people() -> None:
        presenting.say(f"root {version} of {desk.state.name} is complete")
        if version == 1:
            paper(desk)
        else:
            presenting.remark("every bundle from now on carries it; hospitals follow by themselves")
        presenting.remark(f"next: {_build(desk)}")

    invocation.present(
        {"desk": str(desk.folder), "root": version, "complete": True,
         "fingerprint": fingerprint_of(desk)}, people
    )  # fmt: skip


def _warnings(desk: Desk, root: Root, now: datetime) -> Iterator[str]:
    if desk.pending() is not None:
        yield "a root waits for signatures: appliance publisher sign"
    if (days := (root.expires - now).days) < SOON_DAYS:
        yield f"the root ends in {days} days; renew it: appliance publisher rotate {desk.folder}"
    targets = desk.listing()
    if targets is not None and (days := (targets.expires - now).days) < SOON_DAYS:
        yield (
            f"the newest bundle ends in {days} days, and no hospital takes it then; make another: "
            f"appliance bundle build {desk.folder} --out FOLDER"
        )
    if desk.state.denied:
        yield "a withdrawal waits for the next bundle"


def _roles(root: Root) -> list[tuple[str, int, tuple[str, ...]]]:
    return [
        (
            name,
            root.roles[name].threshold,
            tuple(roots.describe(root.keys[keyid]) for keyid in root.roles[name].keyids),
        )
        for name in roots.ROLES
    ]


def _signatures(part: Missing) -> dict[str, Any]:
    return {"wanted": part.wanted, "signed": list(part.signed), "open": list(part.open)}


def _denied(item: Denied) -> dict[str, str]:
    return dict(vars(item))


def _build(desk: Desk) -> str:
    return f"appliance bundle build {desk.folder} MODEL.gguf --card CARD.toml --out FOLDER"
