"""Which amounts bound a session: from plan, queue and quotas, for whom, and in words (F98 to F101)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from eugospawner.policy.accounts import Project
from eugospawner.policy.catalog import AtOnce
from eugospawner.policy.limits import (
    EACH,
    UNIT,
    UNIT_HOUR,
    Override,
    Quota,
    limits_of,
    spans_of,
    subjects_of,
    used_words,
    words_of,
)
from eugospawner.policy.quota import HOUR_MS, Limit, Resource, Span, Subject, SubjectKind
from tests.factories import (
    GIB,
    NOW,
    a_group,
    a_plan,
    a_project,
    a_queue,
    a_quota,
    an_organization,
    some_accounts,
)

GPU_HOUR = 100 * HOUR_MS
VISION = a_project("vision", group=a_group("lab"), organization=an_organization("acme"))


def keys_of(*quotas: Quota, project: Project = VISION) -> list[tuple[str, str]]:
    """Return key and subject's key of each limit that Alice has by *quotas*."""
    limits = limits_of(some_accounts(project), project, a_queue("batch"), quotas, NOW)
    return [(limit.key, limit.subject.key) for limit in limits]


def for_(kind: SubjectKind, key: str) -> Quota:
    return a_quota(f"{kind}-{key}", subject=Subject(kind, key))


# Whose


def test_a_session_runs_on_the_account_of_all_who_have_a_part_in_it() -> None:
    assert subjects_of("alice", VISION, a_queue("batch")) == (
        Subject(SubjectKind.USER, "alice"),
        Subject(SubjectKind.PROJECT, "vision"),
        Subject(SubjectKind.QUEUE, "batch"),
        Subject(SubjectKind.GROUP, "lab"),
        Subject(SubjectKind.ORGANIZATION, "acme"),
    )


def test_a_personal_project_of_no_organization_has_neither_group_nor_organization() -> None:
    assert [each.kind for each in subjects_of("alice", a_project(), a_queue())] == [
        "user",
        "project",
        "queue",
    ]


@pytest.mark.parametrize(
    ("kind", "key", "counts"),
    [
        (SubjectKind.USER, "alice", ["alice"]),
        (SubjectKind.USER, "bob", []),
        (SubjectKind.USER, EACH, ["alice"]),
        (SubjectKind.USER, "vision", []),
        (SubjectKind.PROJECT, "vision", ["vision"]),
        (SubjectKind.PROJECT, "personal-alice", []),
        (SubjectKind.PROJECT, EACH, ["vision"]),
        (SubjectKind.GROUP, "lab", ["lab"]),
        (SubjectKind.GROUP, "acme", []),
        (SubjectKind.GROUP, EACH, ["lab"]),
        (SubjectKind.ORGANIZATION, "acme", ["acme"]),
        (SubjectKind.ORGANIZATION, "ACME", []),
        (SubjectKind.ORGANIZATION, EACH, ["acme"]),
    ],
)
def test_a_quota_is_for_whom_it_names_or_for_each(
    kind: SubjectKind, key: str, counts: list[str]
) -> None:
    """F99: each by itself, so the limit names the subject and never the star."""
    assert [subject for _, subject in keys_of(for_(kind, key))] == counts


def test_a_quota_for_each_group_counts_nothing_where_there_is_none() -> None:
    quotas = for_(SubjectKind.GROUP, EACH), for_(SubjectKind.ORGANIZATION, EACH)
    assert keys_of(*quotas, project=a_project()) == []


def test_a_quota_for_somebody_holds_beside_the_one_for_each() -> None:
    """F100: the tighter decides."""
    quotas = for_(SubjectKind.USER, EACH), for_(SubjectKind.USER, "alice")
    assert keys_of(*quotas) == [("user-*", "alice"), ("user-alice", "alice")]


# In which order, and how much


def test_limits_stand_in_the_order_of_admission() -> None:
    """Design §5: at once of project, user and queue, then amounts as the catalog has them."""
    plan = a_plan(
        "research",
        at_once=AtOnce(gpu_percent=200, cpu_millicores=9000, memory_bytes=3 * GIB),
        person_at_once=AtOnce(gpu_percent=50),
    )
    project = replace(VISION, plan=plan)
    queue = a_queue("batch", at_once=AtOnce(memory_bytes=2 * GIB))
    quotas = (
        a_quota("month"),
        a_quota("acme", subject=Subject(SubjectKind.ORGANIZATION, "acme"), span=Span.DAY),
        a_quota("h100", gpu_model="H100", resource=Resource.GPU, amount=5),
    )
    user, own = Subject(SubjectKind.USER, "alice"), Subject(SubjectKind.PROJECT, "vision")
    line, acme = Subject(SubjectKind.QUEUE, "batch"), Subject(SubjectKind.ORGANIZATION, "acme")
    at_once, day, month = Span.AT_ONCE, Span.DAY, Span.MONTH
    gpu, cpu, memory = Resource
    assert [
        (each.key, each.subject, each.resource, each.span, each.gpu_model, each.amount)
        for each in limits_of(some_accounts(project), project, queue, quotas, NOW)
    ] == [
        ("research", own, gpu, at_once, None, 200),
        ("research", own, cpu, at_once, None, 9000),
        ("research", own, memory, at_once, None, 3 * 1024),
        ("research", user, gpu, at_once, None, 50),
        ("batch", line, memory, at_once, None, 2 * 1024),
        ("month", user, gpu, month, None, 40 * GPU_HOUR),
        ("acme", acme, gpu, day, None, 40 * GPU_HOUR),
        ("h100", user, gpu, month, "H100", 5),
    ]


