"""What stands in an address is an id of ours or a name that can exist; anything else is no page.

Operations write ids into a record that is for ever. Free text in an address, such as a patient's
name typed behind /c/, must not get that far: it finds no route, so no view runs, and the 404 is
neither quoted nor recorded.
"""

from __future__ import annotations

import re
from typing import ClassVar

from flask import Flask
from werkzeug.routing import BaseConverter, PathConverter, ValidationError

from appliance.bundles.manifest import MODEL_NAME, MODEL_VERSION
from appliance.identity.accounts import NAME_PATTERN


class _Pattern(BaseConverter):
    """Takes one step of a path when all of it matches `pattern`."""

    pattern: ClassVar[re.Pattern[str]]

    def to_python(self, value: str) -> str:
        """Return the text as it is; for any other text there is no such page."""
        if not self.pattern.fullmatch(value):
            raise ValidationError
        return value


class Conversation(_Pattern):
    pattern = re.compile(r"cnv_[0-9a-f]{24}")


class Message(_Pattern):
    pattern = re.compile(r"msg_[0-9a-f]{24}")


class Key(_Pattern):
    pattern = re.compile(r"key_[0-9a-f]{24}")


class Search(_Pattern):
    pattern = re.compile(r"sch_[0-9a-f]{24}")


class Hold(_Pattern):
    pattern = re.compile(r"hld_[0-9a-f]{24}")


class Erasure(_Pattern):
    pattern = re.compile(r"ers_[0-9a-f]{24}")


class Person(_Pattern):
    pattern = NAME_PATTERN


class Model(_Pattern):
    pattern = MODEL_NAME


class Version(_Pattern):
    pattern = MODEL_VERSION


class Wish(PathConverter):
    """Takes the rest of a path, also one that begins with a slash."""

    part_isolating = False
    regex = r".+?"


CONVERTERS = {
    "conversation": Conversation,
    "message": Message,
    "key": Key,
    "search": Search,
    "hold": Hold,
    "erasure": Erasure,
    "person": Person,
    "model": Model,
    "version": Version,
    "wish": Wish,
}


def install(app: Flask) -> None:
    """Teach the routes these steps; must come before any route is added."""
    app.url_map.converters.update(CONVERTERS)
    # `//` is answered as it was sent: a redirect to another address would go by unrecorded.
    app.url_map.merge_slashes = False
