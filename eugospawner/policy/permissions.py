"""
Permissions: the one question whether somebody may do something.

Every page, route, command and rule asks `may`; nothing else compares names or roles. Roles from
the identity provider join here with the sign-in; until then there are the owner of a workspace,
members and managers of a project, owners and admins of an organization, and platform admins.
Source: design §5 (admission order); style §3.2; F105 to F107.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, assert_never

from eugospawner.policy.accounts import (
    Actor,
    Group,
    Organization,
    OrganizationRole,
    Person,
    Project,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class Action(StrEnum):
    """What somebody may want to do."""

    START = "start"
    BIND_PLAN = "bind-plan"
    CHANGE_QUOTA = "change-quota"
    SEE_USAGE = "see-usage"
    STEER = "steer"


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
    if actor.is_admin:
        return True
    asking = people.get(actor.name) or Person(name=actor.name)
    match action:
        case Action.START:
            return isinstance(target, Workspace) and actor.name == target.owner.name
        case Action.SEE_USAGE:
            return _is_insider(asking, target) or _leads(asking, _organization(target))
        case Action.BIND_PLAN:
            project = _project(target)
            # A personal project has its owner for a manager, who must not grant themselves a plan.
            # Who has left the group manages its projects no longer, whatever a list still says.
            manages = (
                project is not None
                and actor.name in project.managers
                and _is_member(asking, project)
            )
            return manages or (project is not None and _leads(asking, _organization(target)))
        case Action.CHANGE_QUOTA:
            return _project(target) is not None and _leads(asking, _organization(target))
        case Action.STEER:
            return False
        case _:
            assert_never(action)


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


def _is_insider(asking: Person, target: Object) -> bool:
    match target:
        case Workspace(owner=owner) if asking.name == owner.name:
            return True
        case Person(name=name):
            return asking.name == name
        case Group(key=key):
            return key in asking.groups
        case _:
            project = _project(target)
    if project is None:
        return False
    if project.group is None:
        return asking.name in project.managers
    return _is_member(asking, project)


def _is_member(asking: Person, project: Project) -> bool:
    return project.group is not None and project.group.key in asking.groups


def _leads(asking: Person, organization: str) -> bool:
    return (
        organization != ""
        and asking.organization == organization
        and asking.role in {OrganizationRole.OWNER, OrganizationRole.ADMIN}
    )
