"""
Tree: reads a volume without ever leaving it, whatever its owner does to it meanwhile.

Every step goes from the descriptor of a folder to a name in it, and follows no link: neither a path with `..` nor a
folder that becomes a symbolic link between two looks leads out. Only plain files are opened, and it is looked
again at what was opened. A file with more names than were seen in the volume has one outside it, so its bytes may be
somebody else's: it is left out. Names are bytes, as the system has them. Source: facts on security, §4; F85; L8.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Opens a folder, and nothing that leads elsewhere.
OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Opening a FIFO must not wait for whoever writes to it.
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
#: Folders below one another; each is an open descriptor while it is walked.
DEEPEST: Final = 200


class Why(StrEnum):
    """Why something was left out."""

    SYMBOLIC_LINK = "symbolic-link"
    NOT_A_FILE = "not-a-file"
    LINKED_ELSEWHERE = "linked-elsewhere"
    OTHER_FILE_SYSTEM = "other-file-system"
    TOO_DEEP = "too-deep"
    UNREADABLE = "unreadable"
    CHANGED = "changed"
    HIDDEN = "hidden-folder"
    SOFTWARE = "installed-software"


#: What people read of it.
SAID: Final = {
    Why.SYMBOLIC_LINK: "A symbolic link: what it leads to may lie elsewhere.",
    Why.NOT_A_FILE: "Neither a file nor a folder, but a pipe, socket or device.",
    Why.LINKED_ELSEWHERE: "A file that has a name outside this volume, too.",
    Why.OTHER_FILE_SYSTEM: "Another file system, mounted there.",
    Why.TOO_DEEP: f"Deeper than {DEEPEST} folders.",
    Why.UNREADABLE: "It could not be read.",
    Why.CHANGED: "It changed while it was read: what was there when reading began is in it, as far as it was there.",
    Why.HIDDEN: "A hidden folder, which seldom holds notebooks of one's own; choose it as the folder to have it.",
    Why.SOFTWARE: "Installed software; choose it as the folder to have it.",
}


@dataclass(frozen=True, slots=True)
class File:
    """
    A plain file, as it was found.

    Attributes:
        path: From the root of the volume, names joined by `/`.
        size: In bytes.
        modified: Seconds since 1970, UTC.
        inode: Device and number, which are the file's own whatever it is called.
    """

    path: bytes
    size: int
    modified: float
    inode: tuple[int, int]
    links: int = 1


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was left out; a folder with all that is in it."""

    path: bytes
    why: Why


