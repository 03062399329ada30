"""
Archive: the files of a choice as a ZIP, one chunk after the other, with nothing kept but what the end needs.

ZIP64 throughout, so neither many files nor large ones are special. What shrinks is deflated, and what does not (images,
models, archives) is passed on as it is; the first bytes of a file tell. The last two members say what is in it:
`SHA256SUMS`, which `sha256sum --check` reads, and `export.json` with what was left out and why.
Source: PKWARE APPNOTE 6.3.10; F85; L8.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import Empty, Queue
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

from isal import isal_zlib
from stream_zip import ZIP_64, stream_zip

from hub_services.export.exporter.tree import SAID, Choice, File, Folders, Skipped, Why, chosen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bytes that are read, and given, at once: as many as a stored block of deflate holds.
CHUNK: Final = 0xFFFF
#: Chunks that are read ahead while another is deflated or sent.
_AHEAD: Final = 32
#: A file whose beginning keeps more than this of its size is passed on as it is.
_SHRINKS: Final = 0.9
#: ISA-L's second level: smaller than zlib's first, at five times its speed (docs/reference/benchmarks.md, B6).
_LEVEL: Final = 2
_RAW: Final = -15
#: A stored block of deflate (RFC 1951, 3.2.4): whether it is the last, its length, and that complemented.
_BLOCK: Final = struct.Struct("<BHH")
_LONGEST_BLOCK: Final = CHUNK
#: What the format's times can say.
_EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2037, 12, 31, tzinfo=UTC)
_MODE: Final = 0o100644
#: In bytes; Linux takes 4,096 with the folder in which it is unpacked.
_LONGEST_NAME: Final = 3500
SUMS: Final = "SHA256SUMS"
REPORT: Final = "export.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """
    A volume, opened.

    Attributes:
        name: Its folder in the archive.
        root: The descriptor of its root.
        within: Inodes with several names that may be given (`tree.Survey.within`).
    """

    name: str
    root: int
    choice: Choice
    within: frozenset[tuple[int, int]]


@dataclass(slots=True)
class Progress:
    """How far an archive is: files and bytes that were read, and what was left out."""

    files: int = 0
    size: int = 0
    skipped: dict[Why, int] = field(default_factory=dict)
    examples: list[tuple[str, Why]] = field(default_factory=list)

    _EXAMPLES = 200

    def leave(self, name: str, why: Why) -> None:
        """Count what was left out."""
        self.skipped[why] = self.skipped.get(why, 0) + 1
        if len(self.examples) < self._EXAMPLES:
            self.examples.append((name, why))


def name_of(volume: str, path: bytes) -> str:
    r"""
    Return the name in an archive of what is at *path* in *volume*: one that leads nowhere, on no system.

    A byte that is no UTF-8 is written as `\xNN` would be, with `_` for the backslash; what was changed, or is too long
    to be unpacked, has a digest in it, so that no two are the same. Nothing is remembered for that.
    """
    readable = path.decode("utf-8", "backslashreplace").replace("\\", "_")
    name = f"{volume}/{readable}"
    is_long = len(name.encode()) > _LONGEST_NAME
    if readable.encode() == path and not is_long:
        return name
    digest = hashlib.sha256(path).hexdigest()[:16]
    if is_long:
        name = f"{volume}/{digest}/{readable.rpartition('/')[2]}"
        return name if len(name.encode()) <= _LONGEST_NAME else f"{volume}/{digest}/{digest}"
    folder, slash, last = name.rpartition("/")
    stem, dot, ending = last.rpartition(".")
    if not stem:
        stem, dot, ending = last, "", ""
    return f"{folder}{slash}{stem}~{digest}{dot}{ending}"


class Stored:
    """A compressor that does not: it packs bytes as they are into deflate's stored blocks."""

    def compress(self, data: bytes) -> memoryview:
        """Return *data* in blocks; as a view, of which `stream_zip` takes parts without a copy."""
        return memoryview(b"".join(self._blocks(data)))

    @staticmethod
    def _blocks(data: bytes) -> Iterator[bytes | memoryview]:
        view = memoryview(data)
        for start in range(0, len(view), _LONGEST_BLOCK):
            block = view[start : start + _LONGEST_BLOCK]
            yield _BLOCK.pack(0, len(block), len(block) ^ _LONGEST_BLOCK)
            yield block

    def flush(self) -> bytes:
        """Return the last block, which is empty."""
        return _BLOCK.pack(1, 0, _LONGEST_BLOCK)


