"""
Limits: which amounts bound a session, from plan, queue and quotas.

A *quota* is declared for one user, project, group or organization, or with ``*`` for each of
them, per day or month; an *override* replaces its amount until it expires. What may be held at
once comes from the plan and the queue. Here all of them become `quota.Limit` values for the
subjects of one session. Source: design §5 (admission order); F55, F98 to F101.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eugospawner.policy.catalog import DEFAULT_QUEUE
from eugospawner.policy.quota import (
    HOUR_MS,
    MIB,
    Limit,
    Resource,
    Span,
    Subject,
    SubjectKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts, Project
    from eugospawner.policy.catalog import AtOnce, Queue

#: As a subject's key: each of the kind, by itself.
EACH: Final = "*"

#: What one hour of one unit of people comes to: a whole GPU, a CPU, a GiB.
UNIT_HOUR: Final = {
    Resource.GPU: 100 * HOUR_MS,
    Resource.CPU: 1000 * HOUR_MS,
    Resource.MEMORY: 1024 * HOUR_MS,
}
#: What one unit of people is at once.
UNIT: Final = {Resource.GPU: 100, Resource.CPU: 1000, Resource.MEMORY: 1024}


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """
    Another amount for a quota until *expires_at*, aware UTC; an admin gave it for a reason.

    Attributes:
        amount: In the quota's own unit.
    """

    amount: int
    expires_at: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """
    An amount per day or month.

    Attributes:
        subject: Its key may be `EACH`.
        gpu_model: Counts this model alone; `None`: all together.
        amount: In the unit of *resource* (`policy.quota`).
    """

    key: str
    subject: Subject
    resource: Resource
    span: Span
    gpu_model: str | None
    amount: int
    override: Override | None = None

    def amount_at(self, now: datetime) -> int:
        """Return the amount that holds at *now*."""
        if self.override is not None and now < self.override.expires_at:
            return self.override.amount
        return self.amount


def payers_of(owner: str, project: Project) -> tuple[Subject, ...]:
    """Return all for whom counts what *owner* has in *project*: the two first."""
    payers = [Subject(SubjectKind.USER, owner), Subject(SubjectKind.PROJECT, project.key)]
    if project.group is not None:
        payers.append(Subject(SubjectKind.GROUP, project.group.key))
    if project.organization is not None:
        payers.append(Subject(SubjectKind.ORGANIZATION, project.organization.key))
    return tuple(payers)


def payers_for(project: Project) -> tuple[Subject, ...]:
    """Return all for whom counts what is *project*'s own: it first."""
    return payers_of("", project)[1:]


def subjects_of(owner: str, project: Project, queue: Queue) -> tuple[Subject, ...]:
    """Return all on whose account a session runs: owner, project and queue first."""
    payers = payers_of(owner, project)
    return (*payers[:2], Subject(SubjectKind.QUEUE, queue.key), *payers[2:])


def subjects_at_stake(accounts: Accounts) -> frozenset[Subject]:
    """Return all on whose account any session of this owner could run."""
    subjects = {
        Subject(SubjectKind.USER, accounts.person.name),
        Subject(SubjectKind.QUEUE, DEFAULT_QUEUE),
    }
    for project in accounts.projects:
        subjects.add(Subject(SubjectKind.PROJECT, project.key))
        subjects.update(Subject(SubjectKind.QUEUE, queue) for queue in project.plan.queues)
        if project.group is not None:
            subjects.add(Subject(SubjectKind.GROUP, project.group.key))
        if project.organization is not None:
            subjects.add(Subject(SubjectKind.ORGANIZATION, project.organization.key))
    return frozenset(subjects)


def spans_of(quotas: Iterable[Quota]) -> frozenset[Span]:
    """Return the spans of all limits there can be with *quotas*: plans and queues limit at once."""
    return frozenset({Span.AT_ONCE, *(quota.span for quota in quotas)})


def limits_of(
    accounts: Accounts, project: Project, queue: Queue, quotas: Iterable[Quota], now: datetime
) -> tuple[Limit, ...]:
    """
    Return all limits of a session that the owner of *accounts* would have in *project*.

    In the order of admission: what may be held at once by project, user and queue, then amounts
    per day and month in the order of the catalog.
    """
    subjects = subjects_of(accounts.person.name, project, queue)
    user, own, line = subjects[:3]
    plan = project.plan
    return (
        *_at_once(_key_of(project), own, plan.at_once),
        *_at_once(_key_of(project), user, plan.person_at_once),
        *_at_once(queue.key, line, queue.at_once),
        *_amounts(subjects, quotas, now),
    )


def limits_about(
    subject: Subject, project: Project | None, quotas: Iterable[Quota], now: datetime
) -> tuple[Limit, ...]:
    """
    Return the limits that hold for *subject* whoever starts what in which queue.

    Args:
        project: The one that *subject* is; `None`: it is something else.
    """
    held = () if project is None else _at_once(_key_of(project), subject, project.plan.at_once)
    return (*held, *_amounts((subject,), quotas, now))


def _key_of(project: Project) -> str:
    return project.plan.key or "defaults"


def _at_once(key: str, subject: Subject, limits: AtOnce) -> Iterator[Limit]:
    for resource, amount in (
        (Resource.GPU, limits.gpu_percent),
        (Resource.CPU, limits.cpu_millicores),
        (Resource.MEMORY, None if limits.memory_bytes is None else limits.memory_bytes // MIB),
    ):
        if amount is not None:
            yield Limit(
                key=key,
                subject=subject,
                resource=resource,
                span=Span.AT_ONCE,
                gpu_model=None,
                amount=amount,
            )


def _amounts(
    subjects: tuple[Subject, ...], quotas: Iterable[Quota], now: datetime
) -> Iterator[Limit]:
    for quota in quotas:
        for subject in subjects:
            if subject.kind is quota.subject.kind and quota.subject.key in {EACH, subject.key}:
                yield Limit(
                    key=quota.key,
                    subject=subject,
                    resource=quota.resource,
                    span=quota.span,
                    gpu_model=quota.gpu_model,
                    amount=quota.amount_at(now),
                )


_UNIT_WORDS: Final = {Resource.GPU: "GPU", Resource.CPU: "CPU", Resource.MEMORY: "GiB memory"}


def words_of(amount: int, limit: Limit, *, up: bool = False) -> str:
    """
    Return *amount* of what *limit* counts, for a sentence: ``1.50 GPUs``, ``40.00 GPU hours``.

    Rounded down to hundredths, so that what is said to be left is left.

    Args:
        up: Round up instead, so that what is said to be used or asked for is no less.
    """
    name = _UNIT_WORDS[limit.resource]
    if limit.gpu_model is not None:
        name = limit.gpu_model
    if limit.span is not Span.AT_ONCE:
        name = f"{name} hours"
    elif limit.resource is Resource.GPU:
        name = f"{name}s"
    return f"{_figure(amount, limit, up=up)} {name}"


def used_words(used: int, limit: Limit) -> str:
    """Return *used* beside the amount of *limit*: ``1.50 of 2.00 GPUs``."""
    return f"{_figure(used, limit, up=True)} of {words_of(limit.amount, limit)}"


def _figure(amount: int, limit: Limit, *, up: bool) -> str:
    at_once = limit.span is Span.AT_ONCE
    unit = UNIT[limit.resource] if at_once else UNIT_HOUR[limit.resource]
    whole, hundredths = divmod(-(-amount * 100 // unit) if up else amount * 100 // unit, 100)
    return f"{whole}.{hundredths:02d}"
