"""Actors and projects."""

from dataclasses import replace
from typing import Any

from eugospawner.policy.accounts import Accounts, Actor, Project


def an_actor(**changes: Any) -> Actor:
    """Alice, who is no admin."""
    return replace(Actor(name="alice"), **changes)


def a_project(key: str = "personal-alice", **changes: Any) -> Project:
    """A project without root shells."""
    return replace(Project(key=key, display_name=f"Project {key}"), **changes)


def some_accounts(*others: Project, personal: Project | None = None) -> Accounts:
    """The personal project first, then *others*."""
    return Accounts(projects=(personal or a_project(), *others))