class Fitting:
    """A compressor that looks at the first bytes whether they shrink."""

    def __init__(self) -> None:
        self._chosen: Any = None

    def compress(self, data: bytes) -> bytes:
        """Return what is ready of *data*."""
        if self._chosen is None:
            self._chosen = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
            tried = isal_zlib.compressobj(1, isal_zlib.DEFLATED, _RAW)
            if len(tried.compress(data)) + len(tried.flush()) > _SHRINKS * len(data):
                self._chosen = Stored()
        ready: bytes = self._chosen.compress(data)
        return ready

    def flush(self) -> bytes:
        """Return the rest."""
        if self._chosen is None:
            self._chosen = Stored()
        rest: bytes = self._chosen.flush()
        return rest


def archive(
    volumes: Iterable[Volume],
    progress: Progress,
    *,
    about: dict[str, object],
    now: datetime,
    fast: bool = False,
) -> Iterator[bytes]:
    """
    Yield a ZIP of what is chosen of *volumes*.

    A file that cannot be read, or changes while it is, is in the report; it never spoils the rest.

    Args:
        progress: Told how far it is.
        about: What the report says besides, as JSON.
        now: When it is made, for the members that were no files.
        fast: Whether nothing is deflated.

    Raises:
        OSError: A volume or its chosen folder is not there.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogateescape") as sums,
        _Reader(volumes, progress, sums) as reader,
    ):
        yield from _packed(
            stream_zip(
                _members(reader, progress, sums, about, now),
                chunk_size=CHUNK,
                get_compressobj=cast("Any", Stored if fast else Fitting),
            )
        )


def _packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield *chunks* joined to some `CHUNK` bytes each: many small files are no many small writes."""
    waiting, size = list[bytes](), 0
    for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= CHUNK:
            yield b"".join(waiting) if len(waiting) > 1 else chunk
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


_Member = tuple[str, datetime, int, Any, "Iterable[bytes]"]


def _members(
    reader: _Reader, progress: Progress, sums: IO[str], about: dict[str, object], now: datetime
) -> Iterator[_Member]:
    while (begun := reader.next()) is not None:
        yield begun.name, begun.modified, _MODE, ZIP_64, reader.rest_of(begun)
    sums.seek(0)
    yield SUMS, now, _MODE, ZIP_64, _lines(sums)
    yield REPORT, now, _MODE, ZIP_64, [_report(progress, about)]


@dataclass(frozen=True, slots=True)
class _Begun:
    """A file of which the *first* bytes were read; *more* come."""

    name: str
    modified: datetime
    first: bytes
    more: bool


@dataclass(frozen=True, slots=True)
class _Failed:
    """Nothing more comes."""

    error: Exception


#: `_Begun`, then chunks as long as there are more, then an empty one; `None` at the end of all.
_Item = _Begun | bytes | _Failed | None


