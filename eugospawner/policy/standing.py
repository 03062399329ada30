"""
Standing: how much of each limit is used, what is left, and when it will be used up.

The spawn page shows it before anything is chosen, for the project that is chosen. The projection
goes on at the rate of the present period so far; settled and reserved count alike, because what is
reserved cannot be had by anybody else. Source: features L6, F98, F101.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eugospawner.policy import storage
from eugospawner.policy.limits import limits_of
from eugospawner.policy.quota import WARN_PERCENT, Span, period_at

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts, Project
    from eugospawner.policy.catalog import Catalog, Queue
    from eugospawner.policy.quota import Limit, Period, Subject, Usage
    from eugospawner.policy.storage import StorageLimit

_WHOLE = 100


class _Share:
    """How much of an amount is used."""

    __slots__ = ()

    used: int

    @property
    def amount(self) -> int:
        """All there is, in the unit of *used*."""
        raise NotImplementedError

    @property
    def left(self) -> int:
        """What is left; never negative."""
        return max(self.amount - self.used, 0)

    @property
    def percent(self) -> int:
        """What is used, in percent, rounded down; all of nothing is 100."""
        return _WHOLE * self.used // self.amount if self.amount else _WHOLE

    @property
    def is_warned(self) -> bool:
        """Whether people are warned (F101)."""
        return self.percent >= WARN_PERCENT

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self.used >= self.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(_Share):
    """
    How it stands with one limit.

    Attributes:
        used: Settled and reserved.
        period: `None`: a limit of what is held at once.
        warned_at: When the warning's share is reached at the present rate, if in this period.
        spent_at: Likewise all of it.
    """

    limit: Limit
    used: int
    period: Period | None
    warned_at: datetime | None
    spent_at: datetime | None

    @property
    def amount(self) -> int:
        """All there is, in the unit of the limit."""
        return self.limit.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageStanding(_Share):
    """How it stands with the room for extra volumes; *used* is what those that exist have."""

    limit: StorageLimit
    used: int

    @property
    def amount(self) -> int:
        """All there is, in bytes."""
        return self.limit.size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling(_Share):
    """How full a volume is: bytes that its files take, of those that it has."""

    used: int
    capacity: int

    @property
    def amount(self) -> int:
        """All there is, in bytes."""
        return self.capacity


def standings(
    accounts: Accounts,
    project: Project,
    queue: Queue,
    catalog: Catalog,
    usage: Usage,
    now: datetime,
) -> tuple[Standing, ...]:
    """Return how it stands with all limits of a session in *project* and *queue*."""
    limits = limits_of(accounts, project, queue, catalog.quotas, now)
    return tuple(standing(limit, usage, catalog.zone, now) for limit in limits)


def storage_standings(
    owner: str, project: Project, catalog: Catalog, held: Mapping[Subject, int], now: datetime
) -> tuple[StorageStanding, ...]:
    """Return how it stands with the room that *owner* has for extra volumes in *project*."""
    return tuple(
        StorageStanding(limit=limit, used=held.get(limit.subject, 0))
        for limit in storage.limits_of(owner, project, catalog.storage_quotas, now)
    )


def room_of(
    accounts: Accounts, catalog: Catalog, held: Mapping[Subject, int], now: datetime
) -> tuple[StorageStanding, ...]:
    """Return how it stands with the room for extra volumes that somebody has in all of their projects, each limit once."""
    found = {
        (each.limit.quota, each.limit.subject): each
        for project in accounts.projects
        for each in storage_standings(accounts.person.name, project, catalog, held, now)
    }
    return tuple(found.values())


def standing(limit: Limit, usage: Usage, zone: str, now: datetime) -> Standing:
    """Return how it stands with *limit*; its day or month is that of *zone*."""
    if limit.span is Span.AT_ONCE:
        used = usage.against(limit, "")
        return Standing(limit=limit, used=used, period=None, warned_at=None, spent_at=None)
    period = period_at(limit.span, zone, now)
    used = usage.against(limit, period.key)
    return Standing(
        limit=limit,
        used=used,
        period=period,
        warned_at=_reached(limit.amount * WARN_PERCENT // _WHOLE, used, period, now),
        spent_at=_reached(limit.amount, used, period, now),
    )


def _reached(amount: int, used: int, period: Period, now: datetime) -> datetime | None:
    """Return when *used* comes to *amount* at the rate so far; `None`: not in *period*, or before."""
    passed = now - period.start
    # What little was used a moment ago leads to a year that no calendar has.
    if not 0 < used < amount or not passed or amount / used >= (period.end - period.start) / passed:
        return None
    at = period.start + passed * (amount / used)
    return at if now < at < period.end else None
