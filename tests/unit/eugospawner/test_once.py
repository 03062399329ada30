"""Made when first asked for, by one task for all who ask; a failure is tried again."""

import asyncio

import pytest

from eugospawner.once import Once


class Maker:
    """Counts how often it makes, fails as often as told, and waits for a signal."""

    def __init__(self, *, failures: int = 0) -> None:
        self.made = 0
        self.failures = failures
        self.go = asyncio.Event()

    async def make(self) -> int:
        self.made += 1
        await self.go.wait()
        if self.made <= self.failures:
            message = "not yet"
            raise OSError(message)
        return self.made


async def test_everybody_who_asks_gets_the_same_and_it_is_made_once() -> None:
    maker = Maker()
    once = Once(maker.make)
    asked = [asyncio.ensure_future(once.get()) for _ in range(3)]
    maker.go.set()
    assert await asyncio.gather(*asked) == [1, 1, 1]
    assert await once.get() == 1


async def test_who_asked_first_may_go_away_and_the_others_still_get_it() -> None:
    maker = Maker()
    once = Once(maker.make)
    first = asyncio.ensure_future(once.get())
    second = asyncio.ensure_future(once.get())
    await asyncio.sleep(0)
    first.cancel()
    maker.go.set()
    assert await second == 1


async def test_a_failure_is_told_and_the_next_who_asks_tries_again() -> None:
    maker = Maker(failures=1)
    once = Once(maker.make)
    maker.go.set()
    with pytest.raises(OSError, match="not yet"):
        await once.get()
    assert await once.get() == 2
