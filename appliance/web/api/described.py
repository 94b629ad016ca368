"""What a route of the public API takes and gives, said where the route is.

The same types check the bodies and hold the replies, so that the OpenAPI document made of them
(`openapi.py`) cannot drift. A route without a description fails a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from appliance.web.api.bodies import Body

View = TypeVar("View", bound=Callable[..., Any])
_KEY = "appliance_description"
JSON = "application/json"


@dataclass(frozen=True)
class Description:
    """`piece` is one of the parts in which `reply` may be streamed, as the media type `stream`.

    `reply` is a type (JSON), or the media type of something that is none. `names_entry`: headers
    name the answer, and where it is not streamed, the entry of the record that ends it.
    `status` is that of the reply: 403 where nothing else is ever answered.
    """

    summary: str
    body: type[Body] | None = None
    reply: Any = None
    piece: Any = None
    stream: str = ""
    names_entry: bool = False
    status: int = 200


def described(description: Description) -> Callable[[View], View]:
    """Say what the view takes and gives."""

    def mark(view: View) -> View:
        view.__dict__[_KEY] = description
        return view

    return mark


def description_of(view: Callable[..., Any] | None) -> Description | None:
    """Return what was said of the view, or null."""
    found = getattr(view, "__dict__", {}).get(_KEY)
    return found if isinstance(found, Description) else None
