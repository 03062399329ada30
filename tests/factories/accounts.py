"""Actors, people, plans and projects."""

from dataclasses import replace
from typing import Any

from eugospawner.policy import roles
from eugospawner.policy.accounts import (
    Accounts,
    Actor,
    Directory,
    Group,
    Organization,
    Person,
    Project,
)
from eugospawner.policy.catalog import AtOnce
from eugospawner.policy.plans import Plan
from eugospawner.policy.roles import Action, Role

#: All of tests.factories.catalog.
PROFILES = frozenset({"notebook", "code", "gpu"})
MODELS = frozenset({"H100", "L4", "A100", "A100-MIG", "T4"})
IMAGES = frozenset({"base", "code", "pinned"})


def an_actor(**changes: Any) -> Actor:
    """Alice, who is no admin."""
    return replace(Actor(name="alice"), **changes)


def a_person(name: str = "alice", **changes: Any) -> Person:
    """Somebody who is a member of nothing."""
    return replace(Person(name=name), **changes)


def a_role(*permissions: Action) -> Role:
    """A role that Acme made of *permissions*."""
    return roles.custom("made", "Made", frozenset(permissions), organization="acme")


def an_organization(key: str = "acme", **changes: Any) -> Organization:
    """An active organization."""
    return replace(Organization(key=key, display_name=f"Organization {key}"), **changes)


def a_group(key: str = "lab", **changes: Any) -> Group:
    """A group without root shells."""
    return replace(Group(key=key, display_name=f"Group {key}"), **changes)


def a_plan(key: str = "everything", **changes: Any) -> Plan:
    """A plan that allows all of the catalog, always and without limits, and binds one queue."""
    return replace(
        Plan(
            key=key,
            display_name=f"Plan {key}",
            profiles=PROFILES,
            gpu_models=MODELS,
            images=IMAGES,
            queues=("batch",),
            windows=(),
            at_once=AtOnce(),
            person_at_once=AtOnce(),
            volumes_bytes=None,
        ),
        **changes,
    )


def a_project(key: str = "personal-alice", **changes: Any) -> Project:
    """A project without root shells, under a plan that allows everything."""
    return replace(Project(key=key, display_name=f"Project {key}", plan=a_plan()), **changes)


def some_accounts(
    *others: Project, personal: Project | None = None, person: Person | None = None
) -> Accounts:
    """The personal project first, then *others*."""
    return Accounts(person=person or a_person(), projects=(personal or a_project(), *others))


def a_directory(**changes: Any) -> Directory:
    """Alice owns Acme and Bob is in it; the group lab owns the project vision under a plan."""
    plan, acme, lab = a_plan(), an_organization(), a_group()
    values: dict[str, Any] = {
        "organizations": {"acme": acme},
        "groups": {"lab": lab},
        "people": {
            "alice": a_person(organization="acme", roles=(roles.OWNER,), groups=frozenset({"lab"})),
            "bob": a_person("bob", organization="acme", groups=frozenset({"lab"})),
        },
        "projects": {"vision": a_project("vision", plan=plan, organization=acme, group=lab)},
        "plans": {plan.key: plan},
        "default_plan": a_plan(""),
    }
    return Directory(**values | changes)
