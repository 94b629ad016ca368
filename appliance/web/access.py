"""Who may call a view: every view declares it, and a view that does not is closed to everyone.

`@allow(Permission.X)` names the one permission a view needs; `@public("reason")` opens it to
people who are not signed in and says why that is safe. `security.guard` reads the declaration
before the view runs. Not here: what a permission lets an actor do inside an operation, which
each operation checks again for itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from appliance.identity.permissions import Permission

View = TypeVar("View", bound=Callable[..., Any])
_KEY = "appliance_access"


@dataclass(frozen=True)
class Access:
    """What a view declared. `permission` is None only for a public view, with its `reason`.

    `touch`: the request counts as activity of the person. `with_initial_password`: usable before
    a password that somebody else chose has been replaced.
    """

    permission: Permission | None
    reason: str = ""
    touch: bool = True
    with_initial_password: bool = False


def allow(
    permission: Permission, *, touch: bool = True, with_initial_password: bool = False
) -> Callable[[View], View]:
    """Open the view to actors that hold `permission`, and to nobody else."""
    return _declare(Access(permission, touch=touch, with_initial_password=with_initial_password))


def public(reason: str) -> Callable[[View], View]:
    """Open the view to everyone; `reason` says why nothing is given away."""
    return _declare(Access(None, reason=reason))


def access_of(view: Callable[..., Any] | None) -> Access | None:
    """Return what the view declared, None when it declared nothing (then: nobody)."""
    found = getattr(view, "__dict__", {}).get(_KEY)
    return found if isinstance(found, Access) else None


def _declare(access: Access) -> Callable[[View], View]:
    def mark(view: View) -> View:
        view.__dict__[_KEY] = access
        return view

    return mark
