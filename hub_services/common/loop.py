"""
Loops: a sweep repeated for as long as a service lives.

A sweep looks at the world and acts, so a missed one is made good by the next, and one that failed
is simply tried again. The guard around it is the one place that catches everything: it logs,
counts, and comes back sooner than usual, then less and less often, down to the interval and no
further, because whoever repaired the store expects the services to notice within that time.
Delays carry jitter, so that services which were started together do not act together.

A loop ends by being cancelled, which may happen at any `await` of the sweep; sweeps are made to
survive that. Source: style §3.6; compare kopf's throttlers.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from eugospawner.policy.errors import EugoError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import NoReturn

_log: Final = logging.getLogger(__name__)
_chance: Final = SystemRandom()

#: After the first failure; doubled with each that follows.
FIRST_RETRY: Final = timedelta(seconds=1)
#: Enough to pass any interval (12 days), few enough for a timedelta.
_DOUBLINGS: Final = 20


async def every(
    interval: timedelta,
    sweep_once: Callable[[], Awaitable[object]],
    *,
    jitter: float = 0.1,
    wakeup: asyncio.Event | None = None,
    first: timedelta = timedelta(),
) -> NoReturn:
    """
    Call *sweep_once* again and again until cancelled; never two at a time.

    Args:
        interval: Between the end of one sweep and the beginning of the next.
        jitter: Share of each delay by which it may be shorter or longer, 0 to 1.
        wakeup: Set it to sweep at once; set during a sweep, another follows.
        first: Before the first sweep.
    """
    delay, failures = first, 0
    while True:
        await sleep(_vary(delay, jitter), wakeup)
        failures = await _guarded(sweep_once, failures)
        delay = _retry(failures, interval) if failures else interval


async def sleep(duration: timedelta, wakeup: asyncio.Event | None = None) -> None:
    """Return after *duration*, or as soon as *wakeup* is set, which is then taken back."""
    if wakeup is None:
        await asyncio.sleep(duration.total_seconds())
        return
    try:
        async with asyncio.timeout(duration.total_seconds()):
            await wakeup.wait()
    except TimeoutError:
        return
    wakeup.clear()


async def _guarded(sweep_once: Callable[[], Awaitable[object]], failures: int) -> int:
    """Sweep, whatever happens; return how many sweeps in a row have failed now."""
    try:
        await sweep_once()
    except EugoError as error:
        # The world is at fault and the message says how; a traceback would only hide it.
        _log.warning("Nothing was done, %s: %s", _in_a_row(failures + 1), error)
    except Exception:  # noqa: BLE001 - the guard, and the only one
        _log.exception("A sweep broke off, %s", _in_a_row(failures + 1))
    else:
        if failures:
            _log.info("It works again after %d failed sweeps", failures)
        return 0
    return failures + 1


def _retry(failures: int, interval: timedelta) -> timedelta:
    doublings: int = 2 ** min(failures - 1, _DOUBLINGS)
    return min(interval, FIRST_RETRY * doublings)


def _vary(delay: timedelta, jitter: float) -> timedelta:
    return delay * _chance.uniform(1 - jitter, 1 + jitter)


def _in_a_row(failures: int) -> str:
    return "for the first time" if failures == 1 else f"{failures} times in a row"
