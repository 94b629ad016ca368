"""Where the edge finds its certificate: a folder that is replaced as a whole.

```
tls/current -> versions/<id>     switched by one rename, so nobody ever sees half of a change
tls/versions/<id>/server.key     with server.pem (the chain without its root) and ca.pem
tls/pending/server.key           a key whose certificate is still being asked for, and its request
```

Files are 0600 and belong to the owner of the folder, also when root puts them there: the edge
runs as that user. Where the edge is another user, the folder has the edge's group and its
set-group-id bit; files are then 0640 and keep that group (inode(7)).
The version before stays, for an edge that is just reading it; older ones are destroyed.
Not here: whether a certificate is fit (`checking`), and telling the edge (it watches `current`).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from appliance import durable
from appliance.errors import ForbiddenError
from appliance.tls.checking import Checked, fingerprint

KEY, CHAIN, ROOT, REQUEST = "server.key", "server.pem", "ca.pem", "request.pem"


@dataclass(frozen=True)
class Stored:
    """The files of the version in use."""

    chain: bytes
    root: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True)
class Pending:
    """A key that waits for its certificate, and the request for that."""

    request: bytes
    key: bytes = field(repr=False)


class Folder:
    """The folder `tls` of a state folder; made when something is first put into it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.current_link = path / "current"
        self._versions = path / "versions"
        self._pending = path / "pending"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second administrator out meanwhile; raise ConflictError when one is at it."""
        self._make(self.path)
        with durable.exclusive(self.path / "lock", f"the folder {self.path}"):
            yield

    def current(self) -> Stored | None:
        """Return what the edge serves with, None when nothing was put in place yet."""
        if not self.current_link.is_symlink():
            return None
        place = self.current_link.resolve()
        files = [(place / name).read_bytes() for name in (CHAIN, ROOT, KEY)]
        return Stored(files[0], files[1], files[2])

    def pending(self) -> Pending | None:
        """Return the key that waits for its certificate, None when there is none."""
        if not (self._pending / REQUEST).exists():
            return None
        return Pending((self._pending / REQUEST).read_bytes(), (self._pending / KEY).read_bytes())

    def ask(self, key: bytes, request: bytes) -> None:
        """Keep a key and its request until the certificate comes; an older one is destroyed."""
        self._make(self._pending)
        durable.destroy(self._pending / REQUEST)
        self._write(self._pending / KEY, key)
        self._write(self._pending / REQUEST, request)

    def put(self, checked: Checked, key: bytes) -> Path:
        """Put a certificate in place for the edge; return its folder. All of it, or nothing."""
        self._make(self._versions)
        name = f"{fingerprint(checked.leaf)[:16]}-{secrets.token_hex(4)}"
        fresh = self._versions / f".{name}.new"
        try:
            self._make(fresh)
            self._write(fresh / KEY, key)
            self._write(fresh / CHAIN, checked.chain_pem())
            self._write(fresh / ROOT, checked.root_pem())
            fresh.rename(self._versions / name)
        except BaseException:
            self._destroy(fresh)
            raise
        durable.sync_folder(self._versions)
        before = self.current_link.resolve() if self.current_link.is_symlink() else None
        self._point(name)
        self._tidy({name, before.name if before is not None else name})
        self._destroy(self._pending)
        return self._versions / name

    def _point(self, name: str) -> None:
        link = self.path / f".current.{secrets.token_hex(4)}.new"
        # Relative: the edge has this folder under another path.
        link.symlink_to(Path(self._versions.name) / name)
        try:
            self._give(link)
            link.replace(self.current_link)
        finally:
            link.unlink(missing_ok=True)
        durable.sync_folder(self.path)

    def _tidy(self, kept: set[str]) -> None:
        for old in self._versions.iterdir():
            if old.name not in kept:
                self._destroy(old)
        for left in self.path.glob(".current.*.new"):
            left.unlink()

    def _destroy(self, folder: Path) -> None:
        if folder.is_dir():
            durable.destroy(folder / KEY)
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def is_shared(self) -> bool:
        """Tell whether the folder's group may read: the edge is another user then."""
        return self.path.is_dir() and bool(self.path.stat().st_mode & stat.S_ISGID)

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        mode = 0o2750 if self.is_shared else 0o700
        folder.mkdir(mode=0o700)
        os.chmod(folder, mode)
        if folder != self.path:
            self._give(folder)
        if stat.S_IMODE(folder.stat().st_mode) != mode:
            folder.rmdir()
            raise ForbiddenError(
                f"{self.path} belongs to a group that you are not in; nothing was changed",
                hint="run it as a member of the edge's group",
            )

    def _write(self, path: Path, data: bytes) -> None:
        durable.write(path, data, mode=0o640 if self.is_shared else 0o600)
        self._give(path)

    def _give(self, path: Path) -> None:
        """Give what root has made to the owner of the folder."""
        if os.geteuid() == 0:
            owner = self.path.stat()
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
