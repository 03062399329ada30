"""
Once: something that is made when it is first asked for, and by one task for all who ask.

Whoever asks first may be cancelled without taking the others' answer away; a failure is told to
those who wait and forgotten, so that the next who asks tries again.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

_Made = TypeVar("_Made")


class Once(Generic[_Made]):
    """
    The outcome of one successful *make*.

    Args:
        make: Makes it; called again only after it failed or was cancelled.
    """

    def __init__(self, make: Callable[[], Coroutine[Any, Any, _Made]]) -> None:
        self._make = make
        self._task: asyncio.Task[_Made] | None = None

    async def get(self) -> _Made:
        """Return what was made; raises what *make* raises."""
        task = self._task
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._task = asyncio.create_task(self._make())
        return await asyncio.shield(task)