def test_nothing_at_all_is_a_limit_and_no_amount_is_none() -> None:
    project = a_project(plan=a_plan("", at_once=AtOnce(gpu_percent=0)))
    (limit,) = limits_of(some_accounts(), project, a_queue(), (), NOW)
    assert (limit.key, limit.resource, limit.amount) == ("defaults", Resource.GPU, 0)


@pytest.mark.parametrize(("size", "amount"), [(GIB, 1024), (GIB - 1, 1023), (GIB + 1, 1024)])
def test_memory_at_once_is_no_more_than_the_plan_says(size: int, amount: int) -> None:
    project = a_project(plan=a_plan(at_once=AtOnce(memory_bytes=size)))
    (limit,) = limits_of(some_accounts(), project, a_queue(), (), NOW)
    assert limit.amount == amount


@pytest.mark.parametrize(
    ("expires_in", "amount"),
    [(timedelta(hours=1), 7), (timedelta(microseconds=1), 7), (timedelta(0), 40 * GPU_HOUR)],
)
def test_an_override_replaces_the_amount_until_it_expires(
    expires_in: timedelta, amount: int
) -> None:
    """F101: more or less, as an admin gave it."""
    quota = a_quota(override=Override(amount=7, expires_at=NOW + expires_in, reason="a deadline"))
    assert quota.amount_at(NOW) == amount
    (limit,) = limits_of(some_accounts(), a_project(), a_queue(), (quota,), NOW)
    assert limit.amount == amount


# In words


def a_limit(resource: Resource, span: Span, gpu_model: str | None = None, amount: int = 0) -> Limit:
    return Limit(
        key="limit",
        subject=Subject(SubjectKind.USER, "alice"),
        resource=resource,
        span=span,
        gpu_model=gpu_model,
        amount=amount,
    )


@pytest.mark.parametrize(
    ("amount", "limit", "down", "up"),
    [
        (150, a_limit(Resource.GPU, Span.AT_ONCE), "1.50 GPUs", "1.50 GPUs"),
        (0, a_limit(Resource.GPU, Span.AT_ONCE), "0.00 GPUs", "0.00 GPUs"),
        (2005, a_limit(Resource.CPU, Span.AT_ONCE), "2.00 CPU", "2.01 CPU"),
        (1023, a_limit(Resource.MEMORY, Span.AT_ONCE), "0.99 GiB memory", "1.00 GiB memory"),
        (40 * GPU_HOUR, a_limit(Resource.GPU, Span.MONTH), "40.00 GPU hours", "40.00 GPU hours"),
        (
            GPU_HOUR - 1,
            a_limit(Resource.GPU, Span.DAY, "H100"),
            "0.99 H100 hours",
            "1.00 H100 hours",
        ),
        (1, a_limit(Resource.CPU, Span.DAY), "0.00 CPU hours", "0.01 CPU hours"),
        (
            1536 * HOUR_MS,
            a_limit(Resource.MEMORY, Span.MONTH),
            "1.50 GiB memory hours",
            "1.50 GiB memory hours",
        ),
    ],
)
def test_what_is_left_is_rounded_down_and_what_is_used_up(
    amount: int, limit: Limit, down: str, up: str
) -> None:
    assert words_of(amount, limit) == down
    assert words_of(amount, limit, up=True) == up


def test_what_is_used_stands_beside_the_limit() -> None:
    limit = a_limit(Resource.GPU, Span.AT_ONCE, amount=200)
    assert used_words(175, limit) == "1.75 of 2.00 GPUs"


@pytest.mark.parametrize("resource", Resource)
def test_an_hour_of_a_unit_is_the_unit_for_an_hour(resource: Resource) -> None:
    assert UNIT_HOUR[resource] == UNIT[resource] * HOUR_MS


@pytest.mark.parametrize(
    "spans", [[], [Span.DAY], [Span.MONTH, Span.MONTH], [Span.DAY, Span.MONTH]]
)
def test_a_decision_reads_the_spans_that_it_judges_and_no_other(spans: list[Span]) -> None:
    quotas = [a_quota(span=span) for span in spans]
    read = spans_of(quotas)
    assert read == {Span.AT_ONCE, *spans}
    limits = limits_of(some_accounts(VISION), VISION, a_queue("batch"), quotas, NOW)
    assert {limit.span for limit in limits} <= read
