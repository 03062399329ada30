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

from eugospawner.policy.accounts import Actor, OrganizationRole, Person, Project

if TYPE_CHECKING:
    from collections.abc import Mapping


class Action(StrEnum):
    """What somebody may want to do."""

    START = "start"
    BIND_PLAN = "bind-plan"
    CHANGE_QUOTA = "change-quota"
    SEE_USAGE = "see-usage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A workspace as the object of an action: whose it is, and in which project."""

    owner: Person
    project: Project


Object: TypeAlias = Workspace | Project


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
            return _is_insider(asking, target) or _leads(asking, _project(target))
        case Action.BIND_PLAN:
            project = _project(target)
            # A personal project has its owner for a manager, who must not grant themselves a plan.
            # Who has left the group manages its projects no longer, whatever a list still says.
            manages = actor.name in project.managers and _is_member(asking, project)
            return manages or _leads(asking, project)
        case Action.CHANGE_QUOTA:
            return _leads(asking, _project(target))
        case _:
            assert_never(action)


def _project(target: Object) -> Project:
    return target.project if isinstance(target, Workspace) else target


def _is_insider(asking: Person, target: Object) -> bool:
    project = _project(target)
    if isinstance(target, Workspace) and asking.name == target.owner.name:
        return True
    if project.group is None:
        return asking.name in project.managers
    return _is_member(asking, project)


def _is_member(asking: Person, project: Project) -> bool:
    return project.group is not None and project.group.key in asking.groups


def _leads(asking: Person, project: Project) -> bool:
    organization = project.organization
    return (
        organization is not None
        and asking.organization == organization.key
        and asking.role in {OrganizationRole.OWNER, OrganizationRole.ADMIN}
    )
