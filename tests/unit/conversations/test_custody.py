"""Erasing: keys and bytes are gone from every file, holds forbid it, authors are told."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from appliance.conversations.erasures.store import ERASE, MARKED, PURGE, Erasure
from appliance.conversations.keys import scrubbing
from appliance.conversations.keys.searching import FEW, found_in
from appliance.conversations.retention import ALL, CONVERSATION, PATIENT, USER, Scope
from appliance.errors import ConflictError, NotFoundError, UnavailableError, VerificationError
from tests.unit.conversations.conftest import Site
from tests.unit.conversations.test_at_rest import ADA, BEN, MODEL, begin, files_with

BASIS = "GDPR Art. 17(1)(a)"
DAY = 86_400.0


def asked(site: Site, user: str = ADA, reference: str | None = None, origin: str = "chat") -> str:
    """Return the id of a conversation with a question and its answer."""
    subject = site.store.subjects.ensure(reference) if reference else None
    made, turn = site.store.begin(user, "Xylotitle", origin, "Xyloprompt", MODEL, subject)
    site.store.finish(turn.answer_id, state="complete", text="Xyloanswer")
    site.store.set_outcome(turn.answer_id, 2)
    return made


def erase(site: Site, scope: Scope) -> tuple[Erasure, list[str]]:
    """Erase without a record; return the erasure and the ids of its keys."""
    custody = site.store.custody
    marked = custody.mark(custody.plan(ERASE, scope, BASIS, "usr_officer"))
    keys = custody.destroy(marked)
    return custody.finish(marked.id, 7), keys


def wrapped_keys(path: Path) -> dict[str, bytes]:
    with sqlite3.connect(path) as connection:
        found = dict(connection.execute("SELECT key_id, wrapped FROM content_keys").fetchall())
    connection.close()
    return found


# --- gone for good


def test_after_erasure_no_file_holds_text_key_or_ciphertext(site: Site) -> None:
    """Searched for in every file of the state folder: wrapped key, its id, texts, sealed bytes."""
    conversation = asked(site)
    kept = asked(site, BEN)
    with site.main.reading() as session:
        query = sa.text("SELECT sealed FROM messages WHERE conversation_id = :id")
        sealed = list(session.scalars(query, {"id": conversation}))
    before = wrapped_keys(site.keys.path)
    _, (key_id,) = erase(site, Scope(CONVERSATION, conversation))
    scrubbing.scrub(site.main.path, sealed)
    assert scrubbing.search(site.keys.path, [before[key_id], key_id.encode()]) == []
    assert scrubbing.search(site.main.path, sealed) == []
    site.main.close()
    site.keys.close()
    everything = b"".join(path.read_bytes() for path in site.state.rglob("*") if path.is_file())
    assert before[key_id] not in everything
    assert files_with(site.state, "Xylo") == []
    assert set(wrapped_keys(site.keys.path)) == set(before) - {key_id}
    assert site.store.messages(kept, BEN)[0].text == "Xyloprompt"


def test_deleted_bytes_that_remain_are_found_and_removed(site: Site) -> None:
    """A page that SQLite did not overwrite is found by the search and written anew."""
    for _ in range(50):
        asked(site)
    keys = wrapped_keys(site.keys.path)
    careless = sqlite3.connect(site.keys.path, isolation_level=None)
    careless.execute("PRAGMA secure_delete=OFF")
    careless.execute("DELETE FROM content_keys")
    careless.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    careless.close()
    assert scrubbing.search(site.keys.path, list(keys.values())), "the attack leaves bytes behind"
    site.store.keys.destroy(list(keys))
    assert scrubbing.search(site.keys.path, list(keys.values())) == []


def test_a_reader_in_the_way_does_not_pass_for_done(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the log cannot be cut the erasure is not finished, and says so."""
    monkeypatch.setattr(scrubbing, "BUSY_MS", 10)
    monkeypatch.setattr(scrubbing, "PATIENCE_S", 0.0)
    conversation = asked(site)
    custody = site.store.custody
    marked = custody.mark(custody.plan(ERASE, Scope(CONVERSATION, conversation), BASIS, "o"))
    with site.keys.reading() as session:
        session.execute(sa.text("SELECT count(*) FROM content_keys"))
        with pytest.raises(UnavailableError):
            custody.destroy(marked)
    assert [found.state for found in custody.unfinished()] == [MARKED]
    assert len(custody.destroy(marked)) == 1


@pytest.mark.parametrize("count", [3, FEW + 10])
def test_the_search_finds_exactly_what_is_there(count: int) -> None:
    """Few and many strings are looked for in different ways with the same result."""
    needles = [f"needle {number:06}".encode() for number in range(count)]
    data = b"x" * 100 + needles[1] + b"y" * 13 + needles[-1]
    assert found_in(data, needles) == {1, count - 1}


# --- what its author sees


