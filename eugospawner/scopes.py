"""
Scopes: what somebody may do here, as JupyterHub's roles and tokens carry it.

Each action is a custom scope, ``custom:eugo:view``, filtered to whom it reaches: ``!user=bob``,
``!group=organization:acme``, ``!group=project:vision``, ``!group=group:lab``; unfiltered: everywhere. The hub's roles give
scopes to people and to their tokens, so a token can be made for less than its owner may. The directory
stays the word on people: a scope alone gives nobody anything (`policy.permissions.may`).
Source: JupyterHub 6.1, custom scopes and roles from the authenticator (`manage_roles`); F105 to F107.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Final

from eugospawner.policy.permissions import SCOPE
from eugospawner.policy.roles import ALWAYS, MEANINGS, Action, Reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from eugospawner.policy.accounts import Person

#: For `JupyterHub.custom_scopes`.
DEFINITIONS: Final[Mapping[str, Mapping[str, str]]] = {
    f"{SCOPE}{action}": {"description": MEANINGS[action]} for action in Action
}
#: For `JupyterHub.extra_user_scopes` where the authenticator does not manage roles: people's tokens may
#: then be used for whatever their owners may.
UNFILTERED: Final = tuple(DEFINITIONS)

#: What of the hub's own scopes comes along: whoever may look into everybody's workspaces has to get past the hub.
HUB: Final = frozenset({"access:servers"})
#: A role of the hub begins with a letter and is not longer than this.
_LONGEST: Final = 200


def hub_roles(person: Person, *, is_admin: bool) -> list[dict[str, Any]]:
    """
    Return the hub's roles of *person*, as `manage_roles` takes them.

    They replace all that somebody had, so the hub's own ``user`` and ``admin`` are among them.
    """
    found: list[dict[str, Any]] = [{"name": "user"}]
    if is_admin:
        found.append({"name": "admin"})
    scopes: set[str] = set()
    for role in person.roles:
        scopes |= {_scope(each.action, each.reach, person) for each in role.grants}
    scopes |= {_scope(each.action, each.reach, person) for each in ALWAYS}
    scopes |= set(_of_groups(person))
    scopes.discard("")
    if f"{SCOPE}{Action.ACCESS}" in scopes:
        scopes |= HUB
    title = ", ".join(role.key for role in person.roles)
    where = f" in {person.organization}" if person.organization else ""
    found.append(
        {
            "name": _name(scopes, person),
            "description": f"Eugo: {title}{where}"[:200],
            "scopes": sorted(scopes),
        }
    )
    return found


def _of_groups(person: Person) -> Iterator[str]:
    for group in person.groups:
        yield f"{SCOPE}{Action.SEE_USAGE}!group=group:{group}"
        # Which projects those are, and who manages which, is the directory's to say.
        yield f"{SCOPE}{Action.BIND_PLAN}!group=group:{group}"


def _scope(action: Action, reach: Reach, person: Person) -> str:
    match reach:
        case Reach.OWN:
            return f"{SCOPE}{action}!user"
        case Reach.ORGANIZATION if person.organization:
            return f"{SCOPE}{action}!group=organization:{person.organization}"
        case Reach.EVERYWHERE:
            return f"{SCOPE}{action}"
        case _:
            return ""


def _name(scopes: set[str], person: Person) -> str:
    """Return the name of the role with these *scopes*: people who may the same share one."""
    keys = "-".join([person.organization, *(role.key for role in person.roles)])
    readable = re.sub(r"[^a-z0-9]+", "-", keys.lower()).strip("-")[:_LONGEST]
    digest = hashlib.blake2b(" ".join(sorted(scopes)).encode(), digest_size=4).hexdigest()
    return "-".join(filter(None, ("eugo", readable, digest)))
