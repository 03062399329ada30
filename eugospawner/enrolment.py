"""
Enrolment: what the provider says of somebody becomes their entry among the people.

Admission, pages and services read people from the settings, so that is where a sign-in writes, with its
audit: organization, role and groups are the provider's to say, all else of the entry stays. An entry that
says the same already is not written again. Source: design §4 (accounts come from OIDC claims and admin
edits); F107, F108.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from eugospawner.oidc.mapping import Known
from eugospawner.policy import roles
from eugospawner.policy.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from eugospawner.oidc.mapping import Membership
    from eugospawner.policy.accounts import Person
    from eugospawner.source import Source
    from eugospawner.store import Store
    from eugospawner.store.invitations import Invitation

_SECTION: Final = "people"
#: Somebody else may change the settings at the same moment; that often in a row nobody does.
_ATTEMPTS: Final = 5


class Enrolment:
    """
    The people of one hub.

    Args:
        source: The settings, brought up to date here.
        open_store: Returns the open store.
    """

    def __init__(self, source: Source, open_store: Callable[[], Awaitable[Store]]) -> None:
        self._source = source
        self._open_store = open_store

    async def known(self) -> Known:
        """
        Return the organizations and groups that there are.

        Raises:
            StoreError: The settings cannot be read.
        """
        await self._read()
        directory = self._source.settings.directory
        return Known(
            organizations=directory.organizations,
            groups=directory.groups,
            projects=directory.projects,
            roles={key: each.roles for key, each in directory.organizations.items()},
        )

    async def name_of(self, organization: str) -> str:
        """
        Return how an organization is called; its key if there is none.

        Raises:
            StoreError: The settings cannot be read.
        """
        await self._read()
        found = self._source.settings.directory.organizations.get(organization)
        return organization if found is None else found.display_name

    async def person(self, name: str) -> Person:
        """
        Return *name* as they stand among the people.

        Raises:
            StoreError: The settings cannot be read.
        """
        await self._read()
        return self._source.settings.directory.person(name)

    async def enrol(self, name: str, membership: Membership, *, reason: str, at: datetime) -> bool:
        """
        Have *name* be what *membership* says; return whether that is a change.

        Args:
            reason: For the audit: who says so.

        Raises:
            ConfigError: The settings would make no sense with it.
            StoreError: It was not recorded.
        """
        for _ in range(_ATTEMPTS):
            store = await self._read()
            before: Any = self._source.documents.get(_SECTION, {}).get(name)
            after = merged(before or {}, membership)
            if after == (before or {}):
                return False
            await asyncio.to_thread(self._source.with_changes, {(_SECTION, name): after})
            revision = await store.changes.put(
                _SECTION,
                name,
                after,
                actor=name,
                reason=reason,
                at=at,
                expected=self._source.newest,
                in_file=self._source.documents_of_file.get(_SECTION, {}).get(name),
            )
            if revision is not None:
                return True
        message = (
            f"The entry people.{name} was not written: others change the settings all the time"
        )
        raise StoreError(message)

    async def admit(
        self, name: str, *, email: str, token_hash: str, at: datetime
    ) -> tuple[Invitation | None, str]:
        """
        Redeem an invitation of *name*, if there is one, and make what it gives.

        Args:
            email: Their address in small letters, verified; empty: they have none.
            token_hash: Of the link that they came by; empty: by none.

        Returns:
            The invitation, or `None`; and why one was not redeemed that could have been, in words.

        Raises:
            StoreError: It could not be read or recorded.
        """
        for _ in range(_ATTEMPTS):
            store = await self._read()
            person = self._source.settings.directory.person(name)
            found = await store.invitations.open_for(
                organization=person.organization, email=email, token_hash=token_hash, at=at
            )
            if not found:
                return None, ""
            invitation = found[0]
            before = self._source.documents.get(_SECTION, {}).get(name) or {}
            changes = gifts(name, before, invitation)
            try:
                await asyncio.to_thread(self._source.with_changes, changes)
            except ConfigError:
                return None, "An invitation names what there is no more: ask for another"
            if await store.invitations.redeem(
                invitation.id,
                name,
                at=at,
                changes=changes,
                expected=self._source.newest,
                reason=f"invited by {invitation.created_by}",
            ):
                await self._read()
                return invitation, ""
        message = (
            f"The invitation of {name} was not redeemed: others change the settings all the time"
        )
        raise StoreError(message)

    async def is_invited(self, name: str) -> bool:
        """
        Return whether *name* is where they are because of an invitation that counts.

        Raises:
            StoreError: It cannot be read.
        """
        store = await self._read()
        person = self._source.settings.directory.people.get(name)
        return person is not None and any(
            each.organization == person.organization
            for each in await store.invitations.of_person(name)
        )

    async def _read(self) -> Store:
        store = await self._open_store()
        self._source.take(await store.changes.since(self._source.newest))
        return store


def gifts(
    name: str, before: Mapping[str, Any], invitation: Invitation
) -> dict[tuple[str, str], Any]:
    """Return the changes by which *name*, with the entry *before*, gets what *invitation* gives."""
    given = {**before, "organization": invitation.organization}
    role = _short(tuple(invitation.roles))
    if role is None:
        given.pop("role", None)
    else:
        given["role"] = role
    changes: dict[tuple[str, str], Any] = {(_SECTION, name): given}
    for number, quota in enumerate(invitation.quotas, 1):
        changes["quotas", f"invited-{invitation.id[:16]}-{number}"] = {"user": name, **quota}
    return changes


def merged(before: Mapping[str, Any], membership: Membership) -> dict[str, Any]:
    """Return the entry *before* with what *membership* says; what is the default is not written."""
    said: dict[str, Any] = {
        "organization": membership.organization,
        "role": _short(membership.roles),
        "groups": sorted(membership.groups),
        "manages": sorted(membership.manages),
    }
    after = {
        key: value
        for key, value in before.items()
        if key not in membership.says and key != "provided"
    }
    after |= {key: said[key] for key in said if key in membership.says and said[key]}
    if "role" not in membership.says and after.get("organization") != before.get("organization"):
        after.pop("role", None)  # it was given for another organization
    if membership.says and after:
        after["provided"] = sorted(membership.says)
    return after


def _short(keys: tuple[str, ...]) -> str | list[str] | None:
    """Return roles as people write them; `None`: as for everybody."""
    if keys == (roles.MEMBER.key,):
        return None
    return keys[0] if len(keys) == 1 else list(keys)
