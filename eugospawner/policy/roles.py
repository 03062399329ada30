"""
Roles: which actions somebody is given, and on whose things.

A role is a set of grants: an action and how far it reaches. Six of the actions on a workspace are permissions
that an organization may put together to roles of its own; those roles reach only what is somebody's own, so
that nobody makes themselves an admin by inventing a role. Whoever has several roles may what any of them
gives. Source: F2, F105 to F107; design §4.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Action(StrEnum):
    """What somebody may want to do; the words are those of scopes, tables and the audit."""

    VIEW = "view"
    CREATE = "create"
    DEPLOY = "deploy"
    ACCESS = "access"
    STOP = "stop"
    SUSPEND = "suspend"
    TERMINATE = "terminate"
    DOWNLOAD = "download"
    BULK_DELETE = "bulk-delete"
    SEE_USAGE = "see-usage"
    BIND_PLAN = "bind-plan"
    CHANGE_QUOTA = "change-quota"
    ASSIGN_ROLE = "assign-role"
    ASSIGN_OWNER = "assign-owner"
    MANAGE_PROFILES = "manage-profiles"
    STEER = "steer"


#: What each action is, as people read it.
MEANINGS: Final[Mapping[Action, str]] = {
    Action.VIEW: "View workspaces",
    Action.CREATE: "Create workspace",
    Action.DEPLOY: "Deploy workspace (start or update one that exists)",
    Action.ACCESS: "Access workspace",
    Action.STOP: "Stop workspace",
    Action.SUSPEND: "Suspend and resume workspace",
    Action.TERMINATE: "Terminate workspace",
    Action.DOWNLOAD: "Download notebooks",
    Action.BULK_DELETE: "Delete several workspaces at once",
    Action.SEE_USAGE: "See usage and cost",
    Action.BIND_PLAN: "Bind a plan to a project",
    Action.CHANGE_QUOTA: "Set quotas and overrides",
    Action.ASSIGN_ROLE: "Invite people and assign roles",
    Action.ASSIGN_OWNER: "Make and unmake owners",
    Action.MANAGE_PROFILES: "Create and change profiles",
    Action.STEER: "Change plans, queues, root containers and everything else; read the audit",
}


class Reach(StrEnum):
    """On whose things an action is given."""

    OWN = "own"
    ORGANIZATION = "organization"
    EVERYWHERE = "everywhere"


@dataclass(frozen=True, slots=True)
class Grant:
    """One action, and how far it reaches."""

    action: Action
    reach: Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """
    A set of grants with a name.

    Attributes:
        key: As claims, settings and pages have it.
        organization: Key of the organization whose own role it is; empty: everybody knows it.
    """

    key: str
    display_name: str
    grants: frozenset[Grant]
    organization: str = ""


def _own(*actions: Action) -> frozenset[Grant]:
    return frozenset(Grant(each, Reach.OWN) for each in actions)


def _of_organization(*actions: Action) -> frozenset[Grant]:
    return frozenset(Grant(each, Reach.ORGANIZATION) for each in actions)


def _everywhere(*actions: Action) -> frozenset[Grant]:
    return frozenset(Grant(each, Reach.EVERYWHERE) for each in actions)


#: What an organization's own roles are put together from (F105, F106).
PERMISSIONS: Final = (
    Action.VIEW,
    Action.CREATE,
    Action.DEPLOY,
    Action.ACCESS,
    Action.TERMINATE,
    Action.DOWNLOAD,
    Action.BULK_DELETE,
)

#: Everybody's, whatever their roles: to give back what they hold, and to know what it cost.
ALWAYS: Final = _own(Action.STOP, Action.SEE_USAGE)

_USER: Final = _own(*(each for each in PERMISSIONS if each is not Action.BULK_DELETE))
_LEADER: Final = (
    _USER
    | _own(Action.BULK_DELETE)
    | _of_organization(
        Action.VIEW,
        Action.STOP,
        Action.SUSPEND,
        Action.TERMINATE,
        Action.SEE_USAGE,
        Action.BIND_PLAN,
        Action.CHANGE_QUOTA,
        Action.ASSIGN_ROLE,
    )
)

VIEWER: Final = Role(key="viewer", display_name="Viewer", grants=_own(Action.VIEW))
MEMBER: Final = Role(key="member", display_name="Member", grants=_USER)
ADMIN: Final = Role(key="admin", display_name="Organization admin", grants=_LEADER)
OWNER: Final = Role(
    key="owner",
    display_name="Organization owner",
    grants=_LEADER | _of_organization(Action.ASSIGN_OWNER),
)
NOTEBOOK_USER: Final = Role(key="notebook.user", display_name="Notebook user", grants=_USER)
NOTEBOOK_ADMIN: Final = Role(
    key="notebook.admin",
    display_name="Notebook admin",
    grants=_USER
    | _own(Action.BULK_DELETE)
    | _everywhere(
        Action.VIEW,
        Action.ACCESS,
        Action.STOP,
        Action.SUSPEND,
        Action.TERMINATE,
        Action.SEE_USAGE,
        Action.CHANGE_QUOTA,
        Action.MANAGE_PROFILES,
    ),
)
IDE_MANAGE: Final = Role(
    key="IDE_MANAGE", display_name="IDE manager", grants=_own(Action.BULK_DELETE)
)

#: Roles that exist without being declared, by key, from least to most.
BUILTIN: Final[Mapping[str, Role]] = {
    each.key: each
    for each in (VIEWER, IDE_MANAGE, NOTEBOOK_USER, MEMBER, ADMIN, OWNER, NOTEBOOK_ADMIN)
}
#: Those that only a platform admin or the identity provider gives: they reach beyond an organization.
PLATFORM_ROLES: Final = frozenset({NOTEBOOK_ADMIN.key})


def reach_of(role: Role, action: Action) -> Reach | None:
    """Return how far *role* reaches with *action*, at most; `None`: not at all."""
    given = {each.reach for each in role.grants | ALWAYS if each.action is action}
    return max(given, key=list(Reach).index, default=None)


def custom(
    key: str, display_name: str, permissions: frozenset[Action], *, organization: str
) -> Role:
    """Return an organization's own role: *permissions* (of `PERMISSIONS`), on one's own things."""
    return Role(
        key=key, display_name=display_name, grants=_own(*permissions), organization=organization
    )