class _Reader:
    """
    Reads and hashes, in a thread of its own, ahead of whoever deflates and sends, from file to file.

    Args:
        sums: The lines of `SHA256SUMS` are written to it.
    """

    def __init__(self, volumes: Iterable[Volume], progress: Progress, sums: IO[str]) -> None:
        self._volumes = volumes
        self._progress = progress
        self._sums = sums
        self._items: Queue[_Item] = Queue(_AHEAD)
        self._unwanted = False
        self._thread = Thread(target=self._run, name="read", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._unwanted = True
        while self._thread.is_alive():
            with contextlib.suppress(Empty):
                self._items.get(timeout=0.01)
        self._thread.join()

    def next(self) -> _Begun | None:
        """Return the beginning of the next file; `None`: that was all."""
        return cast("_Begun | None", self._take())

    def rest_of(self, begun: _Begun) -> Iterator[bytes]:
        """Yield the bytes of the file *begun*."""
        if begun.first:
            yield begun.first
        while begun.more and (chunk := self._take()):
            yield cast("bytes", chunk)

    def _take(self) -> _Begun | bytes | None:
        item = self._items.get()
        if isinstance(item, _Failed):
            raise item.error
        return item

    def _run(self) -> None:
        try:
            for volume in self._volumes:
                self._read_volume(volume)
            self._items.put(None)
        except _Unwanted:
            pass
        except Exception as error:  # noqa: BLE001 - whoever consumes raises it
            self._items.put(_Failed(error))

    def _read_volume(self, volume: Volume) -> None:
        with Folders(volume.root) as folders:
            for each in chosen(volume.root, volume.choice, volume.within):
                if isinstance(each, Skipped):
                    self._progress.leave(_readable(volume, each.path), each.why)
                    continue
                try:
                    opened = folders.open(each)
                except OSError:
                    self._progress.leave(_readable(volume, each.path), Why.UNREADABLE)
                    continue
                try:
                    self._read(name_of(volume.name, each.path), each, opened)
                finally:
                    os.close(opened)

    def _read(self, name: str, file: File, opened: int) -> None:
        """Read at most as many bytes as *file* had when it was found."""
        digest, left = hashlib.sha256(), file.size
        problem: Why | None = None
        begun: _Begun | None = None
        while begun is None or left > 0:
            if self._unwanted:
                raise _Unwanted
            try:
                chunk = _read(opened, min(CHUNK, left))
            except OSError:
                chunk, problem = b"", Why.UNREADABLE
            digest.update(chunk)
            left = left - len(chunk) if chunk else 0
            self._progress.size += len(chunk)
            if begun is None:
                begun = _Begun(name, _time(file.modified), chunk, more=left > 0)
                self._items.put(begun)
            elif chunk:
                self._items.put(chunk)
        if begun.more:
            self._items.put(b"")
        now = os.fstat(opened)
        if (now.st_size, now.st_mtime) != (file.size, file.modified):
            problem = problem or Why.CHANGED
        if problem is not None:
            self._progress.leave(name, problem)
        self._progress.files += 1
        self._sums.write(_sum_line(digest.hexdigest(), name))


class _Unwanted(Exception):
    """Nobody wants the rest."""


def _read(opened: int, wanted: int) -> bytes:
    """Return the next *wanted* bytes; fewer, if the file ends before."""
    chunk = os.read(opened, wanted)
    while 0 < len(chunk) < wanted and (more := os.read(opened, wanted - len(chunk))):
        chunk += more
    return chunk


def _readable(volume: Volume, path: bytes) -> str:
    return f"{volume.name}/{path.decode('utf-8', 'backslashreplace')}"


def _sum_line(digest: str, name: str) -> str:
    r"""Return a line as GNU coreutils write it: a name with `\n` is escaped, and the line says so."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "" if escaped == name else "\\"
    return f"{mark}{digest}  {escaped}\n"


def _lines(sums: IO[str]) -> Iterator[bytes]:
    while text := sums.read(CHUNK):
        yield text.encode("utf-8", "surrogateescape")


def _report(progress: Progress, about: dict[str, object]) -> bytes:
    report = {
        **about,
        "files": progress.files,
        "bytes": progress.size,
        "skipped": {
            "count": {str(why): count for why, count in sorted(progress.skipped.items())},
            "reasons": {str(why): SAID[why] for why in sorted(progress.skipped)},
            "first": [{"path": name, "reason": str(why)} for name, why in progress.examples],
        },
    }
    return json.dumps(report, ensure_ascii=True, indent=1).encode()


def _time(modified: float) -> datetime:
    try:
        at = datetime.fromtimestamp(modified, UTC)
    except (OverflowError, ValueError, OSError):
        return _EARLIEST
    return min(max(at, _EARLIEST), _LATEST)
