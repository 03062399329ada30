"""
Sharing: who may read a document, and with whom it can be shared.

With people, groups and the organization of whoever shares it; membership is asked for at each reading, so who leaves
reads no more. Rules only. Source: F88; promise 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eugospawner.policy.accounts import Directory, Person
    from eugospawner.store.shares import Share

#: Days that a share lasts at most.
LONGEST_DAYS: Final = 90
#: Bytes of a document that is kept for readers.
LARGEST: Final = 20 << 20
#: People that are named, at most.
MOST_PEOPLE: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Who may read: user names, keys of groups, and the key of an organization, or nothing."""

    people: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    organization: str = ""


def may_read(share: Share, reader: Person) -> bool:
    """Whether *reader* is among those with whom *share* is shared, or shares it."""
    return (
        reader.name in {share.creator, *share.people}
        or bool(reader.groups & set(share.groups))
        or (share.organization != "" and reader.organization == share.organization)
    )


def problem_of(audience: Audience, sharer: Person, directory: Directory) -> str:
    """Return why *sharer* cannot share with *audience*, as a sentence; empty: they can."""
    if not (audience.people or audience.groups or audience.organization):
        return "Say with whom: people, groups, or your organization."
    if len(audience.people) > MOST_PEOPLE:
        return f"Name {MOST_PEOPLE} people at most; for more, share with a group."
    strangers = [name for name in audience.people if not _know_each_other(sharer, name, directory)]
    if strangers:
        return (
            f"{', '.join(strangers)}: nobody of that name is in your organization or a group of yours. "
            "Outsiders cannot read shared notebooks."
        )
    foreign = [key for key in audience.groups if key not in sharer.groups]
    if foreign:
        return f"{', '.join(foreign)}: you are in no group of that name."
    if audience.organization and audience.organization != sharer.organization:
        return "You can share with your own organization alone."
    return ""


def _know_each_other(sharer: Person, name: str, directory: Directory) -> bool:
    other = directory.people.get(name)
    if other is None:
        return False
    is_colleague = other.organization != "" and other.organization == sharer.organization
    return is_colleague or bool(other.groups & sharer.groups)
