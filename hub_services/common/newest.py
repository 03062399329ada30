"""Newest: the settings as they are now, for services that go by them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from eugospawner.policy.errors import UnfitSettings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eugospawner.settings import Settings
    from eugospawner.source import Source
    from eugospawner.store import Store


class Newest:
    """
    The settings of a process, read anew whenever somebody asks.

    Args:
        source: The settings of this process.
        open_store: Returns the open store.
    """

    def __init__(self, source: Source, open_store: Callable[[], Awaitable[Store]]) -> None:
        self.source = source
        self._open_store = open_store

    async def settings(self) -> Settings:
        """
        Return the newest settings.

        Raises:
            StoreError: The store does not answer, or what was changed makes no sense.
        """
        store = await self._open_store()
        self.source.take(await store.changes.since(self.source.revision))
        return self.source.settings

    async def last_good(self) -> Settings:
        """
        Return the newest settings that make sense, for whoever must go on or mend them.

        Raises:
            StoreError: The store does not answer.
        """
        with contextlib.suppress(UnfitSettings):
            return await self.settings()
        return self.source.settings
