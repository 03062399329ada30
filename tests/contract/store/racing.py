"""Many starts for one quota, from any thread or process."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import Fits, Limit, Resource, Span, Subject, SubjectKind
from eugospawner.store import Store, open_store
from tests.contract.store.values import a_session
from tests.factories.sessions import begin

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
#: What one session of `a_session` takes: a quarter of a GPU for eight hours.
ONE = 25 * timedelta(hours=8) // timedelta(milliseconds=1)


async def race(
    url: str, numbers: Iterable[int], *, sessions: int = 1, patient: bool = False
) -> list[str]:
    """
    Start a session for each of *numbers*, all at once; return the ids of those admitted.

    Args:
        sessions: How many the quota has room for.
        patient: Ask again, for the same session, while the store does not answer.
    """
    limit = Limit(
        key="last",
        subject=Subject(SubjectKind.USER, "alice"),
        resource=Resource.GPU,
        span=Span.MONTH,
        gpu_model=None,
        amount=sessions * ONE,
    )
    store = await open_store(url)
    try:
        answers = await asyncio.gather(
            *(_start(store, number, limit, patient=patient) for number in numbers)
        )
    finally:
        await store.close()
    return [name for name in answers if name]


async def _start(store: Store, number: int, limit: Limit, *, patient: bool) -> str:
    new = a_session(f"s{number}", workspace=str(number), admitted_at=NOON)
    while True:
        try:
            answer = await begin(store, new, limits=(limit,))
        except StoreError:
            if not patient:
                raise
            await asyncio.sleep(0.05)
        else:
            return new.id if isinstance(answer, Fits) else ""
