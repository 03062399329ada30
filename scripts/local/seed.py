"""
What the demo's store begins with: design.md §4, so that each state can be seen by signing in.

Organizations, projects, plans and people are changes of the catalog at run time, as an admin would
make them; windows and usage are made anew at each start, so that the states hold on any day: the
plan of `vision` is open now, that of `course` is closed, Alice's L40S hours are used up and Bob's
GPU hours stand at 85 %. What people did in the demo before stays, and counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import yaml

from eugospawner import settings, store
from eugospawner.policy.catalog import DEFAULT_QUEUE, Kind
from eugospawner.policy.quota import (
    MILLISECOND,
    Amounts,
    Demand,
    Limit,
    Resource,
    Subject,
    SubjectKind,
    mib,
    period_at,
)
from eugospawner.store.refusals import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from eugospawner.policy.catalog import Catalog
    from eugospawner.policy.limits import Quota
    from eugospawner.settings import Settings
    from eugospawner.store import Store

SEEDER: Final = "demo"
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: Plans that the states are about; a catalog without them is left as it is.
_PLANS: Final = ("research", "teaching")
_HALF_DAY: Final = timedelta(hours=12)
#: Longer days are worked with more GPUs.
_WORKDAY: Final = timedelta(hours=12)
_BREAK: Final = timedelta(minutes=30)
_MINUTE: Final = timedelta(minutes=1)
_MORNING: Final = time(9)
_SATURDAY: Final = 5
_MOST_DAYS: Final = 31
#: How much is done on days of the month, by their number.
_EFFORT: Final = (4, 6, 3, 5, 7, 5, 3)
#: What they are called, and their parts of a day in percent.
_WORKSPACES: Final = (("training", 62), ("evaluation", 38))
_LONGEST: Final = timedelta(hours=10)
_WHOLE_GPU: Final = 100
#: In the first minutes of a month, only so many can use up so much.
_MOST_GPUS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """Somebody who has used *percent* of the quota *quota* in this period, with *profile*."""

    owner: str
    profile: str
    quota: str
    gpu_model: str
    percent: int


PAST: Final = (
    Past(
        owner="alice", profile="nb-gpu-l40s", quota="l40s-each-month", gpu_model="L40S", percent=100
    ),
    Past(owner="bob", profile="nb-gpu-l4", quota="gpu-each-month", gpu_model="L4", percent=85),
)


async def sow(url: str, catalog: Path, now: datetime) -> None:
    """
    Have the store at *url* say what the demo shows; its schema must be there.

    Raises:
        StoreError: It cannot be written.
    """
    declared = settings.load(catalog)
    if not all(plan in declared.directory.plans for plan in _PLANS):
        return
    opened = await store.open_store(url)
    try:
        known = {(each.section, each.key): each for each in await opened.changes.since(0)}
        for (section, key), document in documents(
            _plans(catalog), declared.catalog.zone, now
        ).items():
            before = known.get((section, key))
            if before is None or before.document != document:
                await opened.changes.put(
                    section, key, document, actor=SEEDER, reason="the demo began", at=now
                )
        for past in PAST:
            await _use(opened, declared, past, now)
    finally:
        await opened.close()


def _plans(catalog: Path) -> dict[str, dict[str, Any]]:
    """Return the plans of the file *catalog* as they are written there."""
    written: dict[str, dict[str, Any]] = yaml.safe_load(catalog.read_text("utf-8"))["plans"]
    return written


def documents(
    plans: Mapping[str, dict[str, Any]], zone: str, now: datetime
) -> dict[tuple[str, str], Any]:
    """
    Return the entries that the demo has beside those of its catalog, as of *now*.

    Args:
        plans: Those of the catalog, as they are written; the demo opens and closes two of them.
        zone: That of accounting.
    """
    local = now.astimezone(ZoneInfo(zone))
    return {
        ("organizations", "acme"): {
            "display_name": "Acme",
            "contact": "alice",
            "subscription": "team, since 2026",
            "payment_method": "invoice, on file",
        },
        ("organizations", "umbrella"): {"display_name": "Umbrella"},
        ("organizations", "initech"): {
            "display_name": "Initech",
            "suspended": "a payment is overdue",
            "contact": "billing@initech.example",
        },
        ("groups", "vision-lab"): {"display_name": "Vision lab"},
        ("groups", "course-2026"): {"display_name": "Course 2026"},
        ("plans", "research"): plans["research"] | {"windows": [_window(zone, local, opens=-1)]},
        ("plans", "teaching"): plans["teaching"] | {"windows": [_window(zone, local, opens=2)]},
        ("projects", "vision"): {
            "display_name": "Vision",
            "group": "vision-lab",
            "organization": "acme",
            "plan": "research",
            "managers": ["alice"],
        },
        ("projects", "course"): {
            "display_name": "Course",
            "group": "course-2026",
            "organization": "umbrella",
            "plan": "teaching",
        },
        ("people", "alice"): {
            "organization": "acme",
            "role": "owner",
            "groups": ["vision-lab"],
            "personal": {"plan": "research", "may_run_as_root": True},
        },
        ("people", "bob"): {"organization": "acme", "groups": ["vision-lab"]},
        ("people", "carol"): {"organization": "umbrella", "groups": ["course-2026"]},
        ("people", "dave"): {"organization": "initech"},
    }


def _window(zone: str, local: datetime, *, opens: int) -> dict[str, str]:
    """Return a weekly window of twelve hours that opens *opens* hours from now, on the hour."""
    start = (local + timedelta(hours=opens)).replace(minute=0, second=0, microsecond=0)
    return {
        "zone": zone,
        "from": _week_time(start),
        "to": _week_time(start + _HALF_DAY),
    }


def _week_time(at: datetime) -> str:
    return f"{_DAYS[at.weekday()]} {at:%H:%M}"


async def _use(opened: Store, declared: Settings, past: Past, now: datetime) -> None:
    """Record sessions of this period that bring *past* to its share of the quota, if it lacks."""
    quota = next((each for each in declared.catalog.quotas if each.key == past.quota), None)
    if quota is None or quota.resource is not Resource.GPU:
        return
    user, zone = Subject(SubjectKind.USER, past.owner), declared.catalog.zone
    period = period_at(quota.span, zone, now)
    usage = (await opened.brief(revision=0, subjects=[user], since=now)).usage
    missing = quota.amount * past.percent // 100 - usage.against(_limit(quota, user), period.key)
    for run in runs(missing, period.start, now, ZoneInfo(zone)):
        await _record(opened, declared.catalog, past, run)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A workspace that ran from *start* on with GPUs of *percent* in all."""

    workspace: str
    start: datetime
    length: timedelta
    percent: int


