"""Sessions of the store, and what they reserve."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from eugospawner.policy.quota import Amounts, Demand, Exceeds, Fits, Subject, SubjectKind, mib
from eugospawner.store import NewSession, Store


def a_demand(session: NewSession, **changes: Any) -> Demand:
    """Eight hours of what *session* takes, without limits, in Berlin's days."""
    subjects = [
        Subject(SubjectKind.USER, session.owner),
        Subject(SubjectKind.PROJECT, session.project),
        Subject(SubjectKind.QUEUE, session.queue),
    ]
    if session.group_key is not None:
        subjects.append(Subject(SubjectKind.GROUP, session.group_key))
    if session.organization is not None:
        subjects.append(Subject(SubjectKind.ORGANIZATION, session.organization))
    return replace(
        Demand(
            subjects=tuple(subjects),
            gpu_model=session.gpu_model or "",
            rates=Amounts(
                gpu=session.requested_percent,
                cpu=session.cpu_millicores,
                memory=mib(session.memory_bytes),
            ),
            start=session.admitted_at,
            latest_end=session.admitted_at + timedelta(hours=8),
            because="max-session",
            limits=(),
            zone="Europe/Berlin",
        ),
        **changes,
    )


async def begin(store: Store, session: NewSession, **changes: Any) -> Fits | Exceeds:
    """Open *session* in *store* with the demand of `a_demand`."""
    return await store.sessions.open(session, a_demand(session, **changes))
