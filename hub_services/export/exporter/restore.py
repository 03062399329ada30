"""
Restore: unpacks a ZIP into a new folder of a volume, and harms nothing, whatever the ZIP is.

All of it is judged before the first byte is written: how many entries, how large, how much they grow, whether they overlap,
and where each would lie. What is no plain file or folder below the new folder is left out and said. Every step goes from
the descriptor of a folder to a name in it, follows no link and replaces nothing, so whoever swaps folders meanwhile is
not led anywhere. The folder has its name only when all of it is there; if it breaks off, it goes again. Source: facts on security, §4 (zip-slip, bombs); L8.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import stat
import zipfile
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Final

from hub_services.export.exporter.archive import REPORT, SUMS
from hub_services.export.exporter.tree import DEEPEST, MOST, OPEN_FOLDER, Folders, Most

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CHUNK: Final = 1 << 18
#: What shrinks to less than this share of itself is no file of anybody's.
_MOST_GROWTH: Final = 1000
#: Archives smaller than this may grow as they like: zeros are legal.
_SMALL: Final = 64 << 20
_LONGEST_NAME: Final = 255
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: What `zipfile` unpacks within a bound; of bzip2 and LZMA it keeps all that a few bytes become.
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
#: What is raised of bytes that are not what they should be.
_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
)  # fmt: skip
#: What is being unpacked is called so.
_HIDDEN: Final = b".eugo-restore-"
_FILE_MODE: Final = 0o644
_FOLDER_MODE: Final = 0o755


class NotRestored(Exception):
    """The archive is not restored, and nothing of it is there; its words are for people."""


class Left(StrEnum):
    """Why an entry was left out."""

    OUTSIDE = "leads-outside"
    NO_FILE = "not-a-file"
    NAME = "unusable-name"
    TWICE = "name-twice"
    ENCRYPTED = "encrypted"
    METHOD = "unknown-compression"
    DAMAGED = "damaged"


#: What people read of it.
SAID: Final = {
    Left.OUTSIDE: "Its name leads out of the folder.",
    Left.NO_FILE: "It is a link or a device, and no file.",
    Left.NAME: "No file can have its name here.",
    Left.TWICE: "Another of the same name, or a file where a folder is, stands before it.",
    Left.ENCRYPTED: "It is encrypted: unpack it with its password first.",
    Left.METHOD: "It is packed in another way than most archives: pack it again, with deflate.",
    Left.DAMAGED: "Its bytes are not those that were packed.",
}


@dataclass(slots=True)
class Restored:
    """What was restored, and what was left out; *differing* are files whose sum is not the one in the archive."""

    files: int = 0
    size: int = 0
    left: list[tuple[str, Left]] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)


def restore(
    packed: IO[bytes],
    root: int,
    folder: bytes,
    *,
    most: Most = MOST,
    room: int,
) -> Restored:
    """
    Unpack *packed*, which can be sought in, into the new *folder* of the volume whose root is open as *root*.

    Args:
        folder: A name, or a path whose last part is new.
        room: Bytes that are free on the volume.

    Raises:
        NotRestored: It is no ZIP, too much, a trap, or the folder cannot be made.
    """
    try:
        opened = zipfile.ZipFile(packed)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        message = f"It is no ZIP archive: {error}."
        raise NotRestored(message) from error
    with opened, Folders(root) as folders:
        entries = opened.infolist()
        _judge(entries, most, room)
        place = _Place.made(folders, folder)
        try:
            done = _unpack(opened, entries, place.opened)
            place.settle()
        except BaseException as error:
            place.remove()
            if isinstance(error, OSError):
                message = f"The archive could not be unpacked: {error}. Nothing of it was kept."
                raise NotRestored(message) from error
            raise
        finally:
            place.close()
        return done


def _judge(entries: list[zipfile.ZipInfo], most: Most, room: int) -> None:
    if len(entries) > most.files:
        message = f"It has {len(entries)} entries; {most.files} are restored at most."
        raise NotRestored(message)
    size = sum(each.file_size for each in entries)
    packed = sum(each.compress_size for each in entries)
    if size > min(most.size, room):
        message = f"It unpacks to {size} bytes, and {min(most.size, room)} are free for it."
        raise NotRestored(message)
    if size > _SMALL and size > _MOST_GROWTH * max(packed, 1):
        message = "It grows more than any files do: it is a trap, or holds nothing but zeros."
        raise NotRestored(message)
    end = 0
    for each in sorted(entries, key=lambda entry: entry.header_offset):
        if each.header_offset < end:
            message = "Its entries overlap: it is a trap, or damaged."
            raise NotRestored(message)
        end = each.header_offset + each.compress_size


@dataclass(slots=True)
class _Place:
    """
    Where it is unpacked: a hidden folder that gets its name when all is there, so that no half is left under it.

    Whoever unpacks holds a lock on it; one that nobody holds was left by somebody who died, and goes.

    Attributes:
        parent: Descriptor of the folder above, which is its own.
        hidden: Its name until then.
        name: Its name afterwards.
        opened: Its own descriptor.
    """

    parent: int
    hidden: bytes
    name: bytes
    opened: int

    @classmethod
    def made(cls, folders: Folders, folder: bytes) -> _Place:
        """Make the hidden folder for the new *folder*."""
        above, _, name = folder.strip(b"/").rpartition(b"/")
        if (problem := _problem_of(name)) is not None:
            message = f"The folder cannot be made: {SAID[problem]}"
            raise NotRestored(message)
        hidden = _HIDDEN + secrets.token_hex(8).encode()
        try:
            parent = os.dup(folders.enter(above))
        except OSError as error:
            raise _not_made(error) from error
        try:
            _remove_left(parent)
            if _is_there(name, parent):
                raise _already_there(name, above)
            os.mkdir(hidden, _FOLDER_MODE, dir_fd=parent)
            opened = os.open(hidden, OPEN_FOLDER, dir_fd=parent)
        except OSError as error:
            os.close(parent)
            raise _not_made(error) from error
        except NotRestored:
            os.close(parent)
            raise
        fcntl.flock(opened, fcntl.LOCK_EX)
        return cls(parent, hidden, folder.strip(b"/"), opened)

    def settle(self) -> None:
        """Give it its name, if nobody has taken that meanwhile."""
        above, _, name = self.name.rpartition(b"/")
        try:
            os.rename(self.hidden, name, src_dir_fd=self.parent, dst_dir_fd=self.parent)
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}:
                raise _already_there(name, above) from error
            raise

    def remove(self) -> None:
        """Remove it with all that is in it."""
        _remove_all(self.hidden, self.parent)

    def close(self) -> None:
        """Close what is open."""
        os.close(self.opened)
        os.close(self.parent)


def _not_made(error: OSError) -> NotRestored:
    return NotRestored(f"The folder cannot be made: {error.strerror}.")


def _already_there(name: bytes, above: bytes) -> NotRestored:
    folder = above + b"/" + name if above else name
    shown = folder.decode("utf-8", "backslashreplace")
    return NotRestored(f"There is {shown} already: choose another name.")


def _is_there(name: bytes, parent: int) -> bool:
    """Whether there is anything of this name."""
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove_left(parent: int) -> None:
    """Remove what somebody left who died while unpacking into *parent*."""
    for name in map(os.fsencode, os.listdir(parent)):
        if not name.startswith(_HIDDEN):
            continue
        try:
            opened = os.open(name, OPEN_FOLDER, dir_fd=parent)
        except OSError:
            continue
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_all(name, parent)
        except OSError:
            continue  # somebody is at work in it
        finally:
            os.close(opened)


def _unpack(opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], target: int) -> Restored:
    done = Restored()
    sums = _sums_of(opened)
    made: set[bytes] = set()
    with Folders(target) as inside:
        for each in entries:
            if each.filename in {SUMS, REPORT}:
                continue
            why = _why_left(each)
            path = _path_of(each.filename)
            if why is None and not each.is_dir() and path in made:
                why = Left.TWICE
            if why is not None:
                done.left.append((each.filename, why))
                continue
            try:
                folder = _enter(inside, path if each.is_dir() else path.rpartition(b"/")[0])
            except (FileExistsError, NotADirectoryError):
                done.left.append((each.filename, Left.TWICE))
                continue
            if not each.is_dir():
                made.add(path)
                _write(opened, each, folder, path.rpartition(b"/")[2], done, sums)
    return done


def _write(
    opened: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    folder: int,
    name: bytes,
    done: Restored,
    sums: Mapping[str, str],
) -> None:
    try:
        file = os.open(name, _NEW, _FILE_MODE, dir_fd=folder)
    except FileExistsError:
        done.left.append((entry.filename, Left.TWICE))
        return
    digest, left = hashlib.sha256(), entry.file_size
    try:
        with os.fdopen(file, "wb") as written, opened.open(entry) as read:
            while chunk := read.read(min(_CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    message = f"{entry.filename} is larger than it says"
                    raise zipfile.BadZipFile(message)
                digest.update(chunk)
                written.write(chunk)
    except _DAMAGE as error:
        if opened.fp is None or opened.fp.closed:
            message = "Whoever sent the archive has gone. Nothing of it was kept."
            raise NotRestored(message) from error
        os.unlink(name, dir_fd=folder)
        done.left.append((entry.filename, Left.DAMAGED))
        return
    done.files += 1
    done.size += entry.file_size - left
    expected = sums.get(entry.filename)
    if expected is not None and expected != digest.hexdigest():
        done.differing.append(entry.filename)


def _why_left(entry: zipfile.ZipInfo) -> Left | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return Left.NO_FILE
    if entry.flag_bits & 0x1:
        return Left.ENCRYPTED
    if entry.compress_type not in _METHODS:
        return Left.METHOD
    name = entry.filename
    if (
        name.startswith(("/", "\\"))
        or ".." in name.replace("\\", "/").split("/")
        or name[1:2] == ":"
    ):
        return Left.OUTSIDE
    parts = _path_of(name).split(b"/")
    if len(parts) > DEEPEST or not parts[0]:
        return Left.NAME
    return next(filter(None, map(_problem_of, parts)), None)


def _path_of(name: str) -> bytes:
    """Return where an entry lies below the new folder; `.` and empty parts mean nothing."""
    parts = (part for part in name.split("/") if part not in {"", "."})
    return "/".join(parts).encode("utf-8", "surrogateescape")


def _problem_of(name: bytes) -> Left | None:
    if name in {b"", b".", b".."} or b"\0" in name or b"/" in name:
        return Left.NAME
    return Left.NAME if len(name) > _LONGEST_NAME else None


def _enter(inside: Folders, path: bytes) -> int:
    """Return the folder at *path*, made as far as it is not there."""
    parts = path.split(b"/") if path else []
    for depth, name in enumerate(parts):
        here = inside.enter(b"/".join(parts[:depth]))
        try:
            os.mkdir(name, _FOLDER_MODE, dir_fd=here)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                raise
    return inside.enter(path)


def _sums_of(opened: zipfile.ZipFile) -> Mapping[str, str]:
    """Return the sums that an archive of ours has for its members."""
    try:
        entry = opened.getinfo(SUMS)
        if entry.file_size > _SMALL or entry.compress_type not in _METHODS:
            return {}
        text = opened.read(entry).decode("utf-8", "surrogateescape")
    except (KeyError, *_DAMAGE):
        return {}
    return dict(_lines_of(text))


def _lines_of(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        digest, _, name = line.removeprefix("\\").partition("  ")
        if line.startswith("\\"):
            name = name.replace("\\n", "\n").replace("\\r", "\r").replace("\\\\", "\\")
        yield name, digest


def _remove_all(name: bytes, parent: int) -> None:
    try:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except OSError:
        return
    try:
        for each in map(os.fsencode, os.listdir(folder)):  # noqa: PTH208 - by descriptor
            found = os.stat(each, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                _remove_all(each, folder)
            else:
                os.unlink(each, dir_fd=folder)
    except OSError:
        return
    finally:
        os.close(folder)
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError:
        return
