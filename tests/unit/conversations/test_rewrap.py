"""Replacing the key-encryption key: nothing is lost at any point, nothing old opens afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from appliance import durable
from appliance.conversations.keys import scrubbing
from appliance.conversations.keys.store import BUSY_AFTER, FRESH_AT_ONCE
from appliance.conversations.store import Conversations
from appliance.errors import VerificationError
from appliance.sealing import KeyWrapper, next_file, old_file, replace_file
from tests.unit.conversations.conftest import Site
from tests.unit.conversations.test_at_rest import ADA, MODEL, begin
from tests.unit.conversations.test_custody import wrapped_keys


def key_file(site: Site) -> Path:
    return site.state / "content.key"


def fresh(site: Site) -> KeyWrapper:
    """Make the key that will replace the one in use, beside it."""
    KeyWrapper.create_file(next_file(key_file(site)))
    return KeyWrapper.from_file(next_file(key_file(site)))


def again(site: Site) -> Conversations:
    """Open everything as a new process would."""
    opened = Conversations(site.main, site.keys, KeyWrapper.from_file(key_file(site)), site.clock)
    opened.check_key()
    return opened


def test_everything_opens_under_the_new_key_and_nothing_under_the_old(site: Site) -> None:
    """Texts, titles and pseudonyms; the old key with the new rows opens nothing."""
    conversation, _ = begin(site.store, "still here")
    subject = site.store.subjects.ensure("4711")
    stolen, before = key_file(site).read_bytes(), wrapped_keys(site.keys.path)
    assert site.store.keys.rewrap(fresh(site)) == 3
    replace_file(key_file(site))
    assert again(site).messages(conversation, ADA)[0].text == "still here"
    assert again(site).subjects.find("4711") == subject
    assert scrubbing.search(site.keys.path, list(before.values())) == []
    thief = Conversations(site.main, site.keys, KeyWrapper(stolen), site.clock)
    with pytest.raises(VerificationError):
        thief.messages(conversation, ADA)
    assert sorted(path.name for path in site.state.glob("content.key*")) == ["content.key"]


def test_a_running_program_goes_on(site: Site) -> None:
    """It notices the new key with its next reading, before and after the file is in place."""
    running = again(site)
    conversation, _ = begin(running, "still here")
    other = again(site)
    other.keys.rewrap(fresh(site))
    assert running.messages(conversation, ADA)[0].text == "still here"
    replace_file(key_file(site))
    begin(running, "new one")
    assert {item.title for item in again(site).list(ADA, search="new one")} == {"a title"}


def test_keys_made_ahead_are_used_once_and_were_on_the_disk(site: Site) -> None:
    """A busy program makes several together; each seals one conversation, and opens it again."""
    running = again(site)
    made = [begin(running, f"text {number}")[0] for number in range(BUSY_AFTER + FRESH_AT_ONCE)]
    ids = [running.keys.new().key_id for _ in range(3)]
    with site.main.connect() as connection:
        query = sa.text("SELECT key_id FROM conversations")
        used = list(connection.execute(query).scalars())
    assert len({*used, *ids}) == len(made) + 3
    later = again(site)
    assert [later.messages(one, ADA)[0].text for one in made] == [
        f"text {number}" for number in range(len(made))
    ]


def test_no_key_that_was_wrapped_under_the_old_one_seals_anything_new(site: Site) -> None:
    """Not even one made ahead, by a program that runs while another replaces the key."""
    running = again(site)
    for _ in range(BUSY_AFTER + 1):
        running.keys.new()
    before = set(wrapped_keys(site.keys.path))
    again(site).keys.rewrap(fresh(site))
    replace_file(key_file(site))
    assert running.keys.new().key_id not in before


def test_a_foreign_key_file_is_still_refused(site: Site) -> None:
    """A program does not follow to a key that the rows do not name."""
    begin(site.store)
    durable.destroy(key_file(site))
    KeyWrapper.create_file(key_file(site))
    with pytest.raises(VerificationError, match="does not belong"):
        again(site)


def _before_the_rows(site: Site) -> None:
    fresh(site)


def _after_the_rows(site: Site) -> None:
    site.store.keys.rewrap(fresh(site))


def _after_the_second_name(site: Site) -> None:
    _after_the_rows(site)
    old_file(key_file(site)).hardlink_to(key_file(site))


def _after_the_rename(site: Site) -> None:
    _after_the_second_name(site)
    next_file(key_file(site)).replace(key_file(site))


def _half_overwritten(site: Site) -> None:
    _after_the_rename(site)
    old_file(key_file(site)).chmod(0o600)
    old_file(key_file(site)).write_bytes(bytes(16))


@pytest.mark.parametrize(
    "cut",
    [_after_the_rows, _after_the_second_name, _after_the_rename, _half_overwritten],
)
def test_a_crash_after_the_rows_leaves_a_key_that_fits(
    site: Site, cut: Callable[[Site], None]
) -> None:
    """Every later point: a new process opens all, and finishing leaves one key file."""
    conversation, _ = begin(site.store, "still here")
    cut(site)
    assert again(site).messages(conversation, ADA)[0].text == "still here"
    replace_file(key_file(site))
    replace_file(key_file(site))
    assert again(site).messages(conversation, ADA)[0].text == "still here"
    assert sorted(path.name for path in site.state.glob("content.key*")) == ["content.key"]
    assert key_file(site).stat().st_mode & 0o777 == 0o400


def test_a_crash_before_the_rows_changes_nothing(site: Site) -> None:
    """The new key was never used, and is destroyed."""
    conversation, _ = begin(site.store, "still here")
    _before_the_rows(site)
    assert again(site).messages(conversation, ADA)[0].text == "still here"
    durable.destroy(next_file(key_file(site)))
    begin(again(site))
    assert again(site).messages(conversation, ADA)[0].text == "still here"


def test_a_second_name_of_the_key_in_use_is_not_overwritten(site: Site) -> None:
    """Whatever left it there, the key that is needed keeps its bytes."""
    conversation, _ = begin(site.store, "still here")
    old_file(key_file(site)).hardlink_to(key_file(site))
    replace_file(key_file(site))
    assert again(site).messages(conversation, ADA)[0].text == "still here"
    assert not old_file(key_file(site)).exists()


def test_the_models_of_a_turn_are_kept(site: Site) -> None:
    """Re-wrapping touches keys alone."""
    conversation, _ = begin(site.store)
    before = site.store.messages(conversation, ADA)
    site.store.keys.rewrap(fresh(site))
    replace_file(key_file(site))
    assert site.store.messages(conversation, ADA) == before
    assert before[1].model == MODEL
