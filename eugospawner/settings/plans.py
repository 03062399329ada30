"""
Plans, their windows, and quotas, as they are written in the file.

A window's times are wall-clock times of its zone: ``days: [mon, fri], from: 08:00, to: 18:00``
for single days, ``from: fri 18:00, to: mon 06:00`` across days, ``from: 2026-12-01 08:00`` for
once. Source: design §4; F60, F98 to F100.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from eugospawner.policy.errors import PolicyError
from eugospawner.policy.limits import UNIT_HOUR, Override, Quota
from eugospawner.policy.plans import Plan
from eugospawner.policy.quota import Resource, Span, Subject, SubjectKind
from eugospawner.policy.storage import StorageQuota
from eugospawner.policy.windows import OneOffWindow, WeeklyWindow, WeekTime
from eugospawner.settings.catalog import AtOnceEntry, at_once, unknown
from eugospawner.settings.fields import (
    AllOrKeys,
    AllOrModels,
    Bytes,
    Hours,
    Instant,
    Key,
    ModelKey,
    Name,
    Room,
    Strict,
    Words,
    Zone,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eugospawner.policy.windows import Window
    from eugospawner.settings.catalog import Sections
    from eugospawner.settings.yamlfile import Problem

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES: Final = 24 * 60
_CLOCK: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_WEEK_TIME: Final = re.compile(rf"({'|'.join(_DAYS)}) (\S+)")
_ONCE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T](\S+)")

_Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class WindowEntry(Strict):
    """One line of a plan's windows; it may stand for several windows."""

    zone: Zone
    days: Annotated[list[_Day], Field(min_length=1)] | None = None
    from_: Annotated[str, Field(alias="from")]
    to: str

    @model_validator(mode="after")
    def _readable(self) -> WindowEntry:
        windows_of(self)
        return self


class AllowedEntry(Strict):
    """What may be used, and how much at once."""

    profiles: AllOrKeys
    gpu_models: AllOrModels
    images: AllOrKeys
    at_once: AtOnceEntry
    person_at_once: AtOnceEntry = AtOnceEntry()
    volumes: Bytes | None = None


class PlanEntry(AllowedEntry):
    """Entitlements of the projects to which it is bound."""

    display_name: Words
    queues: list[Key] = []
    windows: Annotated[list[WindowEntry], Field(min_length=1)] | None = None


class OverrideEntry(Strict):
    """Other hours or another size for a quota, for a time; ends by itself (F101)."""

    hours: Hours | None = None
    storage: Room | None = None
    until: Instant
    reason: Words


class QuotaEntry(Strict):
    """An amount per day or month, or a size, of one resource, for one kind of subject."""

    user: Name | None = None
    project: Name | None = None
    group: Name | None = None
    organization: Name | None = None
    gpu_model: ModelKey | None = None
    gpu_hours: Hours | None = None
    cpu_hours: Hours | None = None
    memory_gib_hours: Hours | None = None
    storage: Room | None = None
    per: Literal["day", "month"] | None = None
    override: OverrideEntry | None = None

    @model_validator(mode="after")
    def _whole(self) -> QuotaEntry:
        _only_one(self, ("user", "project", "group", "organization"), "whom it is for")
        _only_one(self, (*_RESOURCES, "storage"), "what it counts")
        message = self._misfit()
        if message is not None:
            raise ValueError(message)
        return self

    def _misfit(self) -> str | None:
        """Return what does not go together, if anything does not."""
        if self.gpu_model is not None and self.gpu_hours is None:
            return "gpu_model belongs to gpu_hours"
        if self.storage is None and self.per is None:
            return "per is missing: write day or month"
        if self.storage is not None and self.per is not None:
            return "storage is held, not used up: remove per"
        override, named = self.override, "hours" if self.storage is None else "storage"
        if override is not None:
            given = {name for name in ("hours", "storage") if getattr(override, name) is not None}
            if given != {named}:
                return f"the override of this quota is one of {named}: write {named} in it"
        return None


_RESOURCES: Final[Mapping[str, Resource]] = {
    "gpu_hours": Resource.GPU,
    "cpu_hours": Resource.CPU,
    "memory_gib_hours": Resource.MEMORY,
}


def _only_one(entry: QuotaEntry, names: tuple[str, ...], what: str) -> None:
    given = [name for name in names if getattr(entry, name) is not None]
    if len(given) != 1:
        message = f"says {'nothing' if not given else 'twice'} about {what}: write one of " + (
            ", ".join(names)
        )
        raise ValueError(message)


def windows_of(entry: WindowEntry) -> tuple[Window, ...]:
    """
    Return the windows that *entry* stands for.

    Raises:
        ValueError: Its times cannot be read, or do not go together.
    """
    start, end = entry.from_, entry.to
    if entry.days is not None:
        opens, closes = _clock(start), _clock(end)
        lasts = (closes - opens) % _DAY_MINUTES or _DAY_MINUTES
        return tuple(
            WeeklyWindow(
                zone=entry.zone,
                start=_week_time(day, opens),
                end=_week_time(day, opens + lasts),
            )
            for day in (_DAYS.index(each) for each in entry.days)
        )
    weekly = [_WEEK_TIME.fullmatch(each) is not None for each in (start, end)]
    if all(weekly):
        return (WeeklyWindow(zone=entry.zone, start=_weekly(start), end=_weekly(end)),)
    if any(weekly):
        message = (
            f"from {start!r} to {end!r}: write both with a day, such as fri 18:00, "
            "or both with a date, such as 2026-12-01 08:00"
        )
        raise ValueError(message)
    opens_at, closes_at = _once(start), _once(end)
    if closes_at <= opens_at:
        message = f"from {start!r} to {end!r} is no time at all: write a to that is later than from"
        raise ValueError(message)
    try:
        return (OneOffWindow(zone=entry.zone, start=opens_at, end=closes_at),)
    except PolicyError as error:  # a year that nobody means
        raise ValueError(str(error)) from error


