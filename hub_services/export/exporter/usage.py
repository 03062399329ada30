"""
Usage: what a volume holds, as `df` and `du` would say it, and which folders could go.

Sizes are what files take on the disk, a file with several names once. No link is followed, and other file systems are not
entered. A folder is a *culprit* if it can be had again, or is known to grow unseen: caches, environments, outputs of experiments
that Git does not have, the bin of JupyterLab. What lies in a culprit belongs to it. Source: F84; F86.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from hub_services.export.exporter.tree import DEEPEST, OPEN_FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: How many folders are named, the largest first.
LARGEST: Final = 20
#: What is smaller is nobody's trouble.
SMALLEST: Final = 1 << 20
_BLOCK: Final = 512
#: Of an index of Git, whose names are looked through.
_LARGEST_INDEX: Final = 64 << 20


class Kind(StrEnum):
    """Why a folder could go."""

    CACHE = "cache"
    ENVIRONMENT = "environment"
    OUTPUTS = "outputs"
    BIN = "bin"


#: What people read of it.
ADVICE: Final = {
    Kind.CACHE: "A cache: what is needed again is downloaded again.",
    Kind.ENVIRONMENT: "An environment: write down what is in it (conda env export, pip freeze), and make it again when needed.",
    Kind.OUTPUTS: "Outputs of experiments that are not in Git: move what counts elsewhere first.",
    Kind.BIN: "Deleted in JupyterLab, and kept until the bin is emptied.",
}
_OUTPUTS: Final = frozenset(
    {
        b"mlruns", b"wandb", b"lightning_logs", b"tb_logs", b"runs", b"outputs", b"checkpoints",
        b"multirun", b"ray_results",
    }
)  # fmt: skip
#: What tells in a folder what it is.
_MARKS: Final = frozenset(
    {b".git", b"CACHEDIR.TAG", b"urls", b"urls.txt", b"conda-meta", b"pyvenv.cfg"}
)
_BIN: Final = b".local/share/Trash"
#: Caches that lie elsewhere than in `.cache`.
_CACHES: Final = frozenset({b".npm", b".nv", b".cargo/registry", b".julia/compiled"})


@dataclass(frozen=True, slots=True)
class Culprit:
    """A folder that could go, at *path* from the root of the volume, with what it takes in bytes."""

    path: bytes
    size: int
    kind: Kind


@dataclass(slots=True)
class Usage:
    """
    What a volume holds.

    Attributes:
        files: Everything that is no folder.
        size: Bytes on the disk, folders included.
        unreadable: Folders that could not be looked into; what they hold is not counted.
        capacity: Bytes that the file system has, which it may share with others.
        free: Bytes of it that can still be written.
        folders: What lies in the root, the largest first: names with bytes.
        culprits: The largest first.
    """

    capacity: int
    free: int
    files: int = 0
    size: int = 0
    unreadable: int = 0
    folders: list[tuple[bytes, int]] = field(default_factory=list)
    culprits: list[Culprit] = field(default_factory=list)


def measure(
    root: int, *, smallest: int = SMALLEST, told: Callable[[int], None] = lambda _: None
) -> Usage:
    """
    Return what the volume whose root is open as *root* holds.

    Args:
        smallest: Culprits that take less are not named.
        told: Is given the number of files so far, now and then.
    """
    system = os.statvfs(root)
    usage = Usage(
        capacity=system.f_blocks * system.f_frsize, free=system.f_bavail * system.f_frsize
    )
    walk = _Walk(usage, os.fstat(root).st_dev, smallest, told)
    walk.go(os.dup(root))
    usage.folders = sorted(usage.folders, key=lambda each: (-each[1], each[0]))[:LARGEST]
    usage.culprits = sorted(usage.culprits, key=lambda each: (-each.size, each.path))[:LARGEST]
    return usage


@dataclass(slots=True)
class _Frame:
    """A folder that is being looked into, as far as it was."""

    path: bytes
    opened: int
    names: Iterator[str]
    size: int
    kind: Kind | None
    index: tuple[bytes, bytes] | None


class _Walk:
    def __init__(
        self, usage: Usage, device: int, smallest: int, told: Callable[[int], None]
    ) -> None:
        self._usage = usage
        self._device = device
        self._smallest = smallest
        self._told = told
        self._seen = set[int]()
        self._frames = list[_Frame]()

    def go(self, root: int) -> None:
        """Look into everything; *root* is closed."""
        size = os.fstat(root).st_blocks * _BLOCK
        self._enter(b"", root, size)
        try:
            while self._frames:
                name = next(self._frames[-1].names, None)
                if name is None:
                    self._leave()
                else:
                    self._look(self._frames[-1], os.fsencode(name))
        finally:
            for each in self._frames:
                os.close(each.opened)

    def _look(self, frame: _Frame, name: bytes) -> None:
        try:
            found = os.stat(name, dir_fd=frame.opened, follow_symlinks=False)
        except OSError:
            return  # gone meanwhile
        if found.st_dev != self._device:
            return
        size = found.st_blocks * _BLOCK
        if stat.S_ISDIR(found.st_mode):
            self._descend(frame, name, size)
            return
        if found.st_nlink > 1:
            if found.st_ino in self._seen:
                return
            self._seen.add(found.st_ino)
        self._usage.files += 1
        if self._usage.files % 1000 == 0:
            self._told(self._usage.files)
        frame.size += size
        if not frame.path:
            self._usage.folders.append((name, size))

    def _descend(self, frame: _Frame, name: bytes, size: int) -> None:
        path = frame.path + b"/" + name if frame.path else name
        try:
            if len(self._frames) <= DEEPEST:
                self._enter(path, os.open(name, OPEN_FOLDER, dir_fd=frame.opened), size)
                return
        except OSError:
            pass  # nobody may look into it, or it has gone
        self._usage.unreadable += 1
        frame.size += size

    def _enter(self, path: bytes, opened: int, size: int) -> None:
        try:
            # Names alone: what is known of each entry of a large folder would be more than a Pod has.
            names = os.listdir(opened)
        except OSError:
            os.close(opened)
            raise
        marks = _MARKS.intersection(map(os.fsencode, names))
        above = self._frames[-1] if self._frames else None
        index = above.index if above else None
        if b".git" in marks and (text := _index_of(opened)) is not None:
            index = (path, text)
        # What lies in a culprit belongs to it.
        kind = (above.kind if above else None) or _kind_of(path, marks, index)
        self._frames.append(_Frame(path, opened, iter(names), size, kind, index))

    def _leave(self) -> None:
        frame = self._frames.pop()
        os.close(frame.opened)
        if not self._frames:
            self._usage.size = frame.size
            return
        above = self._frames[-1]
        above.size += frame.size
        if not above.path:
            self._usage.folders.append((frame.path, frame.size))
        if frame.kind and above.kind is None and frame.size >= self._smallest:
            self._usage.culprits.append(Culprit(frame.path, frame.size, frame.kind))


def _kind_of(
    path: bytes, marks: frozenset[bytes], index: tuple[bytes, bytes] | None
) -> Kind | None:
    folder, _, name = path.rpartition(b"/")
    if path == _BIN or (not folder and name.startswith(b".Trash-")):
        return Kind.BIN
    if not path:
        return None  # whatever lies in it, the whole volume is nobody's to remove
    if folder.rpartition(b"/")[2] == b".cache" or path in _CACHES or b"CACHEDIR.TAG" in marks:
        return Kind.CACHE
    if name == b"pkgs" and {b"urls", b"urls.txt"} & marks:
        return Kind.CACHE
    if {b"conda-meta", b"pyvenv.cfg"} & marks:
        return Kind.ENVIRONMENT
    if name in _OUTPUTS and not _is_tracked(path, index):
        return Kind.OUTPUTS
    return None


def _is_tracked(path: bytes, index: tuple[bytes, bytes] | None) -> bool:
    """Whether Git has anything of the folder *path*; if another's name ends in it, that counts, too."""
    if index is None:
        return False
    repository, text = index
    inside = path[len(repository) :].lstrip(b"/") if repository else path
    # An index has names from the repository's root, whole ones up to version 3 (gitformat-index).
    return inside + b"/" in text


def _index_of(folder: int) -> bytes | None:
    """Return the index of the repository in *folder*, which is read without following a link."""
    try:
        inside = os.open(".git", OPEN_FOLDER, dir_fd=folder)
    except OSError:
        return None
    try:
        opened = os.open("index", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=inside)
    except OSError:
        return b""  # a repository in which nothing was added yet
    finally:
        os.close(inside)
    with os.fdopen(opened, "rb") as index:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return b""
        return index.read(_LARGEST_INDEX)
