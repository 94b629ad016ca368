"""The folder that the edge reads: switched as a whole, closed to others, nothing left lying."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from appliance.errors import ConflictError
from appliance.tls import checking, keys
from appliance.tls.checking import Checked
from appliance.tls.folder import Folder
from tests.simulators.site_ca import HOST, NOW, root

ROOT = root()


def made() -> tuple[Checked, bytes]:
    key = keys.new()
    leaf = ROOT.server(key.public_key())
    given = [leaf, ROOT.certificate]
    return checking.check(given, key.public_key(), (HOST,), NOW), keys.to_pem(key)


def test_what_is_put_is_what_is_read(tmp_path: Path) -> None:
    """Key, chain and root of one version, through a link that also holds elsewhere."""
    folder = Folder(tmp_path / "tls")
    checked, key = made()
    with folder.locked():
        folder.put(checked, key)
    current = folder.current()
    assert current is not None
    assert (current.chain, current.root, current.key) == (
        checked.chain_pem(), checked.root_pem(), key
    )  # fmt: skip
    assert not os.readlink(folder.current_link).startswith("/")


def test_only_the_owner_may_enter_or_read(tmp_path: Path) -> None:
    """Folders 0700, files 0600, whatever the umask is."""
    folder = Folder(tmp_path / "tls")
    before = os.umask(0)
    try:
        with folder.locked():
            folder.put(*made())
            folder.ask(b"key", b"request")
    finally:
        os.umask(before)
    for path in [folder.path, *folder.path.rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert path.is_symlink() or stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_the_version_before_stays_and_older_ones_go(tmp_path: Path) -> None:
    """An edge that is reading just now finds its files; no third key lies about."""
    folder = Folder(tmp_path / "tls")
    with folder.locked():
        places = [folder.put(*made()) for _ in range(4)]
    assert sorted((folder.path / "versions").iterdir()) == sorted(places[-2:])


def test_a_certificate_in_place_ends_the_request(tmp_path: Path) -> None:
    """The key that waited is destroyed with it."""
    folder = Folder(tmp_path / "tls")
    with folder.locked():
        folder.ask(b"key", b"request")
        assert folder.pending() is not None
        folder.put(*made())
    assert folder.pending() is None
    assert not (folder.path / "pending").exists()


@pytest.mark.parametrize("broken", ["server.key", "server.pem", "ca.pem"])
def test_when_a_file_cannot_be_written_the_one_before_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Half of a change is never seen, and nothing of it remains."""
    folder = Folder(tmp_path / "tls")
    with folder.locked():
        first = folder.put(*made())
        write = Folder._write

        def fails(self: Folder, path: Path, data: bytes) -> None:
            if path.name == broken:
                raise OSError(28, "no space")
            write(self, path, data)

        monkeypatch.setattr(Folder, "_write", fails)
        with pytest.raises(OSError, match="no space"):
            folder.put(*made())
    assert folder.current_link.resolve() == first
    assert list((folder.path / "versions").iterdir()) == [first]


def test_what_a_crash_left_is_cleared(tmp_path: Path) -> None:
    """A half-made version and a half-made link are gone after the next change."""
    folder = Folder(tmp_path / "tls")
    with folder.locked():
        folder.put(*made())
        left = folder.path / "versions" / ".aa.new"
        left.mkdir()
        (left / "server.key").write_text("half")
        (folder.path / ".current.0000.new").symlink_to("versions/none")
        folder.put(*made())
    assert not left.exists()
    assert not list(folder.path.glob(".current*"))


def test_a_second_administrator_waits(tmp_path: Path) -> None:
    """Two that renew at once would each destroy what the other made."""
    folder = Folder(tmp_path / "tls")
    with folder.locked(), pytest.raises(ConflictError), folder.locked():
        pass


def test_what_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """The edge runs as that user and must be able to read its key."""
    (tmp_path / "tls").mkdir(mode=0o700)
    owner = 10_000 if os.geteuid() == 0 else os.geteuid()
    os.chown(tmp_path / "tls", owner, -1)
    folder = Folder(tmp_path / "tls")
    with folder.locked():
        folder.put(*made())
        folder.ask(b"key", b"request")
    inside = [path for path in folder.path.rglob("*") if path.name != "lock"]
    assert {path.lstat().st_uid for path in inside} == {owner}


def test_a_shared_folder_keeps_its_group(tmp_path: Path) -> None:
    """Where the edge is another user, its group reads, and nobody else does."""
    group = 10_000 if os.geteuid() == 0 else os.getegid()
    (tmp_path / "tls").mkdir()
    os.chown(tmp_path / "tls", -1, group)
    (tmp_path / "tls").chmod(0o2750)
    folder = Folder(tmp_path / "tls")
    with folder.locked():
        place = folder.put(*made())
    for path in (place, *place.iterdir()):
        assert path.stat().st_gid == group
        assert stat.S_IMODE(path.stat().st_mode) == (0o2750 if path.is_dir() else 0o640), path
