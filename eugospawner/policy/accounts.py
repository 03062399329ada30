"""
Accounts: organizations, groups, projects and people, and who may start where.

Every person has a personal project, which exists from the first moment and needs no record; a
group-owned project belongs to a group of people. What a project may use is its plan's business.
`Directory` is all of it as frozen values; `Accounts` is what one owner has, which is what
admission is given. Source: design §4; F5, F11, F35, F38, F65, F103.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from eugospawner.policy import roles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.policy.lifecycle import State
    from eugospawner.policy.plans import Plan
    from eugospawner.policy.roles import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """
    Who asks: the owner, or an admin for them.

    Attributes:
        scopes: What the token that asks is limited to, as the hub has it (``custom:eugo:view``);
            `None`: nothing but its owner's roles limits it.
    """

    name: str
    is_admin: bool = False
    scopes: frozenset[str] | None = None


class Prerequisite(StrEnum):
    """What an operator may demand before anything starts (F11)."""

    MEMBERSHIP = "membership"
    SUBSCRIPTION = "subscription"
    PAYMENT_METHOD = "payment-method"


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """
    A tenant: who pays.

    Attributes:
        suspended_because: Why nothing may start, as the end of a sentence; empty: it is active.
        contact: Whom to ask about that: a name, an address or a page; empty: nobody is named.
        subscription: The billing contract's reference; empty: none (F11).
        payment_method: The payment method's reference; never its number.
        roles: Its own ones by key, beside those that everybody knows.
    """

    key: str
    display_name: str
    suspended_because: str = ""
    contact: str = ""
    subscription: str = ""
    payment_method: str = ""
    roles: Mapping[str, Role] = field(default_factory=dict[str, "Role"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """People who own projects together; *may_run_as_root* is one half of what a root shell needs."""

    key: str
    display_name: str
    may_run_as_root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """
    Owner of workspaces and volumes.

    Attributes:
        key: Unique, and fit for a Kubernetes label.
        plan: What it is entitled to; the catalog's defaults where none is bound.
        organization: `None`: it belongs to no organization.
        group: The owning group; `None`: a personal project.
        managers: Names of those who may bind a plan to it.
        allows_root: Whether root containers are enabled on the project itself.
    """

    key: str
    display_name: str
    plan: Plan
    organization: Organization | None = None
    group: Group | None = None
    managers: frozenset[str] = frozenset()
    allows_root: bool = False

    @property
    def may_run_as_root(self) -> bool:
        """Whether root shells are allowed: by the project, and by the group that owns it (F38)."""
        return self.allows_root and (self.group is None or self.group.may_run_as_root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """
    Somebody who signs in.

    Attributes:
        roles: What they are; whoever has none may nearly nothing.
        groups: Keys of the groups they are in.
        manages: Keys of projects that they manage, beside those whose lists name them.
        provided: What the identity provider says of them, and only it may change: organization, role,
            groups, manages.
        suspended_because: Why they may start nothing, as the end of a sentence; empty: they may.
        plan: Key of the plan of their personal project; empty: the catalog's defaults.
        allows_root: Whether root containers are enabled on their personal project.
    """

    name: str
    organization: str = ""
    roles: tuple[Role, ...] = (roles.MEMBER,)
    groups: frozenset[str] = frozenset()
    manages: frozenset[str] = frozenset()
    provided: frozenset[str] = frozenset()
    suspended_because: str = ""
    plan: str = ""
    allows_root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """
    What one owner has: who they are, and their projects, the personal one first.

    Attributes:
        required: What must be there before anything starts.
        names: Who has a name that matters: owner and server by project and `names.key_of` it.
        servers: Names of the servers whose workspaces exist; read only for those who may not both
            create and deploy.
        states: Where the owner's workspaces are in their lives, by server, as far as that was read.
    """

    person: Person
    projects: tuple[Project, ...]
    required: frozenset[Prerequisite] = frozenset()
    names: Mapping[tuple[str, str], tuple[str, str]] = field(
        default_factory=dict[tuple[str, str], tuple[str, str]]
    )
    servers: frozenset[str] = frozenset()
    states: Mapping[str, State] = field(default_factory=dict[str, "State"])

    @property
    def personal(self) -> Project:
        """The owner's personal project."""
        return self.projects[0]

    def find(self, key: str | None) -> Project | None:
        """Return the project of this *key*; `None` as a key means the personal project."""
        if key is None:
            return self.personal
        return next((project for project in self.projects if project.key == key), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """
    All accounts, by key; people who are not in it are members of nothing.

    Attributes:
        projects: Group-owned ones; personal projects follow from people.
        plans: By key.
        default_plan: What a project without a plan has.
        required: What must be there before anything starts.
    """

    organizations: Mapping[str, Organization]
    groups: Mapping[str, Group]
    people: Mapping[str, Person]
    projects: Mapping[str, Project]
    plans: Mapping[str, Plan]
    default_plan: Plan
    required: frozenset[Prerequisite] = frozenset()

    def roles_of(self, organization: str) -> Mapping[str, Role]:
        """Return by key the roles that somebody in *organization* can have."""
        known = self.organizations.get(organization)
        return {**roles.BUILTIN, **(known.roles if known is not None else {})}

    def person(self, name: str) -> Person:
        """Return who *name* is; somebody who is not here is a member of nothing."""
        return self.people.get(name) or Person(name=name)

    def accounts_of(self, name: str, slug: str) -> Accounts:
        """
        Return what the person *name* has.

        Args:
            slug: The name, fit for a Kubernetes label; keys of personal projects are made of it.
        """
        person = self.person(name)
        personal = Project(
            key=f"personal-{slug}",
            display_name="Personal project",
            plan=self.plans[person.plan] if person.plan else self.default_plan,
            organization=self.organizations.get(person.organization),
            managers=frozenset({name}),
            allows_root=person.allows_root,
        )
        owned = (
            project
            for project in self.projects.values()
            if project.group is not None and project.group.key in person.groups
        )
        return Accounts(person=person, projects=(personal, *owned), required=self.required)
