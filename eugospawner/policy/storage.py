"""
Storage: how much room extra volumes have, by plan and by quota.

A volume counts for its owner, if it is not a project's, and for the project in whose workspace it was made, with the group
and the organization behind that project, from its creation until it is deleted, whether anything
mounts it or not; its size is what counts, not what is written to it. `exceeded` is the one rule:
the form asks it about volumes as last read, the store about volumes in the transaction that adds
one (promise 2). The home is not counted: every owner has one. Source: design §§4 and 5; F86, F99.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eugospawner.policy.limits import EACH, payers_for, payers_of
from eugospawner.policy.quota import Subject, SubjectKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Project
    from eugospawner.policy.limits import Override


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageQuota:
    """
    A size that extra volumes may have together.

    Attributes:
        subject: Its key may be `EACH`.
        override: Another size for a time, in bytes too.
    """

    key: str
    subject: Subject
    size_bytes: int
    override: Override | None = None

    def size_at(self, now: datetime) -> int:
        """Return the size that holds at *now*, in bytes."""
        if self.override is not None and now < self.override.expires_at:
            return self.override.amount
        return self.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLimit:
    """
    A size that the extra volumes of one subject may have together.

    Attributes:
        quota: The quota's key; empty: the limit is the plan's.
    """

    quota: str
    subject: Subject
    size_bytes: int


def limits_of(
    owner: str, project: Project, quotas: Iterable[StorageQuota], now: datetime
) -> tuple[StorageLimit, ...]:
    """Return what limits a new volume of *owner* in *project*: the plan, then quotas in order."""
    return tuple(_limits(owner, project, quotas, now))


def limits_for(
    project: Project, quotas: Iterable[StorageQuota], now: datetime
) -> tuple[StorageLimit, ...]:
    """Return what limits a new volume of *project* itself: quotas in order; plans are about what people make."""
    return tuple(_amounts(payers_for(project), quotas, now))


def limits_about(
    subject: Subject, quotas: Iterable[StorageQuota], now: datetime
) -> tuple[StorageLimit, ...]:
    """Return what holds for the volumes of *subject*, whoever makes them."""
    return tuple(_amounts((subject,), quotas, now))


def _limits(
    owner: str, project: Project, quotas: Iterable[StorageQuota], now: datetime
) -> Iterator[StorageLimit]:
    if (most := project.plan.volumes_bytes) is not None:
        yield StorageLimit(quota="", subject=Subject(SubjectKind.USER, owner), size_bytes=most)
    yield from _amounts(payers_of(owner, project), quotas, now)


def _amounts(
    payers: tuple[Subject, ...], quotas: Iterable[StorageQuota], now: datetime
) -> Iterator[StorageLimit]:
    for quota in quotas:
        for payer in payers:
            if payer.kind is quota.subject.kind and quota.subject.key in {EACH, payer.key}:
                yield StorageLimit(quota=quota.key, subject=payer, size_bytes=quota.size_at(now))


def exceeded(
    limits: Iterable[StorageLimit], held: Mapping[Subject, int], size_bytes: int
) -> tuple[StorageLimit, ...]:
    """
    Return those of *limits* that leave no room for *size_bytes* more, in their order.

    Args:
        held: Bytes that the volumes of each subject have; an absent one has none.
    """
    return tuple(
        limit for limit in limits if held.get(limit.subject, 0) + size_bytes > limit.size_bytes
    )


def room(limits: Iterable[StorageLimit], held: Mapping[Subject, int]) -> int | None:
    """Return how many bytes fit beside what is held, none at least; `None`: any."""
    rooms = (max(limit.size_bytes - held.get(limit.subject, 0), 0) for limit in limits)
    return min(rooms, default=None)
