"""
Who lives in the demo: design.md §4. Names are fixed; tests and docs use them.

All of them exist before their first sign-in. Any other name may sign in too, with the same
password as the rest, because "a new user's first minute" is one of the things a demo shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .workdir import Secrets


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in."""

    name: str
    admin: bool = False


PEOPLE = (
    Person("ada", admin=True),
    Person("alice"),
    Person("bob"),
    Person("carol"),
    Person("dave"),
)


def sign_ins(secrets: Secrets) -> list[dict[str, str | bool]]:
    """Return name, password and role of everybody, as the ready file lists them."""
    return [
        {
            "name": person.name,
            "password": secrets.admin_password if person.admin else secrets.user_password,
            "admin": person.admin,
        }
        for person in PEOPLE
    ]


def ready_line(url: str, secrets: Secrets, *, sso: bool = False) -> str:
    """Return the line that tells a newcomer where to go and who to be."""
    others = "with" if sso else "or any new name with"
    where = " at the example provider" if sso else ""
    admins = ", ".join(person.name for person in PEOPLE if person.admin)
    users = ", ".join(person.name for person in PEOPLE if not person.admin)
    return (
        f"Ready: {url} — sign in{where} as {users} {others} the password "
        f"{secrets.user_password}, or as the platform admin {admins} with "
        f"{secrets.admin_password}. Ctrl-C stops everything."
    )
