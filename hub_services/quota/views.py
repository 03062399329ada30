"""
Views: how it stands with somebody, as page, API and command line say it.

Pure: settings, what the store read in one go, and the time go in; a report comes out, words included.
The figures are those that admission uses, by the same functions. Source: features L6, F98 to F102.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from eugospawner import lines
from eugospawner.choices import size
from eugospawner.policy import storage
from eugospawner.policy.catalog import DEFAULT_QUEUE
from eugospawner.policy.limits import EACH, UNIT, UNIT_HOUR, limits_about, limits_of, words_of
from eugospawner.policy.quota import (
    Limit,
    Resource,
    Span,
    Subject,
    SubjectKind,
    month_of,
    period_at,
)
from eugospawner.policy.standing import StorageStanding, standing
from hub_services.quota.models import (
    ConsumerLine,
    DayLine,
    LimitLine,
    OverrideLine,
    UsageReport,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts, Project
    from eugospawner.policy.limits import Override
    from eugospawner.policy.quota import Period, Usage
    from eugospawner.policy.storage import StorageLimit
    from eugospawner.settings import Settings
    from eugospawner.store.consumption import Consumed

#: Consumers on a report; who wants all asks the API for months and people.
MOST_CONSUMERS: Final = 50
_GIB: Final = 2**30


def month_at(settings: Settings, now: datetime) -> Period:
    """Return the month of accounting that holds *now*."""
    return period_at(Span.MONTH, settings.catalog.zone, now)


def report_on(
    subject: Subject,
    *,
    title: str,
    settings: Settings,
    accounts: Accounts | None,
    project: Project | None,
    usage: Usage,
    held: Mapping[Subject, int],
    consumed: tuple[Consumed, ...],
    names: Mapping[tuple[str, str], str],
    viewer: str,
    now: datetime,
    sees: Callable[[Subject], bool] = lambda _: True,
) -> UsageReport:
    """
    Return how it stands with *subject*.

    Args:
        title: As people call it.
        accounts: Of the person that *subject* is; `None`: it is none.
        project: That *subject* is; `None`: it is none.
        usage: Of all subjects of `subjects_of_report`, from the first of the month on.
        held: Bytes of their volumes.
        consumed: What *subject* consumed this month, largest first; one more than is shown says
            that there are more.
        names: Names of workspaces by owner and server; others are called by their server.
        viewer: Who reads: "you" is said of them.
        sees: Whether they may see the limits of a subject that is shared with others.
    """
    catalog, month = settings.catalog, month_at(settings, now)
    overrides = {each.key: each.override for each in catalog.quotas if each.override is not None}
    whose = _Whose(settings, accounts, viewer)
    found = [
        _limit_line(limit, usage, catalog.zone, whose(limit.subject), overrides, now)
        for limit in _limits(subject, settings, accounts, project, now)
        if sees(limit.subject)
    ]
    of_storage = {
        each.key: each.override for each in catalog.storage_quotas if each.override is not None
    }
    found += [
        _storage_line(limit, held, whose(limit.subject) + where, of_storage, now)
        for limit, where in _storage_limits(subject, settings, accounts, now).items()
        if sees(limit.subject)
    ]
    return UsageReport(
        subject=f"{subject.kind}:{subject.key}",
        title=title,
        month=month.key,
        zone=catalog.zone,
        at=now,
        warnings=[_warning(line) for line in found if line.tone != "good"],
        limits=found,
        consumers=[_consumer_line(each, names) for each in consumed[:MOST_CONSUMERS]],
        more_consumers=len(consumed) > MOST_CONSUMERS,
        days=list(_days(subject, usage, catalog.zone, month, now)),
    )


def subjects_of_report(subject: Subject, accounts: Accounts | None) -> frozenset[Subject]:
    """Return all whose usage a report on *subject* shows."""
    if accounts is None:
        return frozenset({subject})
    found = {subject}
    for project in accounts.projects:
        found.add(Subject(SubjectKind.PROJECT, project.key))
        if project.group is not None:
            found.add(Subject(SubjectKind.GROUP, project.group.key))
        if project.organization is not None:
            found.add(Subject(SubjectKind.ORGANIZATION, project.organization.key))
        for queue in (DEFAULT_QUEUE, *project.plan.queues):
            found.add(Subject(SubjectKind.QUEUE, queue))
    return frozenset(found)


def _limits(
    subject: Subject,
    settings: Settings,
    accounts: Accounts | None,
    project: Project | None,
    now: datetime,
) -> tuple[Limit, ...]:
    """Return each limit once, a person's own first, then those of what they share."""
    quotas = settings.catalog.quotas
    if accounts is None:
        return limits_about(subject, project, quotas, now)
    found = {
        limit: None
        for each in accounts.projects
        for key in (DEFAULT_QUEUE, *each.plan.queues)
        for limit in limits_of(accounts, each, settings.catalog.queues[key], quotas, now)
    }
    order = list(SubjectKind)
    return tuple(
        sorted(found, key=lambda limit: (limit.subject != subject, order.index(limit.subject.kind)))
    )