class Folders:
    """
    Opens what lies below the folder *root*, which stays the caller's.

    The folders of the last path are kept open, since the next is most often beside it.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._names: list[bytes] = []
        self._open: list[int] = []

    def __enter__(self) -> Self:  # noqa: D105
        return self

    def __exit__(self, *_: object) -> None:  # noqa: D105
        self._close_to(0)

    def enter(self, path: bytes) -> int:
        """
        Return the descriptor of the folder at *path*, which is closed when another path is entered.

        Raises:
            OSError: There is none that is reached without a link.
        """
        names = path.split(b"/") if path else []
        same = 0
        while same < min(len(names), len(self._names)) and names[same] == self._names[same]:
            same += 1
        self._close_to(same)
        for name in names[same:]:
            _check(name)
            self._open.append(os.open(name, OPEN_FOLDER, dir_fd=self._here))
            self._names.append(name)
        return self._here

    def open(self, file: File) -> int:
        """
        Return a descriptor of *file*, which is the caller's to close.

        Raises:
            OSError: It is not there, cannot be read, or is another file by now.
        """
        folder, _, name = file.path.rpartition(b"/")
        _check(name)
        opened = os.open(name, _FILE, dir_fd=self.enter(folder))
        now = os.fstat(opened)
        if (
            not stat.S_ISREG(now.st_mode)
            or (now.st_dev, now.st_ino) != file.inode
            or now.st_nlink > file.links
        ):
            os.close(opened)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), name)
        return opened

    @property
    def _here(self) -> int:
        return self._open[-1] if self._open else self._root

    def _close_to(self, depth: int) -> None:
        while len(self._open) > depth:
            os.close(self._open.pop())
            self._names.pop()


def _check(name: bytes) -> None:
    if name in {b"", b".", b".."} or b"\0" in name or b"/" in name:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)


def walk(
    root: int, start: bytes = b"", *, leave_out: Callable[[bytes], Why | None] = lambda _: None
) -> Iterator[File | Skipped]:
    """
    Yield what lies in the folder *start* of the volume whose root is open as *root*, sorted by name.

    Args:
        leave_out: Given the path of a folder, tells why it is left out; `None`: it is not.

    Raises:
        OSError: There is no folder *start*, or it cannot be read.
    """
    with Folders(root) as folders:
        device = os.fstat(root).st_dev
        waiting = [(start, _entries(folders.enter(start)))]
        while waiting:
            path, entries = waiting[-1]
            if not entries:
                waiting.pop()
                continue
            found = _look(folders, path, entries.pop(), device)
            if not isinstance(found, bytes):
                yield found
                continue
            why = Why.TOO_DEEP if len(waiting) >= DEEPEST else leave_out(found)
            if why is None:
                try:
                    waiting.append((found, _entries(folders.enter(found))))
                except OSError:
                    why = Why.UNREADABLE
            if why is not None:
                yield Skipped(found, why)


def _entries(folder: int) -> list[bytes]:
    """Return the names in *folder*, last first, since they are taken from the end."""
    return sorted((os.fsencode(name) for name in os.listdir(folder)), reverse=True)


def _look(folders: Folders, folder: bytes, name: bytes, device: int) -> File | Skipped | bytes:
    """Return what *name* in *folder* is; a folder is returned as its path."""
    path = folder + b"/" + name if folder else name
    try:
        found = os.stat(name, dir_fd=folders.enter(folder), follow_symlinks=False)
    except OSError:
        return Skipped(path, Why.UNREADABLE)
    if stat.S_ISLNK(found.st_mode):
        return Skipped(path, Why.SYMBOLIC_LINK)
    if found.st_dev != device:
        return Skipped(path, Why.OTHER_FILE_SYSTEM)
    if stat.S_ISDIR(found.st_mode):
        return path
    if not stat.S_ISREG(found.st_mode):
        return Skipped(path, Why.NOT_A_FILE)
    return File(
        path, found.st_size, found.st_mtime, (found.st_dev, found.st_ino), links=found.st_nlink
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """
    What of a volume is wanted.

    Attributes:
        folder: Only what lies in it; empty: all of the volume.
        notebooks: Only notebooks, and none of hidden folders and installed software.
    """

    folder: bytes = b""
    notebooks: bool = True

    def leaves_out(self, folder: bytes) -> Why | None:
        """Return why *folder* is left out; `None`: it is not."""
        if not self.notebooks:
            return None
        name = folder.rpartition(b"/")[2]
        if name.startswith(b"."):
            return Why.HIDDEN
        return Why.SOFTWARE if name in _SOFTWARE else None

    def wants(self, path: bytes) -> bool:
        """Whether the file at *path* is wanted."""
        return not self.notebooks or path.lower().endswith(b".ipynb")


#: Folders of packages, which bring notebooks that nobody here wrote.
_SOFTWARE: Final = frozenset({b"site-packages", b"node_modules", b"__pycache__", b"pkgs"})


@dataclass(slots=True, kw_only=True)
class Survey:
    """
    What a choice comes to.

    Attributes:
        files: How many files are wanted and can be given.
        size: What they have together, in bytes.
        skipped: How much was left out, by reason.
        examples: The first of what was left out.
        within: Inodes with several names, all of them in the volume.
    """

    files: int = 0
    size: int = 0
    skipped: dict[Why, int] = field(default_factory=dict)
    examples: list[Skipped] = field(default_factory=list)
    within: frozenset[tuple[int, int]] = frozenset()

    _EXAMPLES = 200

    def add(self, other: Survey) -> None:
        """Add what another came to."""
        self.files += other.files
        self.size += other.size
        for why, count in other.skipped.items():
            self.skipped[why] = self.skipped.get(why, 0) + count

    def leave(self, skipped: Skipped) -> None:
        """Count what was left out."""
        self.skipped[skipped.why] = self.skipped.get(skipped.why, 0) + 1
        if len(self.examples) < self._EXAMPLES:
            self.examples.append(skipped)


class TooMuch(Exception):
    """
    A choice comes to more than one export holds.

    Attributes:
        files: How many files were counted when it was clear.
        size: What they have, in bytes.
    """

    def __init__(self, files: int, size: int) -> None:
        super().__init__(f"{files} files with {size} bytes and more")
        self.files = files
        self.size = size


@dataclass(frozen=True, slots=True, kw_only=True)
class Most:
    """How much one export holds: number of files, and bytes that they have together."""

    files: int = 250_000
    size: int = 100 << 30


#: How much one export holds, unless somebody says else.
MOST: Final = Most()


def survey(root: int, choice: Choice, most: Most = Most()) -> Survey:
    """
    Return what *choice* comes to in the volume whose root is open as *root*.

    Raises:
        OSError: There is no such folder, or it cannot be read.
        TooMuch: It is more than *most*.
    """
    found = Survey()
    linked = list[File]()
    for each in walk(root, choice.folder, leave_out=choice.leaves_out):
        if found.files + len(linked) > most.files or found.size > most.size:
            raise TooMuch(found.files + len(linked), found.size)
        if isinstance(each, Skipped):
            found.leave(each)
        elif not choice.wants(each.path):
            continue
        elif each.links > 1:
            linked.append(each)
        else:
            found.files += 1
            found.size += each.size
    found.within = _all_within(root, linked)
    for each in linked:
        if each.inode in found.within:
            found.files += 1
            found.size += each.size
        else:
            found.leave(Skipped(each.path, Why.LINKED_ELSEWHERE))
    if found.files > most.files or found.size > most.size:
        raise TooMuch(found.files, found.size)
    return found


def _all_within(root: int, linked: list[File]) -> frozenset[tuple[int, int]]:
    """Return the inodes of *linked* all of whose names lie in the volume."""
    if not linked:
        return frozenset()
    names = dict.fromkeys((each.inode for each in linked), 0)
    links = dict.fromkeys(names, 0)
    for each in walk(root):
        if isinstance(each, File) and each.inode in names:
            names[each.inode] += 1
            links[each.inode] = max(links[each.inode], each.links)
    for each in linked:
        links[each.inode] = max(links[each.inode], each.links)
    return frozenset(inode for inode, count in names.items() if count >= links[inode])


def chosen(
    root: int, choice: Choice, within: frozenset[tuple[int, int]]
) -> Iterator[File | Skipped]:
    """
    Yield what *choice* gives, as `survey` found it, and what is left out.

    Args:
        within: Inodes with several names that may be given.
    """
    for each in walk(root, choice.folder, leave_out=choice.leaves_out):
        if isinstance(each, Skipped):
            yield each
        elif choice.wants(each.path):
            if each.links > 1 and each.inode not in within:
                yield Skipped(each.path, Why.LINKED_ELSEWHERE)
            else:
                yield each


def find(root: int, path: bytes) -> File | None:
    """Return the plain file at *path* of the volume whose root is open as *root*; `None`: there is none to be given."""
    with Folders(root) as folders:
        folder, _, name = path.rpartition(b"/")
        try:
            _check(name)
            found = _look(folders, folder, name, os.fstat(root).st_dev)
        except OSError:
            return None
    if not isinstance(found, File):
        return None
    is_within = found.links == 1 or found.inode in _all_within(root, [found])
    return found if is_within else None


@contextlib.contextmanager
def opened(path: str) -> Iterator[int]:
    """Give the root of a volume, mounted at *path*, opened."""
    root = os.open(path, OPEN_FOLDER)
    try:
        yield root
    finally:
        os.close(root)