def test_an_erased_conversation_says_so_to_its_author(site: Site) -> None:
    """When, and by which entry of the record; texts are empty, nothing fails."""
    conversation = asked(site)
    site.clock.advance(5)
    erase(site, Scope(CONVERSATION, conversation))
    found = site.store.get(conversation, ADA)
    assert found.erased is not None
    assert (found.erased.when, found.erased.entry) == (site.clock.now(), 7)
    assert not found.erased.by_schedule
    assert [message.text for message in site.store.messages(conversation, ADA)] == ["", ""]
    assert [item.id for item in site.store.list(ADA)] == [conversation]
    assert site.store.list(ADA, search="xylo") == []
    with pytest.raises(NotFoundError):
        site.store.get(conversation, BEN)


def test_nothing_can_be_added_to_an_erased_conversation(site: Site) -> None:
    """Neither a question nor another title."""
    conversation = asked(site)
    erase(site, Scope(CONVERSATION, conversation))
    with pytest.raises(ConflictError, match="erased"):
        site.store.begin_turn(conversation, ADA, "more", MODEL)
    with pytest.raises(ConflictError, match="erased"):
        site.store.rename(conversation, ADA, "new")


def test_an_answer_under_way_ends_without_its_text(site: Site) -> None:
    """What is written after the erasure has no key to be sealed under."""
    conversation, turn = begin(site.store)
    erase(site, Scope(CONVERSATION, conversation))
    with pytest.raises(VerificationError):
        site.store.finish(turn.answer_id, state="complete", text="too late")
    assert site.store.unfinished()[0].answer_id == turn.answer_id


# --- scopes


def test_a_patient_scope_takes_all_about_the_patient(site: Site) -> None:
    """Whoever asked; other patients and questions without one stay."""
    about = [asked(site, ADA, "4711"), asked(site, BEN, "4711")]
    others = [asked(site, ADA, "0815"), asked(site, ADA)]
    subject = site.store.subjects.ensure("4711")
    done, keys = erase(site, Scope(PATIENT, subject))
    assert (done.conversations, len(keys)) == (2, 2)
    left = {item.id for user in (ADA, BEN) for item in site.store.list(user) if not item.erased}
    assert left == set(others)
    assert not left & set(about)
    assert site.store.subjects.find("4711") is None


def test_a_user_scope_takes_all_of_one_person(site: Site) -> None:
    """Colleagues' content stays, and so do the pseudonyms that they use too."""
    asked(site, ADA, "4711")
    mine = asked(site, BEN, "4711")
    done, _ = erase(site, Scope(USER, ADA))
    assert done.conversations == 1
    assert site.store.messages(mine, BEN)[0].text == "Xyloprompt"
    assert site.store.subjects.find("4711")


def test_nothing_to_erase_is_an_error(site: Site) -> None:
    """A wrong id, a person without content, and what was erased before."""
    conversation = asked(site)
    with pytest.raises(NotFoundError):
        erase(site, Scope(CONVERSATION, "cnv_none"))
    with pytest.raises(NotFoundError):
        erase(site, Scope(USER, BEN))
    erase(site, Scope(CONVERSATION, conversation))
    with pytest.raises(ConflictError, match="erased before"):
        erase(site, Scope(CONVERSATION, conversation))


def test_one_conversation_is_about_one_patient(site: Site) -> None:
    """A second number is refused; none, or the same again, goes on."""
    conversation = asked(site, ADA, "4711")
    subject = site.store.subjects.ensure("4711")
    assert site.store.begin_turn(conversation, ADA, "x", MODEL).subject == subject
    assert site.store.begin_turn(conversation, ADA, "x", MODEL, subject).subject == subject
    with pytest.raises(ConflictError, match="another patient"):
        site.store.begin_turn(conversation, ADA, "x", MODEL, site.store.subjects.ensure("0815"))


def test_a_conversation_gets_its_patient_later(site: Site) -> None:
    """From then on it is theirs as a whole."""
    conversation = asked(site)
    subject = site.store.subjects.ensure("4711")
    site.store.begin_turn(conversation, ADA, "x", MODEL, subject)
    assert site.store.get(conversation, ADA).subject == subject


def test_nothing_new_goes_under_an_erased_pseudonym(site: Site) -> None:
    """A question that looked the pseudonym up just before its erasure is refused."""
    asked(site, ADA, "4711")
    subject = site.store.subjects.ensure("4711")
    erase(site, Scope(PATIENT, subject))
    with pytest.raises(ConflictError):
        site.store.begin(ADA, "x", "chat", "and now?", MODEL, subject)
    other = asked(site)
    with pytest.raises(ConflictError):
        site.store.begin_turn(other, ADA, "x", MODEL, subject)


# --- holds


