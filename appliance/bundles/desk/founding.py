"""Makes a desk: with one key at a small site, for several people at a larger. All or nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from appliance.bundles.desk import keys, roots
from appliance.bundles.desk.desk import Desk
from appliance.bundles.desk.keys import KeyPair
from appliance.bundles.desk.roots import Holders
from appliance.errors import BadInputError

ROOT_DAYS = 1_825


def found_alone(
    folder: Path,
    name: str,
    passphrase: str,
    now: datetime,
    *,
    valid_days: int = ROOT_DAYS,
    rounds: int = keys.ROUNDS,
) -> tuple[Desk, KeyPair]:
    """Make a desk with one new key for everything; its root is complete at once."""
    keys.check_passphrase(passphrase)
    with_key: list[KeyPair] = []

    def make(desk: Desk) -> bytes:
        pair = keys.create(desk.folder / "keys" / file_name(name), passphrase, rounds=rounds)
        with_key.append(pair)
        one = Holders((pair.key,))
        unsigned = roots.first(dict.fromkeys(roots.ROLES, one), _end(now, valid_days))
        return roots.sign(unsigned, None, pair.signer)

    return _found(folder, name, make), with_key[0]


def found_together(
    folder: Path,
    name: str,
    holders: Mapping[str, Holders],
    now: datetime,
    *,
    valid_days: int = ROOT_DAYS,
) -> Desk:
    """Make a desk for keys that exist; its first root waits for the signatures of the people."""
    unsigned = roots.first(holders, _end(now, valid_days))
    return _found(folder, name, lambda _desk: unsigned)


def file_name(name: str) -> str:
    """Return a publisher's name as a file's: plain letters, digits and hyphens."""
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return found or "publisher"


def _found(folder: Path, name: str, make_root: Callable[[Desk], bytes]) -> Desk:
    existed = folder.exists()
    desk = Desk.create(folder, name)
    try:
        desk.keep_root(make_root(desk))
    except BaseException:
        for path in list(folder.iterdir()) if existed else [folder]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        raise
    return desk


def _end(now: datetime, days: int) -> datetime:
    if not 0 < days <= 7_305:
        raise BadInputError("a root is valid for 1 to 7305 days")
    return now.replace(microsecond=0) + timedelta(days=days)