def _clock(text: str) -> int:
    match = _CLOCK.fullmatch(text)
    minute = int(match[1]) * 60 + int(match[2]) if match else _DAY_MINUTES + 1
    if minute > _DAY_MINUTES:
        message = f"{text!r} is no time of day; write for example 08:00, and 24:00 for midnight"
        raise ValueError(message)
    return minute


def _week_time(day: int, minute: int) -> WeekTime:
    return WeekTime(day=(day + minute // _DAY_MINUTES) % len(_DAYS), minute=minute % _DAY_MINUTES)


def _weekly(text: str) -> WeekTime:
    day, _, clock = text.partition(" ")
    return _week_time(_DAYS.index(day), _clock(clock))


def _once(text: str) -> datetime:
    match = _ONCE.fullmatch(text)
    if match is None:
        message = (
            f"{text!r} is no beginning or end of a window; write fri 18:00 for every week, "
            "2026-12-01 08:00 for once, or 08:00 with days"
        )
        raise ValueError(message)
    minute = _clock(match[2])
    try:
        midnight = datetime.combine(date.fromisoformat(match[1]), time.min)
        return midnight + timedelta(minutes=minute)
    except (ValueError, OverflowError):
        message = f"{text!r} is on no day of the calendar; write for example 2026-12-01 08:00"
        raise ValueError(message) from None


def problems(
    file: Sections, plans: Mapping[str, PlanEntry], quotas: Mapping[str, QuotaEntry]
) -> Iterator[Problem]:
    """Find references of *plans* and *quotas* to what does not exist."""
    for key, plan in plans.items():
        yield from allowed_problems(("plans", key), file, plan)
        for index, queue in enumerate(plan.queues):
            if queue not in file.queues:
                yield ("plans", key, "queues", index), unknown(queue, file.queues)
    for key, quota in quotas.items():
        if quota.gpu_model is not None and quota.gpu_model not in file.gpu_models:
            yield ("quotas", key, "gpu_model"), unknown(quota.gpu_model, file.gpu_models)


def allowed_problems(
    where: tuple[str, ...], file: Sections, entry: AllowedEntry
) -> Iterator[Problem]:
    """Find references of *entry*, which stands at *where*, to what does not exist."""
    lists: tuple[tuple[str, list[str] | None, Iterable[str]], ...] = (
        ("profiles", entry.profiles, file.profiles),
        ("gpu_models", entry.gpu_models, file.gpu_models),
        ("images", entry.images, file.images),
    )
    for name, keys, known in lists:
        for index, key in enumerate(keys or ()):
            if key not in known:
                yield (*where, name, index), unknown(key, known)


def plan(key: str, entry: PlanEntry, file: Sections) -> Plan:
    """Return the plan that *entry* declares."""
    windows = tuple(window for each in entry.windows or () for window in windows_of(each))
    return Plan(
        key=key,
        display_name=entry.display_name,
        queues=tuple(entry.queues),
        windows=windows,
        **_allowed(entry, file),
    )


def default_plan(entry: AllowedEntry, file: Sections) -> Plan:
    """Return what projects without a plan have."""
    return Plan(key="", display_name="no plan", queues=(), windows=(), **_allowed(entry, file))


def _allowed(entry: AllowedEntry, file: Sections) -> dict[str, Any]:
    return {
        "profiles": frozenset(file.profiles if entry.profiles is None else entry.profiles),
        "gpu_models": frozenset(file.gpu_models if entry.gpu_models is None else entry.gpu_models),
        "images": frozenset(file.images if entry.images is None else entry.images),
        "at_once": at_once(entry.at_once),
        "person_at_once": at_once(entry.person_at_once),
        "volumes_bytes": entry.volumes,
    }


def quotas(entries: Mapping[str, QuotaEntry]) -> Iterator[Quota]:
    """Yield the amounts per day and month that *entries* declare."""
    for key, entry in entries.items():
        for name, resource in _RESOURCES.items():
            hours = getattr(entry, name)
            if hours is not None and entry.per is not None:
                unit = UNIT_HOUR[resource]
                override = entry.override
                yield Quota(
                    key=key,
                    subject=_subject(entry),
                    resource=resource,
                    span=Span(entry.per),
                    gpu_model=entry.gpu_model,
                    amount=int(hours * unit),
                    override=None
                    if override is None or override.hours is None
                    else _override(override, int(override.hours * unit)),
                )


def storage_quotas(entries: Mapping[str, QuotaEntry]) -> Iterator[StorageQuota]:
    """Yield the sizes that *entries* declare."""
    for key, entry in entries.items():
        if entry.storage is not None:
            override = entry.override
            yield StorageQuota(
                key=key,
                subject=_subject(entry),
                size_bytes=entry.storage,
                override=None
                if override is None or override.storage is None
                else _override(override, override.storage),
            )


def _subject(entry: QuotaEntry) -> Subject:
    kind = next(kind for kind in SubjectKind if getattr(entry, kind.value, None) is not None)
    return Subject(kind, getattr(entry, kind.value))


def _override(entry: OverrideEntry, amount: int) -> Override:
    return Override(amount=amount, expires_at=entry.until, reason=entry.reason)