def _storage_limits(
    subject: Subject, settings: Settings, accounts: Accounts | None, now: datetime
) -> dict[StorageLimit, str]:
    """Return each limit once, and where it holds: a plan's only for what is made in its projects."""
    quotas = settings.catalog.storage_quotas
    if accounts is None:
        return dict.fromkeys(storage.limits_about(subject, quotas, now), "")
    found: dict[StorageLimit, str] = {}
    for each in accounts.projects:
        for limit in storage.limits_of(accounts.person.name, each, quotas, now):
            where = "" if limit.quota else f", made in {each.display_name}"
            found[limit] = (
                f"{found[limit]} or {each.display_name}" if limit in found and where else where
            )
    return found


def standings_of_quota(
    key: str,
    subject: Subject,
    settings: Settings,
    usage: Usage,
    held: Mapping[Subject, int],
    now: datetime,
) -> list[LimitLine]:
    """Return how it stands with the quota *key* of one *subject*; nothing for one of each."""
    if subject.key == EACH:
        return []
    whose, zone = _Whose(settings, None, "")(subject), settings.catalog.zone
    quotas, of_storage = settings.catalog.quotas, settings.catalog.storage_quotas
    overrides = {each.key: each.override for each in quotas if each.override is not None}
    overrides |= {each.key: each.override for each in of_storage if each.override is not None}
    return [
        *(
            _limit_line(limit, usage, zone, whose, overrides, now)
            for limit in limits_about(subject, None, quotas, now)
            if limit.key == key
        ),
        *(
            _storage_line(limit, held, whose, overrides, now)
            for limit in storage.limits_about(subject, of_storage, now)
            if limit.quota == key
        ),
    ]


class _Whose:
    """Of whom a limit is, as *viewer* reads it."""

    def __init__(self, settings: Settings, accounts: Accounts | None, viewer: str) -> None:
        self._settings, self._viewer = settings, viewer
        self._projects = {
            **settings.directory.projects,
            **{each.key: each for each in (accounts.projects if accounts else ())},
        }

    def __call__(self, subject: Subject) -> str:
        directory, catalog = self._settings.directory, self._settings.catalog
        named: Mapping[str, object] = {}
        match subject.kind:
            case SubjectKind.USER:
                return "you" if subject.key == self._viewer else subject.key
            case SubjectKind.PROJECT:
                named = self._projects
            case SubjectKind.GROUP:
                named = directory.groups
            case SubjectKind.ORGANIZATION:
                named = directory.organizations
            case SubjectKind.QUEUE:
                named = catalog.queues
        display: str = getattr(named.get(subject.key), "display_name", subject.key)
        return display


