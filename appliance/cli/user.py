"""`appliance user`: who may sign in."""

from __future__ import annotations

import click

from appliance.cli import presenting
from appliance.cli.actor import console_actor
from appliance.cli.commands import json_option, noun
from appliance.cli.invocation import Invocation, pass_invocation
from appliance.identity.accounts import User
from appliance.identity.roles import ASSIGNABLE

ROLES = sorted(map(str, ASSIGNABLE))


@noun("user")
def user() -> None:
    """Add people, shut them out, let them in again."""


@user.command("add")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the person may do.")
@click.option("--display-name", default="", metavar="TEXT", help="The name as pages show it.")
@json_option
@pass_invocation
def add(invocation: Invocation, name: str, role: str, display_name: str) -> None:
    """Add a person and print a first password.

    The password is shown once. The person must choose another one at the first sign-in.

    \b
    Example:
      appliance user add eva --role clinician --display-name "Dr Eva Lind"
    """
    with invocation.operations() as verbs:
        added, password = verbs.people.add_user(console_actor(), name, role, display_name)
    value = {"id": added.id, "name": added.name, "role": str(added.role), "password": password}

    def people() -> None:
        presenting.say(f"{added.role} {added.name} {password}")
        presenting.remark(f"added {added.name}; the password is shown this once")
        presenting.remark(f"next: give it to {added.name}, who must change it at the first sign-in")

    invocation.present(value, people)


@user.command("list")
@json_option
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List every account, disabled ones too.

    \b
    Example:
      appliance user list
    """
    with invocation.operations() as verbs:
        users = verbs.people.list_users(console_actor())
        state = {
            person.id: _state(person, verbs.appliance.people.locked_for(person)) for person in users
        }
    columns = ("name", "role", "display name", "state", "since", "id")
    invocation.present(
        [_value(person, state[person.id]) for person in users],
        lambda: presenting.table(
            columns,
            [
                (person.name, person.role, person.display_name, state[person.id],
                 presenting.moment(person.created), person.id)
                for person in users
            ],
            empty="there is no account yet; `appliance user add` makes one",
            spare=("id", "since"),
        ),
    )  # fmt: skip


@user.command("disable")
@click.argument("name")
@json_option
@pass_invocation
def disable(invocation: Invocation, name: str) -> None:
    """Shut a person out at once: sessions end, API keys are revoked for good.

    What the person wrote stays as it is, and so does the record.

    \b
    Example:
      appliance user disable eva
    """
    with invocation.operations() as verbs:
        verbs.people.disable_user(console_actor(), name)
    invocation.present({"name": name, "disabled": True}, lambda: _say_disabled(name))


@user.command("enable")
@click.argument("name")
@json_option
@pass_invocation
def enable(invocation: Invocation, name: str) -> None:
    """Let a disabled person sign in again.

    API keys that were revoked stay revoked; make new ones.

    \b
    Example:
      appliance user enable eva
    """
    with invocation.operations() as verbs:
        verbs.people.enable_user(console_actor(), name)
    invocation.present(
        {"name": name, "disabled": False},
        lambda: presenting.say(f"{name} may sign in again; old API keys stay revoked"),
    )


@user.command("unlock")
@click.argument("name")
@json_option
@pass_invocation
def unlock(invocation: Invocation, name: str) -> None:
    """End a lock-out after too many wrong passwords.

    \b
    Example:
      appliance user unlock eva
    """
    with invocation.operations() as verbs:
        verbs.people.unlock_user(console_actor(), name)
    invocation.present(
        {"name": name, "locked": False},
        lambda: presenting.say(f"{name} is not locked out any more and may try again"),
    )


@user.command("reset")
@click.argument("name")
@json_option
@pass_invocation
def reset(invocation: Invocation, name: str) -> None:
    """Replace a forgotten password by a new first one, shown once.

    The person's open sessions end. API keys go on working; revoke them with `appliance key
    revoke` if the password may have leaked.

    \b
    Example:
      appliance user reset eva
    """
    with invocation.operations() as verbs:
        password = verbs.people.reset_password(console_actor(), name)

    def people() -> None:
        presenting.say(f"{name} {password}")
        presenting.remark("the old password is void and open sessions have ended")
        presenting.remark(f"next: give the new one to {name}; it is shown this once")

    invocation.present({"name": name, "password": password}, people)


def _say_disabled(name: str) -> None:
    presenting.say(f"{name} is disabled: open sessions have ended, API keys are revoked for good")
    presenting.remark(f"next: `appliance user enable {name}` lets them sign in again")


def _state(person: User, locked_s: int) -> str:
    if person.disabled:
        return "disabled"
    if locked_s:
        return f"locked out for {-(-locked_s // 60)} min"
    return "must change password" if person.must_change_password else "active"


def _value(person: User, state: str) -> dict[str, object]:
    return {
        "id": person.id,
        "name": person.name,
        "display_name": person.display_name,
        "role": str(person.role),
        "disabled": person.disabled,
        "must_change_password": person.must_change_password,
        "state": state,
        "created": person.created,
    }
