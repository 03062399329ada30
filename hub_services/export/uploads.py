"""
Uploads: where a ZIP is sent to be restored, by a program as it is, and by a form among other fields.

Neither is kept here: parts go on as they come. Source: L8; RFC 7578.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from tornado import web

from eugospawner.policy.errors import EugoError
from hub_services.common import api as apis
from hub_services.common.problems import DoorReason, Fault
from hub_services.common.web import Handler, Page, fault_of
from hub_services.export import models

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from hub_services.export.restoring import Delivery, Restorer

#: As much as one export holds, and what packing may add.
LARGEST: Final = 101 << 30
_LARGEST_FIELD: Final = 4096
_MOST_FIELDS: Final = 20


class _Upload(Handler):
    """What both have."""

    _delivery: Delivery | None = None

    def initialize(self, restorer: Restorer) -> None:
        """Take over who unpacks."""
        self._restorer = restorer

    async def prepare(self) -> None:
        """
        Find out who asks; only then a long body is taken.

        Raises:
            Fault: As of `Handler.prepare`, or the address has no such method.
        """
        if self.request.method != "POST":
            self.set_header("Allow", "POST")
            message = f"This address has no {self.request.method}; it has POST."
            raise Fault(DoorReason.METHOD_NOT_ALLOWED, message)
        await super().prepare()
        if not self._finished:
            self.request.connection.set_max_body_size(LARGEST)  # type: ignore[union-attr]

    def on_connection_close(self) -> None:
        """Let go what came so far: whoever sent it has gone."""
        if self._delivery is not None:
            self._delivery.cancel()
        super().on_connection_close()

    def _request_summary(self) -> str:
        """Return what is logged: an address without what keeps forms from being forged."""
        return super()._request_summary().replace(self.request.uri or "", self.request.path)


@web.stream_request_body
class RestoreRoute(_Upload):
    """The operation `restore_archive` of the API."""

    async def prepare(self) -> None:
        """
        Find out who asks, and where it is to go.

        Raises:
            Fault: As of `_Upload.prepare`; the body is declared as something else, or a parameter is wrong.
            Barred: They may not.
        """
        await super().prepare()
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/zip":
            message = f"The body is {kind or 'of no type'}: send a ZIP as application/zip."
            raise Fault(DoorReason.NOT_ZIP, message)
        query = apis.query_of(self.request)
        query.pop("_xsrf", None)
        new = apis.parameters_of(models.NewRestore, {}, query)
        self._delivery = await self._restorer.begin(self.actor, new)

    async def data_received(self, chunk: bytes) -> None:
        """Send a part on."""
        if self._delivery is not None:
            await self._delivery.put(chunk)

    async def post(self) -> None:
        """Answer what was restored."""
        assert self._delivery is not None  # noqa: S101 - `prepare` made it
        done = await self._delivery.done()
        self.set_header("Content-Type", "application/json")
        self.finish(done.model_dump_json())


@web.stream_request_body
class RestorePage(_Upload, Page):
    """Where the form sends its fields, and the archive as the last of them."""

    async def prepare(self) -> None:
        """
        Find out who asks, and how the parts are told from each other.

        Raises:
            Fault: As of `_Upload.prepare`, or it is no form with a file.
        """
        self._form: _Form | None = None
        self._fault: Fault | None = None
        await super().prepare()
        if self._finished:
            return
        kind, options = parse_options_header(self.request.headers.get("Content-Type", ""))
        if kind != b"multipart/form-data" or b"boundary" not in options:
            raise Fault(DoorReason.MALFORMED, "Send the form as the page has it.")
        self._form = _Form(options[b"boundary"])

    async def data_received(self, chunk: bytes) -> None:
        """Read fields, and send parts of the archive on; what is wrong is said at the end."""
        if self._form is None or self._fault is not None:
            return
        try:
            for part in self._form.feed(chunk):
                if self._delivery is None:
                    self._delivery = await self._begin(self._form.fields)
                await self._delivery.put(part)
        except EugoError as error:
            self._fault = fault_of(error)
        except FormParserError as error:
            self._fault = Fault(DoorReason.MALFORMED, f"The form is damaged: {error}.")
        except Exception as error:  # noqa: BLE001 - Tornado would cut the line, and log the address
            self.log_exception(type(error), error, error.__traceback__)
            self._fault = fault_of(error)
        if self._fault is not None and self._delivery is not None:
            self._delivery.cancel()

    async def post(self) -> None:
        """Show what was restored."""
        if self._fault is not None:
            raise self._fault
        if self._delivery is None:
            raise Fault(DoorReason.MALFORMED, "Choose a ZIP file.")
        self.render_page("restored.html", done=await self._delivery.done())

    def _begin(self, fields: dict[str, str]) -> Awaitable[Delivery]:
        owner, _, server = fields.get("workspace", "").partition("/")
        try:
            new = models.NewRestore(
                owner=owner or None, server=server or "_", folder=fields.get("folder", "").strip()
            )
        except ValidationError as error:
            raise _malformed(error) from error
        return self._restorer.begin(self.actor, new)


class _Form:
    """
    The parts of a form as they come: fields, and then one file.

    Attributes:
        fields: What the fields before the file say.
    """

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        self._header, self._value = bytearray(), bytearray()
        self._name, self._is_file = "", False
        self._data, self._found = bytearray(), list[bytes]()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._take_field,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_part_data": self._take,
                "on_part_end": self._end,
            },
        )

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return what of the file is in *chunk*; raises `FormParserError` and `Fault`."""
        self._found = []
        self._parser.write(chunk)
        return self._found

    def _begin(self) -> None:
        self._name, self._is_file = "", False
        self._data.clear()

    def _take_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            # A browser sends a part without a name for a file that nobody chose.
            self._is_file = bool(options.get(b"filename"))
        self._header.clear()
        self._value.clear()

    def _take(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._found.append(bytes(data[start:end]))
            return
        self._data += data[start:end]
        if len(self._data) > _LARGEST_FIELD:
            raise Fault(DoorReason.TOO_LARGE, "A field of the form is longer than any can be.")

    def _end(self) -> None:
        if not self._is_file:
            if len(self.fields) >= _MOST_FIELDS or len(self._name) > _LARGEST_FIELD:
                raise Fault(DoorReason.TOO_LARGE, "The form has more fields than ours.")
            self.fields[self._name] = self._data.decode("utf-8", "replace")


def _malformed(error: ValidationError) -> Fault:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "query"
    return Fault(DoorReason.MALFORMED, f"{where}: {first['msg']}.")
