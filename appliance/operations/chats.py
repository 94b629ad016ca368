"""A person's own conversations: open, rename, archive.

Content is closed by default: nobody but the author opens a conversation, whatever their role.
"""

from __future__ import annotations

import builtins
from contextlib import AbstractContextManager

from appliance.assembly import Appliance
from appliance.audit.actions import Outcome
from appliance.conversations.store import ConversationInfo, MessageInfo
from appliance.errors import BadInputError, NotFoundError
from appliance.identity.permissions import Actor, Permission, require
from appliance.operations.recording import Change, Recorder

MAX_TITLE = 200


class Chats:
    """What the author of a conversation may do with it."""

    def __init__(self, appliance: Appliance) -> None:
        self._store = appliance.conversations
        self._recorder = Recorder(appliance.ledger)

    def list(
        self, actor: Actor, *, archived: bool = False, search: str = ""
    ) -> builtins.list[ConversationInfo]:
        """Return the actor's own conversations, newest first, without those made by programs."""
        require(actor, Permission.OWN_CONTENT)
        if search:
            # A search opens every text of its owner's, so it is recorded like reading them.
            self._recorder.note(actor, "conversation.search", Outcome.SUCCESS)
        found = self._store.list(actor.user, archived=archived, search=search)
        return [conversation for conversation in found if conversation.origin != "api"]

    def open(
        self, actor: Actor, conversation_id: str
    ) -> tuple[ConversationInfo, builtins.list[MessageInfo]]:
        """Return one conversation with its texts; reading it is recorded."""
        self._recorder.authorise(
            actor, Permission.OWN_CONTENT, "conversation.read", conversation_id
        )
        try:
            conversation = self._store.get(conversation_id, actor.user)
        except NotFoundError as error:
            self._recorder.refuse(actor, "conversation.read", error, conversation_id)
            raise
        self._recorder.note(actor, "conversation.read", Outcome.SUCCESS, entity=conversation_id)
        return conversation, self._store.messages(conversation_id, actor.user)

    def rename(self, actor: Actor, conversation_id: str, title: str) -> None:
        """Give a conversation another name of 1 to 200 characters; the name is sealed too."""
        with self._change(actor, "conversation.rename", conversation_id):
            words = " ".join(title.split())
            if not words or len(words) > MAX_TITLE:
                raise BadInputError(f"a name has 1 to {MAX_TITLE} characters")
            self._store.rename(conversation_id, actor.user, words)

    def archive(self, actor: Actor, conversation_id: str) -> None:
        """Take a conversation out of the list; nothing is deleted."""
        with self._change(actor, "conversation.archive", conversation_id):
            self._store.set_archived(conversation_id, actor.user, True)

    def restore(self, actor: Actor, conversation_id: str) -> None:
        """Put an archived conversation back into the list."""
        with self._change(actor, "conversation.restore", conversation_id):
            self._store.set_archived(conversation_id, actor.user, False)

    def message(self, actor: Actor, message_id: str) -> MessageInfo:
        """Return one message of the actor's own, as part of a conversation that is open."""
        require(actor, Permission.OWN_CONTENT)
        return self._store.message(message_id, actor.user)

    def _change(
        self, actor: Actor, action: str, conversation_id: str
    ) -> AbstractContextManager[Change]:
        return self._recorder.change(actor, Permission.OWN_CONTENT, action, conversation_id)
