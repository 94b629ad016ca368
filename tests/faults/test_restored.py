"""Yesterday's copy put back: refused at start, with advice, by whatever knows better."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.audit.log import Log
from appliance.audit.verify import verify_file
from appliance.config import Ledger as Settings
from appliance.errors import ApplianceError, TamperedError
from tests.faults.lean_ledger import DAY_S
from tests.faults.lean_process import RESERVE_BYTES
from tests.simulators.manual_clock import ManualClock
from tests.unit.audit import samples


class Site:
    """A record in `state` with a backup of yesterday, and a stick with today's checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.state, self.backup, self.stick = (folder / n for n in ("state", "backup", "stick"))
        self.state.mkdir()
        self.stick.mkdir()
        self.record = self.state / "audit.db"
        self.settings = Settings(reserve_bytes=RESERVE_BYTES, anchor_folders=(str(self.stick),))
        Log.create(self.record, "ward/audit/0123456789abcdef", RESERVE_BYTES)
        self.work(5)
        shutil.copytree(self.state, self.backup)

    def work(self, count: int, first: int = 0) -> None:
        """Add entries, and leave the checkpoint over them on the stick."""
        log = self.open()
        for number in range(first, first + count):
            log.append(samples.event(number))
        (self.stick / "newest.note").write_text(log.checkpoint())
        log.close()

    def open(self) -> Log:
        return Log(self.record, self.clock, samples.BOOT, self.settings)

    def anchor(self) -> None:
        """Let the stick be at hand."""
        (self.stick / "newest.note").rename(self.stick / "today.checkpoint")

    def put_back(self, *names: str) -> None:
        """Put parts of yesterday's backup in place of today's."""
        for name in names:
            target, source = self.state / name, self.backup / name
            if source.is_dir():
                shutil.rmtree(target)
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)

    def refused(self) -> ApplianceError:
        """Return how a start is refused; nothing is changed by it."""
        before = self.content()
        with pytest.raises(ApplianceError) as caught:
            self.open()
        assert self.content() == before
        return caught.value

    def content(self) -> dict[str, bytes]:
        """Return what lies in the state folder, save what SQLite keeps beside a file."""
        return {
            str(path.relative_to(self.state)): path.read_bytes()
            for path in sorted(self.state.rglob("*"))
            if path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock", ".index.db"))
        }


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Yesterday five entries, then a backup, today five more."""
    return Site(tmp_path)


def same_day(site: Site) -> None:
    site.work(5)


def next_day(site: Site) -> None:
    site.clock.advance(DAY_S)
    site.work(5)


NO_INDEX = shutil.ignore_patterns("audit.index.db*", "*-shm")
ALONE = ("audit.db",)
WITH_KEYS = ("audit.db", "audit.keys")
EVERYTHING = ("audit.db", "audit.keys", "audit.anchors", "audit.index.db")


@pytest.mark.parametrize("later", [same_day, next_day])
@pytest.mark.parametrize("parts", [ALONE, WITH_KEYS])
def test_the_checkpoint_beside_the_record_tells(
    site: Site, parts: tuple[str, ...], later: Callable[[Site], None]
) -> None:
    """Without the stick: a copy of the database is found old by what lies beside it."""
    later(site)
    site.put_back(*parts)
    error = site.refused()
    assert isinstance(error, TamperedError)
    assert "older copy" in error.hint or "older copy" in error.what
    assert "put back" in error.hint


@pytest.mark.parametrize("later", [same_day, next_day])
@pytest.mark.parametrize("parts", [ALONE, WITH_KEYS, EVERYTHING])
def test_the_checkpoint_on_the_stick_tells(
    site: Site, parts: tuple[str, ...], later: Callable[[Site], None]
) -> None:
    """Also when everything beside the record was put back with it."""
    later(site)
    site.anchor()
    site.put_back(*parts)
    error = site.refused()
    assert isinstance(error, TamperedError)
    assert "put back the newest" in error.hint
    assert "two people" in error.hint
    assert "nothing was changed" in error.hint


def test_the_refusal_names_the_checkpoint_and_what_is_missing(site: Site) -> None:
    """Whoever reads it knows how much is lost, and which file says so."""
    site.work(5)
    site.anchor()
    site.put_back(*EVERYTHING)
    error = site.refused()
    assert isinstance(error, TamperedError)
    assert error.seq == 5
    assert str(site.stick / "today.checkpoint") in error.what
    assert "over 10 entries" in error.what


def test_the_verifier_tells_the_same(site: Site) -> None:
    """Offline, with the stick's folder, or with nothing but what lies beside the record."""
    site.work(5)
    site.anchor()
    site.put_back(*EVERYTHING)
    assert verify_file(site.record).entries == 5
    with pytest.raises(TamperedError) as caught:
        verify_file(site.record, samples.places(site.record, site.stick))
    assert caught.value.seq == 5


