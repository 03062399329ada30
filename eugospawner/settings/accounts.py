"""
Accounts as they are written in the file: organizations, groups, projects and people.

People need not stand here: who is not named is a member of nothing and has a personal project
without a plan. Source: design §4; F11, F35, F38, F65, F103.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from eugospawner.policy import roles
from eugospawner.policy.accounts import (
    Directory,
    Group,
    Organization,
    Person,
    Project,
)
from eugospawner.policy.limits import EACH
from eugospawner.policy.roles import Action
from eugospawner.settings.catalog import unknown
from eugospawner.settings.fields import Key, ModelKey, Name, RoleKeys, Strict, Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eugospawner.policy.accounts import Prerequisite
    from eugospawner.policy.plans import Plan
    from eugospawner.settings.plans import QuotaEntry
    from eugospawner.settings.yamlfile import Problem

#: Keys of personal projects begin so.
_PERSONAL = "personal-"


class RoleEntry(Strict):
    """A role of an organization's own."""

    display_name: Words
    permissions: list[Annotated[Action, Field(strict=False)]]


class OrganizationEntry(Strict):
    """A tenant."""

    display_name: Words
    suspended: Words | None = None
    contact: Words | None = None
    subscription: Words | None = None
    payment_method: Words | None = None
    roles: dict[ModelKey, RoleEntry] = {}


class GroupEntry(Strict):
    """People who own projects together."""

    display_name: Words
    may_run_as_root: bool = False


class ProjectEntry(Strict):
    """A project that a group owns."""

    display_name: Words
    group: Key
    organization: Key | None = None
    plan: Key | None = None
    managers: list[Name] = []
    may_run_as_root: bool = False


class PersonalEntry(Strict):
    """Somebody's personal project."""

    plan: Key | None = None
    may_run_as_root: bool = False


class PersonEntry(Strict):
    """Somebody who is member of something."""

    organization: Key | None = None
    role: RoleKeys = [roles.MEMBER.key]
    groups: list[Key] = []
    manages: list[Key] = []
    provided: list[Literal["organization", "role", "groups", "manages"]] = []
    suspended: Words | None = None
    personal: PersonalEntry = PersonalEntry()


class Sections(Strict):
    """The sections of the file that are the accounts'; each may be absent."""

    organizations: dict[Key, OrganizationEntry] = {}
    groups: dict[Key, GroupEntry] = {}
    projects: dict[Key, ProjectEntry] = {}
    people: dict[Name, PersonEntry] = {}


def problems(
    file: Sections, plans: Mapping[str, object], quotas: Mapping[str, QuotaEntry]
) -> Iterator[Problem]:
    """Find references to what does not exist; of *quotas*, those to accounts."""
    for key, project in file.projects.items():
        here = ("projects", key)
        if key.startswith(_PERSONAL):
            yield here, f"the names of personal projects begin with {_PERSONAL!r}: choose another"
        if project.group not in file.groups:
            yield (*here, "group"), unknown(project.group, file.groups)
        if project.organization is not None and project.organization not in file.organizations:
            yield (*here, "organization"), unknown(project.organization, file.organizations)
        if project.plan is not None and project.plan not in plans:
            yield (*here, "plan"), unknown(project.plan, plans)
    for key, organization in file.organizations.items():
        yield from _bad_roles(key, organization)
    for name, person in file.people.items():
        here = ("people", name)
        own = file.organizations.get(person.organization or "")
        known = dict.fromkeys((*roles.BUILTIN, *(own.roles if own is not None else ())))
        for index, role in enumerate(person.role):
            if role not in known:
                at = ("role",) if len(person.role) == 1 else ("role", index)
                yield (*here, *at), unknown(role, known)
        for index, project_key in enumerate(person.manages):
            if project_key not in file.projects:
                yield (*here, "manages", index), unknown(project_key, file.projects)
        if person.organization is not None and person.organization not in file.organizations:
            yield (*here, "organization"), unknown(person.organization, file.organizations)
        if person.personal.plan is not None and person.personal.plan not in plans:
            yield (*here, "personal", "plan"), unknown(person.personal.plan, plans)
        for index, group in enumerate(person.groups):
            if group not in file.groups:
                yield (*here, "groups", index), unknown(group, file.groups)
    yield from _bad_subjects(file, quotas)


def _bad_roles(key: str, organization: OrganizationEntry) -> Iterator[Problem]:
    for name, role in organization.roles.items():
        here = ("organizations", key, "roles", name)
        if name in roles.BUILTIN:
            yield here, "everybody knows this role: choose another name"
        for index, permission in enumerate(role.permissions):
            if permission not in roles.PERMISSIONS:
                offered = ", ".join(roles.PERMISSIONS)
                yield (
                    (*here, "permissions", index),
                    f"{permission!s} is not for an organization to give: use {offered}",
                )


def _bad_subjects(file: Sections, quotas: Mapping[str, QuotaEntry]) -> Iterator[Problem]:
    for key, quota in quotas.items():
        for kind, subject, known in (
            ("project", quota.project, file.projects),
            ("group", quota.group, file.groups),
            ("organization", quota.organization, file.organizations),
        ):
            if subject is None or subject == EACH or subject in known:
                continue
            if kind == "project" and subject.startswith(_PERSONAL):
                continue  # personal projects stand in no file
            yield ("quotas", key, kind), unknown(subject, known)


def values(
    file: Sections,
    plans: Mapping[str, Plan],
    default_plan: Plan,
    required: Iterable[Prerequisite],
) -> Directory:
    """Return the accounts that *file* declares, and what is *required* of them."""
    organizations = {
        key: Organization(
            key=key,
            display_name=each.display_name,
            suspended_because=each.suspended or "",
            contact=each.contact or "",
            subscription=each.subscription or "",
            payment_method=each.payment_method or "",
            roles={
                name: roles.custom(
                    name, role.display_name, frozenset(role.permissions), organization=key
                )
                for name, role in each.roles.items()
            },
        )
        for key, each in file.organizations.items()
    }
    groups = {
        key: Group(key=key, display_name=each.display_name, may_run_as_root=each.may_run_as_root)
        for key, each in file.groups.items()
    }
    return Directory(
        organizations=organizations,
        groups=groups,
        people={name: _person(name, each, organizations) for name, each in file.people.items()},
        projects={
            key: Project(
                key=key,
                display_name=each.display_name,
                plan=plans[each.plan] if each.plan else default_plan,
                organization=organizations[each.organization] if each.organization else None,
                group=groups[each.group],
                managers=frozenset(each.managers),
                allows_root=each.may_run_as_root,
            )
            for key, each in file.projects.items()
        },
        plans=plans,
        default_plan=default_plan,
        required=frozenset(required),
    )


def _person(name: str, each: PersonEntry, organizations: Mapping[str, Organization]) -> Person:
    own = organizations.get(each.organization or "")
    known = {**roles.BUILTIN, **(own.roles if own is not None else {})}
    return Person(
        name=name,
        organization=each.organization or "",
        roles=tuple(known[role] for role in dict.fromkeys(each.role)),
        groups=frozenset(each.groups),
        manages=frozenset(each.manages),
        provided=frozenset(each.provided),
        suspended_because=each.suspended or "",
        plan=each.personal.plan or "",
        allows_root=each.personal.may_run_as_root,
    )