def runs(missing: int, since: datetime, now: datetime, zone: ZoneInfo) -> tuple[Run, ...]:
    """
    Return runs between *since* and *now* that come to *missing* GPU time, as somebody works.

    Most of it lies on the days before today, more on some than on others, and little on weekends.
    """
    today = datetime.combine(now.astimezone(zone).date(), time(), zone)
    days = [
        day
        for number in range(1, _MOST_DAYS)
        if (day := today.date() - timedelta(days=number)) >= since.astimezone(zone).date()
    ]
    efforts = [
        (day, _EFFORT[day.day % len(_EFFORT)] if day.weekday() < _SATURDAY else 1) for day in days
    ]
    whole = sum(effort for _, effort in efforts)
    found: list[Run] = []
    for day, effort in sorted(efforts):
        at = datetime.combine(day, _MORNING, zone).astimezone(UTC)
        found += _of_a_day(missing * effort // whole, at)
    rest = missing - sum(run.percent * (run.length // MILLISECOND) for run in found)
    length, percent = _spread(rest, now - max(since, today))
    if percent > 0:
        name = _WORKSPACES[0][0]
        found.append(Run(workspace=name, start=now - length, length=length, percent=percent))
    return tuple(found)


def _of_a_day(amount: int, at: datetime) -> Iterator[Run]:
    """Yield what somebody does from *at* on, one workspace after the other, in whole minutes."""
    gpus = max(1, -(-amount // (_WHOLE_GPU * (_WORKDAY // MILLISECOND))))
    for workspace, percent in _WORKSPACES:
        minutes = amount * percent // 100 // (gpus * _WHOLE_GPU) // (_MINUTE // MILLISECOND)
        if minutes > 0:
            length = minutes * _MINUTE
            yield Run(workspace=workspace, start=at, length=length, percent=gpus * _WHOLE_GPU)
            at += length + _BREAK


async def _record(opened: Store, catalog: Catalog, past: Past, run: Run) -> None:
    session, project = (
        f"demo-{past.owner}-{run.start:%Y%m%d%H%M%S%f}",
        f"personal-{past.owner}",
    )
    profile = catalog.profiles.get(past.profile) or catalog.profiles[catalog.default_profile]
    flavor, gpus = catalog.flavors[profile.flavors[0]], -(-run.percent // _WHOLE_GPU)
    words = {"profile": profile.key, **({"gpu_count": gpus} if gpus > 1 else {})}
    new = store.NewSession(
        id=session,
        owner=past.owner,
        workspace=run.workspace,
        actor=past.owner,
        project=project,
        profile=profile.key,
        flavor=flavor.key,
        kind=Kind.JUPYTERLAB,
        queue=DEFAULT_QUEUE,
        image=catalog.images[profile.images[0]].reference,
        gpu_model=past.gpu_model,
        gpu_count=gpus,
        sm_percent=_WHOLE_GPU,
        requested_percent=run.percent,
        cpu_millicores=flavor.cpu_millicores,
        memory_bytes=flavor.memory_bytes,
        pod_name=f"{run.workspace}-{past.owner}",
        admitted_at=run.start,
        options=text_of(words),
    )
    demand = Demand(
        subjects=(
            Subject(SubjectKind.USER, past.owner),
            Subject(SubjectKind.PROJECT, project),
            Subject(SubjectKind.QUEUE, DEFAULT_QUEUE),
        ),
        gpu_model=past.gpu_model,
        rates=Amounts(gpu=run.percent, cpu=flavor.cpu_millicores, memory=mib(flavor.memory_bytes)),
        start=run.start,
        latest_end=run.start + run.length,
        because="max-session",
        limits=(),
        zone=catalog.zone,
    )
    await opened.sessions.open(new, demand)
    await opened.sessions.bind(session, granted_percent=run.percent, at=run.start)
    await opened.sessions.end(session, reason="stopped", at=run.start + run.length)


def _spread(amount: int, most: timedelta) -> tuple[timedelta, int]:
    """
    Return a length within *most* and a rate that come to *amount* of GPU time.

    To the unit if whole GPUs can, else to the millisecond below.
    """
    longest = min(most, _LONGEST) // MILLISECOND
    if amount <= 0 or longest <= 0:
        return timedelta(0), 0
    for percent in range(4 * _WHOLE_GPU, _MOST_GPUS * _WHOLE_GPU, _WHOLE_GPU):
        if amount % percent == 0 and amount // percent <= longest:
            return amount // percent * MILLISECOND, percent
    percent = -(-amount // longest)
    return amount // percent * MILLISECOND, percent


def _limit(quota: Quota, user: Subject) -> Limit:
    return Limit(
        key=quota.key,
        subject=user,
        resource=quota.resource,
        span=quota.span,
        gpu_model=quota.gpu_model,
        amount=quota.amount,
    )
