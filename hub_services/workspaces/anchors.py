"""
Anchors: the end of the audit as it was, kept outside the database, so that a tail that was cut off is missed.

A file to which lines are added, one for each time that the end was another: ``{"at": …, "id": …, "seal": …}``. It
belongs on another disk than the database, best where the service may add and not change (``chattr +a``).
Source: L12; facts on security.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Final

from eugospawner.policy.errors import EugoError
from eugospawner.store.audit import Anchor

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

#: Half a million lines; older ones say no more than the last of them.
_MOST_BYTES: Final = 64 * 2**20


class AnchorError(EugoError):
    """The file of anchors cannot be read or written."""


class AnchorFile:
    """The anchors in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: Anchor | None = None

    async def keep(self, anchor: Anchor, at: datetime) -> bool:
        """
        Add *anchor* if it is another than the last; return whether it was.

        Raises:
            AnchorError: The file cannot be written.
        """
        if anchor == self._last:
            return False
        line = json.dumps({"at": at.isoformat(), "id": anchor.id, "seal": anchor.seal})
        await asyncio.to_thread(self._append, f"{line}\n")
        self._last = anchor
        return True

    async def all(self) -> tuple[Anchor, ...]:
        """
        Return the anchors, the first first; none if there is no file yet.

        Raises:
            AnchorError: The file cannot be read, or a line of it is none.
        """
        return await asyncio.to_thread(self._read)

    def _append(self, line: str) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "a", encoding="utf-8") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            message = f"The anchor of the audit cannot be written to {self._path}: {error}"
            raise AnchorError(message) from error

    def _read(self) -> tuple[Anchor, ...]:
        try:
            if not self._path.exists():
                return ()
            with self._path.open("rb") as file:
                file.seek(max(self._path.stat().st_size - _MOST_BYTES, 0))
                lines = file.read().decode("utf-8").splitlines()
        except (OSError, ValueError) as error:
            message = f"The anchors of the audit in {self._path} cannot be read: {error}"
            raise AnchorError(message) from error
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                said = json.loads(line)
                found.append(Anchor(id=int(said["id"]), seal=str(said["seal"])))
            except (ValueError, KeyError, TypeError) as error:
                if number in {1, len(lines)}:
                    continue  # cut at the beginning, or not yet written to its end
                message = f"Line {number} of {self._path} is no anchor: {line[:100]!r}"
                raise AnchorError(message) from error
        return tuple(found)
