"""
Accounts: who asks, and which projects they may start workspaces in.

Every person has a personal project, which exists from the first moment and needs no record.
Group-owned projects, organizations and roles join with the entitlements. Source: design §4.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks: the owner, or an admin for them."""

    name: str
    is_admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """
    Owner of workspaces and volumes.

    Attributes:
        key: Unique, and fit for a Kubernetes label.
        may_run_as_root: Whether root shells are enabled (F38).
    """

    key: str
    display_name: str
    may_run_as_root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """The projects in which one owner may start workspaces; the personal one comes first."""

    projects: tuple[Project, ...]

    @property
    def personal(self) -> Project:
        """The owner's personal project."""
        return self.projects[0]

    def find(self, key: str | None) -> Project | None:
        """Return the project of this *key*; `None` as a key means the personal project."""
        if key is None:
            return self.personal
        return next((project for project in self.projects if project.key == key), None)


def personal_accounts(owner_slug: str) -> Accounts:
    """Return what somebody has who belongs to no group: the personal project alone."""
    return Accounts(
        projects=(Project(key=f"personal-{owner_slug}", display_name="Personal project"),)
    )
