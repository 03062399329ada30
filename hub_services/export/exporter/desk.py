"""
Desk: what the export service asks of a Pod that has volumes, and what it is told.

Each volume is a mount of its own, and a request names it; whatever it says of folders is looked for below that mount
and nowhere else. Source: F85; L8; facts on security, §4.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from hub_services.export.exporter import archive, tree
from hub_services.export.exporter.tree import SAID, Choice, Most, Skipped, Survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

#: Files that are listed with an answer; the archive lists all.
LISTED: Final = 500
#: Bytes that are hashed beforehand; what is more has its sums in the archive.
HASHED: Final = 256 << 20


class Unfit(Exception):
    """A request that cannot be met; its words are for people."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What of one volume is wanted."""

    volume: str
    choice: Choice


def wishes_of(body: object, volumes: Mapping[str, str]) -> tuple[Wish, ...]:
    """
    Return what *body* asks for: by volume, its folder and whether notebooks alone.

    Raises:
        Unfit: It is not that, or names a volume that is not here.
    """
    asked = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(asked, dict) or not asked:
        msg = "choices: name at least one volume"
        raise Unfit(msg)
    return tuple(_wish(name, each, volumes) for name, each in asked.items())


def _wish(name: str, asked: object, volumes: Mapping[str, str]) -> Wish:
    if name not in volumes:
        msg = f"choices: there is no volume {name!r} here"
        raise Unfit(msg)
    folder = asked.get("folder", "") if isinstance(asked, dict) else None
    notebooks = asked.get("notebooks", True) if isinstance(asked, dict) else None
    if not isinstance(folder, str) or not isinstance(notebooks, bool):
        msg = f"choices.{name}: give folder as text and notebooks as true or false"
        raise Unfit(msg)
    path = folder.strip("/")
    return Wish(name, Choice(folder=path.encode("utf-8", "surrogateescape"), notebooks=notebooks))


@dataclass(slots=True)
class Desk:
    """
    The volumes of one Pod.

    Attributes:
        volumes: Where each is mounted, by name.
        counted: The survey that is being made, as far as it is.
        archives: Those that are being made, as far as they are.
    """

    volumes: Mapping[str, str]
    most: Most = field(default_factory=Most)
    counted: Survey | None = None
    archives: list[archive.Progress] = field(default_factory=list)

    def survey(self, wishes: tuple[Wish, ...]) -> dict[str, Any]:
        """
        Return what *wishes* come to: files, bytes, what is left out and why, and the first files.

        Raises:
            Unfit: A folder is not there, or it is too much.
        """
        total, names = Survey(), archive.Names()
        self.counted = total
        examples = list[dict[str, str]]()
        try:
            with contextlib.ExitStack() as stack:
                roots = [(each, stack.enter_context(self._opened(each))) for each in wishes]
                found = [(wish, root, self._survey(wish, root)) for wish, root in roots]
                for wish, _, one in found:
                    total.add(one)
                    examples += [_example(wish, each) for each in one.examples]
                self._check(total)
                listing = (
                    each
                    for wish, root, one in found
                    for each in _listing(wish, root, one, names, hashed=total.size <= HASHED)
                )
                listed = list(islice(listing, LISTED))
        finally:
            self.counted = None
        return {
            "files": total.files,
            "bytes": total.size,
            "skipped": {str(why): count for why, count in sorted(total.skipped.items())},
            "reasons": {str(why): SAID[why] for why in sorted(total.skipped)},
            "examples": examples[:LISTED],
            "listed": listed,
        }

    def archive(
        self, wishes: tuple[Wish, ...], *, about: dict[str, object], now: datetime
    ) -> Iterator[bytes]:
        """
        Yield the archive of *wishes*.

        Raises:
            Unfit: A folder is not there, or it is too much.
        """
        progress = archive.Progress()
        self.archives.append(progress)
        try:
            with contextlib.ExitStack() as stack:
                volumes = []
                for wish in wishes:
                    root = stack.enter_context(self._opened(wish))
                    found = self._survey(wish, root)
                    volumes.append(
                        archive.Volume(
                            name=wish.volume, root=root, choice=wish.choice, within=found.within
                        )
                    )
                yield from archive.archive(volumes, progress, about=about, now=now)
        finally:
            self.archives.remove(progress)

    def progress(self) -> dict[str, Any]:
        """Return how far everything is that is being done."""
        return {
            "surveyed": None if self.counted is None else self.counted.files,
            "archives": [{"files": each.files, "bytes": each.size} for each in self.archives],
        }

    @contextlib.contextmanager
    def _opened(self, wish: Wish) -> Iterator[int]:
        try:
            opened = os.open(self.volumes[wish.volume], os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            msg = f"The volume {wish.volume} cannot be read: {error.strerror}."
            raise Unfit(msg) from error
        try:
            yield opened
        finally:
            os.close(opened)

    def _survey(self, wish: Wish, root: int) -> Survey:
        try:
            return tree.survey(root, wish.choice, self.most)
        except tree.TooMuch as error:
            raise self._too_much() from error
        except OSError as error:
            folder = wish.choice.folder.decode("utf-8", "backslashreplace")
            message = (
                f"There is no folder {folder!r} in the volume {wish.volume}, or it cannot be read."
            )
            raise Unfit(message) from error

    def _check(self, total: Survey) -> None:
        if total.files > self.most.files or total.size > self.most.size:
            raise self._too_much()

    def _too_much(self) -> Unfit:
        return Unfit(
            f"It is more than one export holds: {self.most.files} files or "
            f"{self.most.size >> 30} GiB. Choose a folder."
        )


def _example(wish: Wish, skipped: Skipped) -> dict[str, str]:
    path = skipped.path.decode("utf-8", "backslashreplace")
    return {"path": f"{wish.volume}/{path}", "reason": str(skipped.why)}


def _listing(
    wish: Wish, root: int, found: Survey, names: archive.Names, *, hashed: bool
) -> Iterator[dict[str, Any]]:
    with tree.Folders(root) as folders:
        for each in tree.chosen(root, wish.choice, found.within):
            if isinstance(each, Skipped):
                continue
            name = names.name(wish.volume, each.path)
            digest = None
            if hashed:
                with contextlib.suppress(OSError):
                    digest = _digest(folders, each)
            yield {"path": name, "bytes": each.size, "sha256": digest}


def _digest(folders: tree.Folders, file: tree.File) -> str:
    with os.fdopen(folders.open(file), "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
