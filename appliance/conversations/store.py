"""Conversations at rest: every text and title sealed under its conversation's own key.

appliance.db holds ciphertext and facts, keys.db the wrapped keys. Only the author of a
conversation can name it; to all others it does not exist. Each text is bound to its row, so
that rows cannot be swapped. Search opens texts in memory and leaves no index behind.

Not here: whether a question may be asked (policy), and that it is recorded first (operations).
"""

from __future__ import annotations

import contextlib

import sqlalchemy as sa

from appliance.clock import Clock
from appliance.conversations import rows
from appliance.conversations.custody import Custody
from appliance.conversations.keys.store import KeyRing
from appliance.conversations.messages import store as messages
from appliance.conversations.rows import UNREADABLE, ConversationRow
from appliance.conversations.subjects.store import Subjects
from appliance.conversations.turns.store import Turns
from appliance.conversations.values import (
    ClosedAnswer,
    ConversationInfo,
    MessageInfo,
    ModelUsed,
    Turn,
    UnfinishedAnswer,
    fitting_title,
)
from appliance.database import Database
from appliance.errors import VerificationError
from appliance.sealing import ContentKey, KeyWrapper

__all__ = [
    "UNREADABLE",
    "ClosedAnswer",
    "ConversationInfo",
    "Conversations",
    "MessageInfo",
    "ModelUsed",
    "Turn",
    "UnfinishedAnswer",
]


class Conversations(Turns):
    """Every conversation, for its author."""

    def __init__(
        self, database: Database, keys_database: Database, wrapper: KeyWrapper, clock: Clock
    ) -> None:
        super().__init__(database, KeyRing(keys_database, wrapper, clock), clock)
        self.subjects = Subjects(self._keys, clock)
        self.custody = Custody(database, self._keys, clock)

    @property
    def keys(self) -> KeyRing:
        """The keys of everything that is sealed."""
        return self._keys

    def check_key(self) -> None:
        """Raise VerificationError when the key file is not the one that belongs to these keys."""
        self._keys.check()

    def get(self, conversation_id: str, user_id: str) -> ConversationInfo:
        """Return it; raise NotFoundError also when it is someone else's."""
        with self._database.reading() as session:
            row = rows.owned(session, conversation_id, user_id)
            erased = rows.erasure_of(session, row)
        if erased is not None:
            return rows.described(row, None, erased)
        return rows.opened(row, self._keys.get(row.key_id))

    def rename(self, conversation_id: str, user_id: str, title: str) -> None:
        """Replace the title."""
        with self._database.session() as session:
            row = rows.usable(session, conversation_id, user_id)
            key = self._keys.get(row.key_id)
            row.sealed_title = key.seal(fitting_title(title), rows.title_place(row.id)).data

    def set_archived(self, conversation_id: str, user_id: str, archived: bool) -> None:
        """Put it aside, or bring it back; nothing is deleted."""
        with self._database.session() as session:
            rows.owned(session, conversation_id, user_id).archived = archived

    def messages(self, conversation_id: str, user_id: str) -> list[MessageInfo]:
        """Return its messages in order, opened; the texts of an erased one are empty."""
        with self._database.reading() as session:
            conversation = rows.owned(session, conversation_id, user_id)
            found = messages.of(session, conversation_id)
        key = self._key_of(conversation)
        return [messages.opened(row, key) for row in found]

    def message(self, message_id: str, user_id: str) -> MessageInfo:
        """Return one message, opened; NotFoundError also when it is someone else's."""
        with self._database.reading() as session:
            row = messages.existing(session, message_id)
            conversation = rows.owned(session, row.conversation_id, user_id)
        return messages.opened(row, self._key_of(conversation))

    def _key_of(self, row: ConversationRow) -> ContentKey | None:
        return None if row.erased_by is not None else self._keys.get(row.key_id)

    # Last, because from here on the name `list` means this method to a reader of annotations.
    def list(
        self, user_id: str, *, archived: bool = False, search: str = ""
    ) -> list[ConversationInfo]:
        """Return the user's conversations, latest use first.

        `search` keeps those where a title or text contains it, in whatever case; nothing is left
        in an erased one that could be found.
        """
        wanted = search.strip().casefold()
        query = (
            sa.select(ConversationRow)
            .where(ConversationRow.user_id == user_id, ConversationRow.archived == archived)
            .order_by(ConversationRow.updated.desc(), ConversationRow.id)
        )
        if wanted:
            query = query.where(ConversationRow.erased_by.is_(None))
        with self._database.reading() as session:
            found = [(row, rows.erasure_of(session, row)) for row in session.scalars(query)]
        keys = self._keys.those_that_open({row.key_id for row, erased in found if not erased})
        return [
            rows.listed(row, keys.get(row.key_id), erased)
            for row, erased in found
            if not wanted or self._contains(row, keys.get(row.key_id), wanted)
        ]

    def _contains(self, row: ConversationRow, key: ContentKey | None, wanted: str) -> bool:
        if key is None:
            return False
        if wanted in rows.listed(row, key, None).title.casefold():
            return True
        with self._database.reading() as session:
            found = messages.of(session, row.id)
        for message in found:
            # What does not open cannot be found; reading the conversation says so aloud.
            with contextlib.suppress(VerificationError):
                if wanted in key.open(message.sealed, messages.place(message.id)).casefold():
                    return True
        return False
