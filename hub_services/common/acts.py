"""Acts of a sweep: each fails alone, within a bound, and what failed the next sweep tries again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from eugospawner.policy.errors import EugoError

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Iterable

#: What came of an act that raised or took too long.
FAILED: Final = "failed"


async def attempt(act: Awaitable[str], *, seconds: float, log: logging.Logger) -> str:
    """
    Return what came of *act*, or `FAILED`, of which the log says why.

    Args:
        seconds: After so many it is given up.
    """
    try:
        async with asyncio.timeout(seconds):
            return await act
    except TimeoutError:
        log.warning("An act took longer than %d s; the next sweep tries again", seconds)
    except EugoError as error:
        log.warning("%s; the next sweep tries again", error)
    return FAILED


async def together(
    at_once: int, acts: Iterable[Awaitable[str]], *, seconds: float, log: logging.Logger
) -> list[str]:
    """Return what came of *acts*, in their order, so many *at_once*; waiting for a turn does not count."""
    turn = asyncio.Semaphore(at_once)

    async def in_turn(act: Awaitable[str]) -> str:
        async with turn:
            return await attempt(act, seconds=seconds, log=log)

    return await asyncio.gather(*map(in_turn, acts))
