"""
Permissions: the one question whether somebody may do something.

Every page, route, command and rule asks `may`; nothing else compares names or roles. What a role gives
stands in `roles`; here is how far it reaches: one's own things, those of the organization, or all. A token
that was made for less acts for less, and whoever is suspended may look and stop, no more.
Source: design §5 (admission order); style §3.2; F105 to F107.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from eugospawner.policy import roles
from eugospawner.policy.accounts import (
    Actor,
    Group,
    Organization,
    Person,
    Project,
)
from eugospawner.policy.roles import Action, Grant, Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Before each action in the hub's scopes.
SCOPE: Final = "custom:eugo:"
#: What whoever is suspended may still do.
_WHILE_SUSPENDED: Final = frozenset({Action.VIEW, Action.STOP, Action.SEE_USAGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A workspace as the object of an action: whose it is, and in which project."""

    owner: Person
    project: Project


@dataclass(frozen=True, slots=True)
class Platform:
    """All of it: the catalog, plans, queues, quotas for everybody, and the audit."""


Object: TypeAlias = Workspace | Project | Person | Group | Organization | Platform


def may(actor: Actor, action: Action, target: Object, people: Mapping[str, Person]) -> bool:
    """
    Tell whether *actor* may do *action* to *target*.

    Args:
        people: Who is known, by name; somebody who is not is a member of nothing.
    """
    asking = people.get(actor.name) or Person(name=actor.name)
    if asking.suspended_because and action not in _WHILE_SUSPENDED:
        return False
    if not _in_scope(actor, action, target):
        return False
    if actor.is_admin:
        return True
    if action is Action.BIND_PLAN and _manages(asking, target):
        return True
    return any(_reaches(each.reach, asking, action, target) for each in grants_of(asking, action))


def grants_of(person: Person, action: Action) -> Iterator[Grant]:
    """Yield by what *person* is given *action*."""
    for role in person.roles:
        yield from (each for each in role.grants if each.action is action)
    yield from (each for each in roles.ALWAYS if each.action is action)


def has(person: Person, action: Action) -> bool:
    """Whether *person* is given *action* on what is their own."""
    return any(True for _ in grants_of(person, action))


def giving(keys: Iterable[str], target: Person | Organization) -> tuple[Action, Object]:
    """
    Return what giving or taking roles needs: an action, and what it is done to.

    Nobody gives a role above their own: those that reach beyond an organization are the platform's to give, and
    owners are made by owners.

    Args:
        keys: Of the roles that are given or taken.
        target: Who has them, or the organization that they are in.
    """
    given = frozenset(keys)
    if given & roles.PLATFORM_ROLES:
        return Action.STEER, Platform()
    return (Action.ASSIGN_OWNER if roles.OWNER.key in given else Action.ASSIGN_ROLE), target


def who_may(action: Action, target: Object) -> str:
    """Return who is given *action* on *target*, for whoever is not: the end of "Ask …" (F106)."""
    organization = _organization(target)
    found = [
        role.display_name.lower()
        for role in roles.BUILTIN.values()
        if Grant(action, Reach.ORGANIZATION) in role.grants and organization
    ]
    if action is Action.BIND_PLAN and (project := _project(target)) and project.group is not None:
        found.insert(0, "project manager")
    found += [
        role.display_name.lower()
        for role in roles.BUILTIN.values()
        if Grant(action, Reach.EVERYWHERE) in role.grants
    ]
    return _listed([*found, "platform admin"])


def _listed(names: list[str]) -> str:
    with_articles = [f"{'an' if each[0] in 'aeio' else 'a'} {each}" for each in names]
    *others, last = with_articles
    return f"{', '.join(others)} or {last}" if others else last


def _in_scope(actor: Actor, action: Action, target: Object) -> bool:
    """Whether the token that asks, if one does, was made for it."""
    if actor.scopes is None:
        return True
    scope = f"{SCOPE}{action}"
    return any(f"{scope}{each}" in actor.scopes for each in ("", *_filters(target)))


def _filters(target: Object) -> Iterator[str]:
    match target:
        case Workspace(owner=Person(name=name)) | Person(name=name):
            yield f"!user={name}"
        case Group(key=key):
            yield f"!group=group:{key}"
        case _:
            pass
    if (organization := _organization(target)) != "":
        yield f"!group=organization:{organization}"
    if (project := _project(target)) is not None:
        yield f"!group=project:{project.key}"
        if project.group is not None:
            yield f"!group=group:{project.group.key}"
        else:
            yield from (f"!user={name}" for name in project.managers)


def _reaches(reach: Reach, asking: Person, action: Action, target: Object) -> bool:
    match reach:
        case Reach.EVERYWHERE:
            return True
        case Reach.ORGANIZATION:
            organization = _organization(target)
            return organization != "" and asking.organization == organization
        case Reach.OWN:
            return _is_own(asking, action, target)


def _is_own(asking: Person, action: Action, target: Object) -> bool:
    match target:
        case Workspace(owner=owner) if asking.name == owner.name:
            return True
        case Workspace(project=project):
            return action is Action.SEE_USAGE and _is_insider(asking, project)
        case Person(name=name):
            return asking.name == name
        case Group(key=key):
            return key in asking.groups
        case Project():
            return _is_insider(asking, target)
        case _:
            return False


def _is_insider(asking: Person, project: Project) -> bool:
    if project.group is None:
        return asking.name in project.managers
    return _is_member(asking, project)


def _manages(asking: Person, target: Object) -> bool:
    project = _project(target)
    # A personal project has its owner for a manager, who must not grant themselves a plan.
    # Who has left the group manages its projects no longer, whatever a list still says.
    return (
        project is not None
        and (asking.name in project.managers or project.key in asking.manages)
        and _is_member(asking, project)
    )


def _is_member(asking: Person, project: Project) -> bool:
    return project.group is not None and project.group.key in asking.groups


def _project(target: Object) -> Project | None:
    match target:
        case Workspace(project=project):
            return project
        case Project():
            return target
        case _:
            return None


def _organization(target: Object) -> str:
    """Return the key of the organization that *target* belongs to; empty: none."""
    match target:
        case Organization(key=key):
            return key
        case Person(organization=key):
            return key
        case _:
            project = _project(target)
            owning = None if project is None else project.organization
            return "" if owning is None else owning.key
