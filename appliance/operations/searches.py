"""Searches of the record that a person keeps: save, list, delete, each for its owner alone.

What was saved is recorded by its id, never by its texts: they may hold a patient's name. Opening
one is an ordinary search, and recorded as such.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping

from appliance.assembly import Appliance
from appliance.audit.query import Query
from appliance.errors import BadInputError
from appliance.identity.permissions import Actor, Permission, require
from appliance.identity.searches.store import SavedSearch
from appliance.operations.recording import Recorder


class SearchesOperations:
    """What may be done with one's own saved searches."""

    def __init__(self, appliance: Appliance) -> None:
        self._searches = appliance.searches
        self._recorder = Recorder(appliance.ledger)

    def save(self, actor: Actor, name: str, filters: Mapping[str, str]) -> SavedSearch:
        """Keep these filters under a name of 1 to 60 characters.

        Raises BadInputError when there is no filter or one cannot be understood, ConflictError
        when the name is taken.
        """
        with self._recorder.change(actor, Permission.RECORD_READ, "search.save") as change:
            if not filters:
                raise BadInputError(
                    "there is no filter to save", hint="search for something first, then save it"
                )
            Query.from_json(filters)
            saved = self._searches.save(actor.user, name, filters)
            change.entity = saved.id
        return saved

    def delete(self, actor: Actor, search_id: str) -> None:
        """Forget a search of the actor's own."""
        with self._recorder.change(actor, Permission.RECORD_READ, "search.delete", search_id):
            self._searches.delete(search_id, actor.user)

    # Last, because from here on the name `list` means this method to a reader of annotations.
    def list(self, actor: Actor) -> builtins.list[SavedSearch]:
        """Return the actor's own searches by name."""
        require(actor, Permission.RECORD_READ)
        return self._searches.list(actor.user)
