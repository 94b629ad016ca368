"""The few words that a decision about models or publishers is recorded with."""

from __future__ import annotations

from appliance.conversations.retention import stated
from appliance.errors import BadInputError


def reason_of(text: str) -> str:
    """Return the reason as the record keeps it, for ever; raise BadInputError.

    The rule is that of legal bases: 3 to 160 letters, digits and plain signs on one line.
    """
    try:
        return stated(text, "the reason")
    except BadInputError as error:
        raise BadInputError(
            error.message,
            hint="say why in a few words, for example: withdrawn by its publisher, ticket 4711; "
            "no person's name, because the record keeps it for ever",
        ) from error
