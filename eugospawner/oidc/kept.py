"""Kept: something of the provider's that is fetched now and then, and kept while it does not answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from eugospawner.policy.errors import SignInError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_Value = TypeVar("_Value")

#: It is fetched anew after so long, whether or not anything is missed: what is withdrawn ends.
TIME_TO_LIVE: Final = timedelta(hours=1)
#: It is fetched no sooner than so long after the last time, whatever is missed.
PATIENCE: Final = timedelta(seconds=30)


class Kept(Generic[_Value]):
    """
    A value that is fetched by one for all.

    Args:
        fetch: Returns it; raises `SignInError`.
        elapsed: Seconds of a clock that only goes forward.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[_Value]], *, elapsed: Callable[[], float]
    ) -> None:
        self._fetch = fetch
        self._elapsed = elapsed
        self._value: _Value | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._problem: SignInError | None = None
        self._turn = asyncio.Lock()

    async def get(self, *, enough: Callable[[_Value], bool] = lambda _: True) -> _Value:
        """
        Return the value, fetched if it is old or not *enough* and was not fetched a moment ago.

        Raises:
            SignInError: It was never fetched, and cannot be.
        """
        async with self._turn:
            if self._value is None:
                if self._problem is not None and self._age(self._tried_at) < PATIENCE:
                    # Whoever asks a moment later is told the same: that it does not answer, or what is wrong.
                    raise self._problem.with_traceback(None)
                return await self._renewed()
            is_due = self._age(self._fetched_at) >= TIME_TO_LIVE or not enough(self._value)
            if is_due and self._age(self._tried_at) >= PATIENCE:
                try:
                    return await self._renewed()
                except SignInError:
                    pass  # what was known stays known
            return self._value

    def _age(self, since: float) -> timedelta:
        return timedelta(seconds=min(self._elapsed() - since, 1e9))

    async def _renewed(self) -> _Value:
        self._tried_at = self._elapsed()
        try:
            self._value = await self._fetch()
        except SignInError as problem:
            self._problem = problem
            raise
        self._fetched_at = self._elapsed()
        return self._value
