"""
Source: the settings of a process, from the file and from what was changed since.

The file is read once, at the start; changes come with whatever is read of the store anyway, so they
hold from the next decision on, in every process. Source: design §4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eugospawner import settings
from eugospawner.policy.errors import ConfigError, UnfitSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from eugospawner.settings import Settings
    from eugospawner.store.changes import Change


class Source:
    """
    Where settings come from: the file as it was at the start, and what was changed since.

    Attributes:
        settings: The last that made sense.
        revision: Of the last change in them.
        newest: Of the last change that was read; later than *revision*: it makes no sense.
        documents: The entries by section and key, in the words of the file, as of *newest*.
        documents_of_file: Likewise without what was changed.
        unfit: Why the newest settings make no sense; empty: they do.
    """

    def __init__(self, path: Path, *, kinds: Mapping[str, str], images: Mapping[str, str]) -> None:
        self._path, self._kinds, self._images = path, kinds, images
        self._text = settings.read_file(path)
        self._changes: dict[tuple[str, str], Any] = {}
        self.revision = self.newest = 0
        self.unfit = ""
        self.settings = self._parse(self._changes)
        self.documents_of_file = self.documents = settings.documents(self._text)

    def take(self, changes: Sequence[Change]) -> bool:
        """
        Take over *changes*, as read of the store; return whether there were any.

        Whoever read before somebody else took newer ones over does not bring the older ones back.

        Raises:
            UnfitSettings: With them the settings make no sense, so nothing may be decided by them.
        """
        newer = [each for each in changes if each.revision > self.newest]
        if newer:
            these = {(each.section, each.key): each.document for each in newer}
            self._changes = {**self._changes, **these}
            self.newest = newer[-1].revision
            self.documents = settings.with_changes(self.documents_of_file, self._changes)
            try:
                self.settings, self.unfit = self._parse(self._changes), ""
            except ConfigError as error:
                self.unfit = str(error)
            else:
                self.revision = self.newest
        if changes and self.unfit:
            message = f"What was changed at run time does not fit the catalog: {self.unfit}"
            raise UnfitSettings(message)
        return bool(changes)

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._path

    def with_changes(self, changes: Mapping[tuple[str, str], Any]) -> Settings:
        """
        Return the settings as they would be with *changes*; `None` as a document removes an entry.

        Raises:
            ConfigError: They would make no sense.
        """
        return self._parse(self._changes | dict(changes))

    def _parse(self, changes: Mapping[tuple[str, str], Any]) -> Settings:
        parsed = settings.parse(self._text, name=str(self._path), changes=changes)
        catalog = settings.mark_unavailable(parsed.catalog, kinds=self._kinds, images=self._images)
        return replace(parsed, catalog=catalog)
