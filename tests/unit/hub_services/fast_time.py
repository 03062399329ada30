"""
Time that passes at once: an event loop that skips what it would have slept.

`loop.time()` and every sleep move together, so a day of sweeps takes no time and in between
nothing is different. `run` gives each test a loop of its own.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

_Result = TypeVar("_Result")


class _Selector(selectors.DefaultSelector):
    skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        found = super().select(0 if timeout else timeout)
        if not found and timeout:
            self.skipped += timeout
        return found


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._fast = _Selector()
        super().__init__(self._fast)

    def time(self) -> float:
        return super().time() + self._fast.skipped


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return what *work* returns, however long it sleeps."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)