@pytest.mark.parametrize("kind", [PATIENT, USER, CONVERSATION, ALL])
def test_a_hold_forbids_every_way_to_erase(site: Site, kind: str) -> None:
    """Whatever it names, whatever the erasure names: one overlap, and nothing is erased."""
    conversation = asked(site, ADA, "4711")
    asked(site, ADA, "0815")
    targets = {
        PATIENT: site.store.subjects.ensure("4711"), USER: ADA, CONVERSATION: conversation, ALL: "",
    }  # fmt: skip
    hold = site.store.custody.place_hold(Scope(kind, targets[kind]), "case 1", "usr_officer")
    for other in (PATIENT, USER, CONVERSATION):
        with pytest.raises(ConflictError, match=hold.id):
            erase(site, Scope(other, targets[other]))
    assert not any(item.erased for item in site.store.list(ADA))
    site.store.custody.release_hold(hold.id, "closed", "usr_officer")
    for planned in site.store.custody.unfinished():
        site.store.custody.finish(planned.id, None, void=True)
    erase(site, Scope(USER, ADA))


def test_a_patient_can_be_held_before_anything_is_kept(site: Site) -> None:
    """Erasing such a pseudonym is refused too."""
    subject = site.store.subjects.ensure("4711")
    site.store.custody.place_hold(Scope(PATIENT, subject), "case 1", "usr_officer")
    with pytest.raises(ConflictError):
        erase(site, Scope(PATIENT, subject))
    assert site.store.subjects.find("4711") == subject


def test_a_hold_ends_once(site: Site) -> None:
    """It stays listed with who ended it and why."""
    hold = site.store.custody.place_hold(Scope(ALL), "case 1", "usr_officer")
    site.store.custody.release_hold(hold.id, "closed", "usr_other")
    with pytest.raises(ConflictError):
        site.store.custody.release_hold(hold.id, "again", "usr_other")
    with pytest.raises(NotFoundError):
        site.store.custody.release_hold("hld_none", "x", "usr_other")
    (found,) = site.store.custody.holds()
    assert (found.released_by, found.release_reason) == ("usr_other", "closed")


# --- schedules


def purge(site: Site, before: dict[str, float], limit: int = 100) -> int:
    custody = site.store.custody
    marked = custody.mark_due(custody.plan(PURGE, Scope(ALL), "schedule", "s"), before, limit)
    custody.destroy(marked)
    custody.finish(marked.id, 9)
    return marked.conversations


def test_what_was_used_lately_is_not_due(site: Site) -> None:
    """The last use counts, not the first, and each origin has its own time."""
    old, used, api = asked(site), asked(site), asked(site, origin="api")
    site.clock.advance(40 * DAY)
    site.store.begin_turn(used, ADA, "again", MODEL)
    now = site.clock.now()
    before = {"chat": now - 30 * DAY, "api": now - 50 * DAY}
    due = {kind.origin: (kind.due, kind.held) for kind in site.store.custody.due(before)}
    assert due == {"api": (0, 0), "chat": (1, 0)}
    assert purge(site, before) == 1
    erased = {item.id: item.erased for item in site.store.list(ADA)}
    assert (erased[used], erased[api]) == (None, None)
    gone = erased[old]
    assert gone is not None
    assert gone.by_schedule


def test_the_schedule_leaves_what_is_held(site: Site) -> None:
    """It is counted as held, and purged when the hold is released."""
    held, free = asked(site, ADA, "4711"), asked(site, BEN)
    hold = site.store.custody.place_hold(
        Scope(PATIENT, site.store.subjects.ensure("4711")), "case 1", "usr_officer"
    )
    site.clock.advance(400 * DAY)
    before = {"chat": site.clock.now() - 365 * DAY}
    assert [(kind.due, kind.held) for kind in site.store.custody.due(before)] == [(1, 1)]
    assert purge(site, before) == 1
    assert site.store.get(free, BEN).erased
    assert not site.store.get(held, ADA).erased
    site.store.custody.release_hold(hold.id, "closed", "usr_officer")
    assert purge(site, before) == 1


def test_one_purge_takes_no_more_than_its_limit(site: Site) -> None:
    """The rest is due the next time."""
    for _ in range(5):
        asked(site)
    before = {"chat": site.clock.now() + 1}
    assert [purge(site, before, limit=3) for _ in range(3)] == [3, 2, 0]


def test_the_record_is_needed_from_the_oldest_kept_conversation_on(site: Site) -> None:
    """Erased ones need no entries, unless a hold covers them or comes itself from that time."""
    first = asked(site)
    made = site.clock.now()
    site.clock.advance(10)
    asked(site, BEN)
    assert site.store.custody.oldest_kept()[0] == made
    erase(site, Scope(CONVERSATION, first))
    assert site.store.custody.oldest_kept()[0] == made + 10
    site.store.custody.place_hold(Scope(USER, ADA), "case 1", "o")
    assert site.store.custody.oldest_kept()[0] == made
    site.store.custody.place_hold(Scope(ALL), "case 2", "o")
    assert site.store.custody.oldest_kept() == (0.0, 0)
