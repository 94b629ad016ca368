"""Who sits at this terminal, as the record names them.

The name comes from the operating system: under `sudo` it is the person who called it, not root.
Only root is believed about SUDO_USER, which anybody else could set to a colleague's name; what
root says about itself cannot be checked by any program.
"""

from __future__ import annotations

import os
import pwd

from appliance.identity.permissions import Actor
from appliance.identity.roles import Role

SOURCE = "console"


def console_actor() -> Actor:
    """Return the person at the machine's own command line."""
    name = login_name()
    return Actor(user=f"os:{name}", name=name, role=Role.CONSOLE, method="console", source=SOURCE)


def login_name() -> str:
    """Return the login name of the real person."""
    uid = os.getuid()
    if uid == 0 and (caller := os.environ.get("SUDO_USER")):
        return caller
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        # A container may run under a number that has no name.
        return f"uid-{uid}"
