"""
Server: the exporter's door; whoever has no token learns nothing.

Source: RFC 9112, 8 (a body that breaks off is incomplete, and clients see that).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import time
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from tornado import web
from tornado.iostream import StreamClosedError

from hub_services.export.exporter.desk import Desk, Unfit, wishes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log: Final = logging.getLogger(__name__)

#: Seconds without a request after which nobody wants anything any more.
IDLE: Final = 120
_AT_ONCE: Final = 8
#: Of an archive that is restored: as much as one export holds, and what packing may add.
LARGEST: Final = 101 << 30


class Attendance:
    """Whether anybody still wants something."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self._here = 0

    @contextlib.contextmanager
    def someone(self) -> Iterator[None]:
        """Somebody is here meanwhile."""
        self._here += 1
        try:
            yield
        finally:
            self._here -= 1
            self._last = self._clock()

    def is_over(self) -> bool:
        """Whether nobody has wanted anything for a while."""
        return not self._here and self._clock() - self._last > IDLE


class Handler(web.RequestHandler):
    """A request of the export service."""

    def initialize(self, desk: Desk, attendance: Attendance, token: str) -> None:
        """Take over the desk, and the hash of the token."""
        self._desk = desk
        self._attendance = attendance
        self._token = token

    def prepare(self) -> None:
        """Refuse whoever does not have the token."""
        shown = self.request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(hashlib.sha256(shown.encode()).hexdigest(), self._token):
            raise web.HTTPError(401)

    def check_xsrf_cookie(self) -> None:
        """Do without: nothing here is asked with a cookie."""

    def body(self) -> Any:
        """Return the body, which is JSON."""
        try:
            return json.loads(self.request.body)
        except ValueError as error:
            message = "The body is no JSON."
            raise Unfit(message) from error

    def write_error(self, status_code: int, **keywords: Any) -> None:
        """Say what cannot be met in words."""
        error = keywords.get("exc_info", (None, None))[1]
        if isinstance(error, Unfit):
            self.set_status(422)
            self.finish({"detail": str(error)})
            return
        self.finish({"detail": self._reason if status_code != 500 else "It failed here."})  # noqa: PLR2004

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is our fault."""
        if not isinstance(value, Unfit | web.HTTPError):
            super().log_exception(typ, value, tb)


class Progress(Handler):
    """How far everything is; no reason to stay."""

    def get(self) -> None:
        """Answer it."""
        self.finish(self._desk.progress())


class Survey(Handler):
    """What a choice comes to."""

    async def post(self) -> None:
        """Count, and answer."""
        with self._attendance.someone():
            wishes = wishes_of(self.body(), self._desk.volumes)
            self.finish(await asyncio.to_thread(self._desk.survey, wishes))


class Usage(Handler):
    """What a volume holds."""

    async def post(self) -> None:
        """Measure, and answer."""
        with self._attendance.someone():
            body = self.body()
            name = str(body.get("volume", "")) if isinstance(body, dict) else ""
            self.finish(await asyncio.to_thread(self._desk.usage, name))


@web.stream_request_body
class Restore(Handler):
    """A ZIP that is unpacked into a new folder, once all of it is here."""

    def prepare(self) -> None:
        """Refuse whoever does not have the token, and what has no room; else keep what comes."""
        super().prepare()
        with contextlib.ExitStack() as kept:
            kept.enter_context(self._attendance.someone())
            arrival = self._desk.arrival(self.get_query_argument("volume", ""))
            self._packed = kept.enter_context(arrival)
            self._kept = kept.pop_all()
        self.request.connection.set_max_body_size(LARGEST)  # type: ignore[union-attr]

    async def data_received(self, chunk: bytes) -> None:
        """Keep a part of it."""
        if self._problem:
            return
        try:
            await asyncio.to_thread(self._packed.write, chunk)
        except OSError as error:
            self._problem = f"The archive cannot be kept: {error.strerror}. Nothing of it was."

    async def post(self) -> None:
        """Unpack it."""
        assert self._kept is not None  # noqa: S101 - `prepare` made it
        with self._kept:
            if self._problem:
                raise Unfit(self._problem)
            folder = self.get_query_argument("folder", "")
            volume = self.get_query_argument("volume", "")
            self.finish(await asyncio.to_thread(self._desk.restore, volume, folder, self._packed))

    def on_connection_close(self) -> None:
        """Forget what came so far: whoever sent it has gone."""
        if self._kept is not None:
            self._kept.close()
        super().on_connection_close()

    _kept: contextlib.ExitStack | None = None
    _problem = ""


class Archive(Handler):
    """The archive of a choice, or the document of a notebook."""

    async def post(self) -> None:
        """Send it as it is made."""
        body = self.body()
        wishes = wishes_of(body, self._desk.volumes)
        if wishes[0].form:
            with self._attendance.someone():
                self.finish(await asyncio.to_thread(self._desk.document, wishes[0]))
            return
        about = body.get("about")
        made = self._desk.archive(
            wishes, about=about if isinstance(about, dict) else {}, now=_moment(body.get("at"))
        )
        with self._attendance.someone():
            try:
                await self._send(made)
            finally:
                await asyncio.to_thread(made.close)  # type: ignore[attr-defined]

    async def _send(self, made: Iterator[bytes]) -> None:
        # What is wrong with the choice shows before the first bytes, and is answered in words.
        chunks = await asyncio.to_thread(_some, made)
        self.set_header("Content-Type", "application/zip")
        try:
            while chunks:
                for chunk in chunks:
                    self.write(chunk)
                await self.flush()
                chunks = await asyncio.to_thread(_some, made)
        except StreamClosedError:
            _log.info("Whoever wanted the archive has gone")
        except Exception:  # noqa: BLE001 - whatever it was
            # The status was sent: only an end that is no end says that something is missing.
            _log.exception("The archive broke off")
            connection: Any = self.request.connection
            connection.stream.close()


def _some(made: Iterator[bytes]) -> list[bytes]:
    """Return the next chunks: to go to a thread for each would take longer than to read it."""
    return list(islice(made, _AT_ONCE))


def _moment(told: object) -> datetime:
    """Return the moment that whoever asks calls now."""
    try:
        return datetime.fromisoformat(str(told)).astimezone(UTC)
    except ValueError as error:
        message = "at: give a time in ISO 8601"
        raise Unfit(message) from error


def make_app(desk: Desk, attendance: Attendance, token: str) -> web.Application:
    """
    Return the application.

    Args:
        token: SHA-256 of the token, in hexadecimal digits.
    """
    surroundings = {"desk": desk, "attendance": attendance, "token": token}
    return web.Application(
        [
            ("/v1/progress", Progress, surroundings),
            ("/v1/survey", Survey, surroundings),
            ("/v1/usage", Usage, surroundings),
            ("/v1/archive", Archive, surroundings),
            ("/v1/restore", Restore, surroundings),
        ]
    )