def _limit_line(
    limit: Limit,
    usage: Usage,
    zone: str,
    whose: str,
    overrides: Mapping[str, Override],
    now: datetime,
) -> LimitLine:
    stands = standing(limit, usage, zone, now)
    words = lines.line_of(stands, zone, whose)
    settled, reserved = usage.split(limit, "" if stands.period is None else stands.period.key)
    override = None if limit.span is Span.AT_ONCE else overrides.get(limit.key)
    if override is not None and now >= override.expires_at:
        override = None
    at_once = limit.span is Span.AT_ONCE
    return LimitLine(
        label=words.limit,
        key=limit.key,
        subject=f"{limit.subject.kind}:{limit.subject.key}",
        resource=limit.resource.value,
        span=limit.span.value,
        gpu_model=limit.gpu_model,
        amount=limit.amount,
        settled=settled,
        reserved=reserved,
        left=stands.left,
        base_units=(UNIT if at_once else UNIT_HOUR)[limit.resource],
        percent=stands.percent,
        used=words.used,
        remaining=words.left,
        resets=words.resets,
        standing=words.share,
        tone=words.tone,
        resets_at=None if stands.period is None else stands.period.end,
        warned_at=stands.warned_at,
        spent_at=stands.spent_at,
        override=None
        if override is None
        else OverrideLine(
            amount=words_of(override.amount, limit),
            until=override.expires_at,
            reason=override.reason,
        ),
    )


def _storage_line(
    limit: StorageLimit,
    held: Mapping[Subject, int],
    whose: str,
    overrides: Mapping[str, Override],
    now: datetime,
) -> LimitLine:
    stands = StorageStanding(limit=limit, used=held.get(limit.subject, 0))
    words = lines.storage_line_of(stands, whose)
    override = overrides.get(limit.quota)
    if override is not None and now >= override.expires_at:
        override = None
    return LimitLine(
        label=words.limit,
        key=limit.quota or "plan",
        subject=f"{limit.subject.kind}:{limit.subject.key}",
        resource="storage",
        span="at-once",
        gpu_model=None,
        amount=stands.amount,
        settled=0,
        reserved=stands.used,
        left=stands.left,
        base_units=_GIB,
        percent=stands.percent,
        used=words.used,
        remaining=words.left,
        resets=words.resets,
        standing=words.share,
        tone=words.tone,
        resets_at=None,
        warned_at=None,
        spent_at=None,
        override=None
        if override is None
        else OverrideLine(
            amount=size(override.amount), until=override.expires_at, reason=override.reason
        ),
    )


def _warning(line: LimitLine) -> str:
    return f"{line.label}: {line.used} ({line.standing}). Again from: {line.resets}."


def _hours(resource: Resource, amount: int) -> str:
    """Return an amount over time in hours of one unit, with two decimals, rounded down."""
    whole, hundredths = divmod(amount * 100 // UNIT_HOUR[resource], 100)
    return f"{whole}.{hundredths:02d}"


def _consumer_line(each: Consumed, names: Mapping[tuple[str, str], str]) -> ConsumerLine:
    where, used = each.workspace, each.used
    held = [
        f"{_hours(resource, used.reserved.of(resource))} {words}"
        for resource, words in ((Resource.GPU, "GPU hours"), (Resource.CPU, "CPU hours"))
        if used.reserved.of(resource)
    ]
    return ConsumerLine(
        owner=where.owner,
        workspace=names.get((where.owner, where.server)) or where.server or "default workspace",
        project=where.project,
        gpu_model=each.gpu_model,
        gpu_settled=used.settled.gpu,
        gpu_reserved=used.reserved.gpu,
        gpu=f"{_hours(Resource.GPU, used.settled.gpu)} GPU hours",
        cpu=f"{_hours(Resource.CPU, used.settled.cpu)} CPU hours",
        reserved=", ".join(held) or "nothing",
    )


def _days(
    subject: Subject, usage: Usage, zone: str, month: Period, now: datetime
) -> Iterator[DayLine]:
    """Yield each day of the month until today, and on while anything is reserved, with its GPU time."""
    total = 0
    today = period_at(Span.DAY, zone, now).key
    day = date.fromisoformat(f"{month.key}-01")
    while month_of(day.isoformat()) == month.key:
        limit = Limit(
            key="",
            subject=subject,
            resource=Resource.GPU,
            span=Span.DAY,
            gpu_model=None,
            amount=0,
        )
        used = usage.against(limit, day.isoformat())
        if day.isoformat() > today and not used:
            return  # what is reserved for days to come is in one piece
        total += used
        yield DayLine(
            day=day.isoformat(),
            gpu=used,
            gpu_hours=_hours(Resource.GPU, used),
            total_hours=_hours(Resource.GPU, total),
        )
        day += timedelta(days=1)
