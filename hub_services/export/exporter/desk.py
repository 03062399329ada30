"""
Desk: what the export service asks of a Pod that has volumes, and what it is told.

Each volume is a mount of its own, and a request names it; whatever it says of folders is looked for below that mount
and nowhere else. Source: F85; L8; facts on security, §4.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Final

from hub_services.export.exporter import archive, tree, usage
from hub_services.export.exporter import restore as unpacking
from hub_services.export.exporter.render import CHROMIUM
from hub_services.export.exporter.tree import SAID, Choice, Most, Skipped, Survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

#: Files that are listed with an answer; the archive lists all.
LISTED: Final = 500
#: Bytes that are hashed beforehand; what is more has its sums in the archive.
HASHED: Final = 256 << 20
#: What a notebook can become, beside what it is.
FORMS: Final = ("html", "pdf")
LARGEST_NOTEBOOK: Final = 50 << 20
_LARGEST_DOCUMENT: Final = 150 << 20
_RENDER_SECONDS: Final = 180
#: Of the Pod's environment, what the process that makes documents is told.
_KEPT: Final = ("PATH", "PYTHONPATH", "LANG", CHROMIUM)


class Unfit(Exception):
    """A request that cannot be met; its words are for people."""


@dataclass(frozen=True, slots=True)
class Wish:
    """
    What of one volume is wanted.

    Attributes:
        choice: Of an archive; for a document its folder is the notebook.
        form: `html` or `pdf`; empty: an archive.
    """

    volume: str
    choice: Choice
    form: str = ""


def wishes_of(body: object, volumes: Mapping[str, str]) -> tuple[Wish, ...]:
    """
    Return what *body* asks for: by volume, its folder and whether notebooks alone.

    Raises:
        Unfit: It is not that, or names a volume that is not here.
    """
    asked = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(asked, dict) or not asked:
        message = "choices: name at least one volume"
        raise Unfit(message)
    wishes = tuple(_wish(name, each, volumes) for name, each in asked.items())
    if len(wishes) > 1 and any(each.form for each in wishes):
        message = "choices: a document is made of one notebook"
        raise Unfit(message)
    return wishes


def _wish(name: str, asked: object, volumes: Mapping[str, str]) -> Wish:
    if name not in volumes:
        message = f"choices: there is no volume {name!r} here"
        raise Unfit(message)
    if isinstance(asked, dict) and "format" in asked:
        return _document_wish(name, asked)
    folder = asked.get("folder", "") if isinstance(asked, dict) else None
    notebooks = asked.get("notebooks", True) if isinstance(asked, dict) else None
    if not isinstance(folder, str) or not isinstance(notebooks, bool):
        message = f"choices.{name}: give folder as text and notebooks as true or false"
        raise Unfit(message)
    path = folder.strip("/")
    return Wish(name, Choice(folder=path.encode("utf-8", "surrogateescape"), notebooks=notebooks))


def _document_wish(name: str, asked: Mapping[str, object]) -> Wish:
    notebook, form = asked.get("notebook"), asked.get("format")
    if not isinstance(notebook, str) or form not in FORMS:
        message = f"choices.{name}: give notebook as text, and format as {' or '.join(FORMS)}"
        raise Unfit(message)
    path = notebook.strip("/").encode("utf-8", "surrogateescape")
    return Wish(name, Choice(folder=path), form=str(form))


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
    _documents: dict[Wish, bytes] = field(default_factory=dict)

    def survey(self, wishes: tuple[Wish, ...]) -> dict[str, Any]:
        """
        Return what *wishes* come to: files, bytes, what is left out and why, and the first files.

        Raises:
            Unfit: A folder or notebook is not there, cannot be shown as a document, or it is too much.
        """
        if wishes[0].form:
            return self._survey_document(wishes[0])
        total = Survey()
        self.counted = total
        examples = list[dict[str, str]]()
        try:
            with contextlib.ExitStack() as stack:
                roots = [(each, stack.enter_context(self._opened(each.volume))) for each in wishes]
                found = [(wish, root, self._survey(wish, root)) for wish, root in roots]
                for wish, _, one in found:
                    total.add(one)
                    examples += [_example(wish, each) for each in one.examples]
                self._check(total)
                listing = (
                    each
                    for wish, root, one in found
                    for each in _listing(wish, root, one, hashed=total.size <= HASHED)
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

    def document(self, wish: Wish) -> bytes:
        """
        Return the notebook of *wish* as a document, as it was counted if it was.

        Raises:
            Unfit: It is not there, is none, or cannot be shown as a document.
        """
        found = self._documents.pop(wish, None)
        return self._rendered(wish)[0] if found is None else found

    def _survey_document(self, wish: Wish) -> dict[str, Any]:
        document, file, digest = self._rendered(wish)
        self._documents = {wish: document}  # the last one: whoever counted fetches it soon
        name = archive.name_of(wish.volume, file.path)
        return {
            "files": 1, "bytes": len(document), "skipped": {}, "reasons": {}, "examples": [],
            "listed": [{"path": name, "bytes": file.size, "sha256": digest}],
        }  # fmt: skip

    def _rendered(self, wish: Wish) -> tuple[bytes, tree.File, str]:
        path = wish.choice.folder
        shown = path.decode("utf-8", "backslashreplace")
        with self._opened(wish.volume) as root:
            file = tree.find(root, path)
            if file is None or not path.lower().endswith(b".ipynb"):
                message = f"There is no notebook {shown!r} in the volume {wish.volume}."
                raise Unfit(message)
            if file.size > LARGEST_NOTEBOOK:
                message = (
                    f"The notebook has more than {LARGEST_NOTEBOOK >> 20} MiB: clear its outputs, "
                    "or take it as it is, in a ZIP."
                )
                raise Unfit(message)
            with tree.Folders(root) as folders:
                try:
                    opened = folders.open(file)
                except OSError as error:
                    message = f"The notebook {shown!r} cannot be read."
                    raise Unfit(message) from error
            with os.fdopen(opened, "rb") as notebook:
                text = notebook.read(file.size)
        title = shown.rpartition("/")[2].removesuffix(".ipynb")
        return _run(wish.form, title, text), file, hashlib.sha256(text).hexdigest()

    def usage(self, name: str) -> dict[str, Any]:
        """
        Return what the volume *name* holds, and which of its folders could go.

        Raises:
            Unfit: There is no such volume here, or it cannot be read.
        """
        if name not in self.volumes:
            message = f"volume: there is no volume {name!r} here"
            raise Unfit(message)
        self.counted = counted = Survey()

        def told(files: int) -> None:
            counted.files = files

        try:
            with self._opened(name) as root:
                found = usage.measure(root, told=told)
        finally:
            self.counted = None
        return {
            "files": found.files, "bytes": found.size, "unreadable": found.unreadable,
            "capacity": found.capacity, "free": found.free,
            "folders": [{"path": _shown(path), "bytes": size} for path, size in found.folders],
            "culprits": [
                {
                    "path": _shown(each.path), "bytes": each.size, "kind": str(each.kind),
                    "advice": usage.ADVICE[each.kind],
                }
                for each in found.culprits
            ],
        }  # fmt: skip

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
                    root = stack.enter_context(self._opened(wish.volume))
                    found = self._survey(wish, root)
                    volumes.append(
                        archive.Volume(
                            name=wish.volume, root=root, choice=wish.choice, within=found.within
                        )
                    )
                yield from archive.archive(volumes, progress, about=about, now=now)
        finally:
            self.archives.remove(progress)

    @contextlib.contextmanager
    def arrival(self, name: str) -> Iterator[IO[bytes]]:
        """
        Give a file without a name in the volume *name*, for what arrives: whoever dies over it leaves nothing.

        Raises:
            Unfit: There is no such volume here, or it cannot be written to.
        """
        if name not in self.volumes:
            message = f"volume: there is no volume {name!r} here"
            raise Unfit(message)
        try:
            unnamed = os.open(self.volumes[name], os.O_TMPFILE | os.O_RDWR, 0o600)
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}:
                raise _unwritable(name, error) from error
            unnamed = self._unnamed(name)
        with os.fdopen(unnamed, "w+b") as kept:
            yield kept

    def _unnamed(self, name: str) -> int:
        """Return a new file in the volume that loses its name at once: file systems of networks have none without one."""
        path = os.path.join(self.volumes[name], f".eugo-restore-{secrets.token_hex(8)}")  # noqa: PTH118 - as `os.open` has it
        try:
            opened = os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR, 0o600)
            os.unlink(path)  # noqa: PTH108 - beside `os.open`
        except OSError as error:
            raise _unwritable(name, error) from error
        return opened

    def restore(self, name: str, folder: str, packed: IO[bytes]) -> dict[str, Any]:
        """
        Unpack *packed* into the new *folder* of the volume *name*.

        Raises:
            Unfit: It is no ZIP, too much, a trap, or the folder cannot be made.
        """
        path = folder.strip("/").encode("utf-8", "surrogateescape")
        packed.seek(0)
        with self._opened(name) as root:
            system = os.statvfs(root)
            try:
                done = unpacking.restore(
                    packed, root, path, most=self.most, room=system.f_bavail * system.f_frsize
                )
            except unpacking.NotRestored as error:
                raise Unfit(str(error)) from error
        return {
            "files": done.files, "bytes": done.size,
            "left": [
                {"path": _safe(path), "reason": str(why), "sentence": unpacking.SAID[why]}
                for path, why in done.left[:LISTED]
            ],
            "left_out": len(done.left),
            "differing": [_safe(path) for path in done.differing[:LISTED]],
        }  # fmt: skip

    def progress(self) -> dict[str, Any]:
        """Return how far everything is that is being done."""
        return {
            "surveyed": None if self.counted is None else self.counted.files,
            "archives": [{"files": each.files, "bytes": each.size} for each in self.archives],
        }

    @contextlib.contextmanager
    def _opened(self, volume: str) -> Iterator[int]:
        try:
            opened = os.open(self.volumes[volume], os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            message = f"The volume {volume} cannot be read: {error.strerror}."
            raise Unfit(message) from error
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


def _run(form: str, title: str, text: bytes) -> bytes:
    """
    Return the notebook *text* as a document, made by a process of its own.

    Raises:
        Unfit: It could not be made; says why.
    """
    command = [sys.executable, "-m", "hub_services.export.exporter.render", form, title]
    with tempfile.TemporaryDirectory() as home:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                command, input=text, capture_output=True, check=False, timeout=_RENDER_SECONDS,
                env=kept | {"HOME": home, "TMPDIR": home},
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            message = "The notebook takes too long to become a document: clear its outputs."
            raise Unfit(message) from error
    if done.returncode == 0 and len(done.stdout) <= _LARGEST_DOCUMENT:
        return done.stdout
    said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
    try:
        detail = str(json.loads(said)["detail"])
    except (ValueError, KeyError, TypeError):
        detail = "The notebook cannot be made a document: it takes too much memory or time."
    raise Unfit(detail)


def _unwritable(volume: str, error: OSError) -> Unfit:
    return Unfit(f"The volume {volume} cannot be written to: {error.strerror}.")


def _safe(path: str) -> str:
    """Return a name of an archive such that it can be sent, whatever its bytes were."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _example(wish: Wish, skipped: Skipped) -> dict[str, str]:
    path = skipped.path.decode("utf-8", "backslashreplace")
    return {"path": f"{wish.volume}/{path}", "reason": str(skipped.why)}


def _listing(wish: Wish, root: int, found: Survey, *, hashed: bool) -> Iterator[dict[str, Any]]:
    with tree.Folders(root) as folders:
        for each in tree.chosen(root, wish.choice, found.within):
            if isinstance(each, Skipped):
                continue
            name = archive.name_of(wish.volume, each.path)
            digest = None
            if hashed:
                with contextlib.suppress(OSError):
                    digest = _digest(folders, each)
            yield {"path": name, "bytes": each.size, "sha256": digest}


def _digest(folders: tree.Folders, file: tree.File) -> str:
    with os.fdopen(folders.open(file), "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