def test_without_any_anchor_an_old_copy_goes_on(site: Site) -> None:
    """Stated openly: everything put back and no checkpoint at hand cannot be told from today."""
    site.work(5)
    site.put_back(*EVERYTHING)
    log = site.open()
    assert log.append(samples.event(1)).seq == 5
    log.close()
    site.anchor()
    with pytest.raises(TamperedError, match="today"):
        site.open()


def test_an_old_copy_that_went_on_is_told_from_the_record(site: Site) -> None:
    """Longer than the checkpoint by now, it still has another root."""
    site.work(5)
    site.put_back(*EVERYTHING)
    note = (site.stick / "newest.note").read_text()
    site.work(50, first=900)
    (site.stick / "today.checkpoint").write_text(note)
    error = site.refused()
    assert isinstance(error, TamperedError)
    assert "vouches for" in error.what
    assert error.hint


@pytest.mark.parametrize("count", [5, 300, 1_500])
def test_an_old_copy_under_todays_side_log_is_never_called_whole(site: Site, count: int) -> None:
    """After a crash SQLite would lay today's pages over yesterday's file."""
    log = site.open()
    log.append_many([samples.event(number) for number in range(count)])
    note = log.checkpoint()
    crashed = site.state.with_name("crashed")
    log._writing.run(lambda _: shutil.copytree(site.state, crashed, ignore=NO_INDEX))
    log.close()
    shutil.rmtree(site.state)
    crashed.rename(site.state)
    assert site.record.with_name("audit.db-wal").stat().st_size > 0
    shutil.copy(site.backup / "audit.db", site.record)
    (site.stick / "today.checkpoint").write_text(note)
    try:
        found = verify_file(site.record, samples.places(site.record, site.stick))
    except ApplianceError:
        site.refused()
    else:  # every page that counts was in the side log
        assert found.anchored == found.entries == 5 + count


def test_todays_backup_that_is_whole_goes_on(site: Site) -> None:
    """What the advice asks for works: the newest copy with its folders starts."""
    next_day(site)
    site.anchor()
    shutil.rmtree(site.backup)
    shutil.copytree(site.state, site.backup)
    site.put_back(*EVERYTHING)
    log = site.open()
    assert log.append(samples.event(1)).seq == 11
    log.close()


def test_an_anchor_that_cannot_be_read_refuses(site: Site) -> None:
    """Else garbling it would be as good as taking it away."""
    site.anchor()
    (site.stick / "today.checkpoint").write_text("coffee")
    error = site.refused()
    assert "today.checkpoint" in error.message
    assert error.hint


def test_a_missing_record_is_never_made_anew(site: Site) -> None:
    """An empty one in its place would hide that the record is gone."""
    site.record.unlink()
    with pytest.raises(ApplianceError, match="none was made in its place"):
        site.open()
    assert not site.record.exists()


def test_a_stick_that_is_not_plugged_in_stops_nothing(site: Site) -> None:
    """A folder that is not there holds no anchors; what is there still does."""
    shutil.rmtree(site.stick)
    site.open().close()
