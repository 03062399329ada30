"""
API: routes that say what they take and give, and the OpenAPI document that follows from them.

An operation is declared once: method, path, models of its parameters, body and answer, and the
refusals it can give. From that come the routing, the validation (strict: unknown keys are errors,
and every wrong field is named), the answer, and the served description, which so cannot differ from
what runs. Source: OpenAPI 3.1; RFC 9457; design §5.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson
from openapi_pydantic import (
    Info,
    MediaType,
    OpenAPI,
    Parameter,
    ParameterLocation,
    PathItem,
    Reference,
    RequestBody,
    Response,
    Schema,
    SecurityScheme,
    Server,
)
from openapi_pydantic import (
    Operation as OpenApiOperation,
)
from openapi_pydantic.util import PydanticSchema, construct_open_api_with_schema_class
from pydantic import BaseModel, ValidationError
from tornado import web

from eugospawner.policy.reasons import Reason
from hub_services.common.problems import (
    CONTENT_TYPE,
    DoorReason,
    Fault,
    FieldProblem,
    Problem,
    rule_of,
)
from hub_services.common.web import LARGEST_BODY, Handler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from tornado.httputil import HTTPServerRequest

    from eugospawner.policy.accounts import Actor


_NAME: Final = re.compile(r"\{(\w+)\}")
_Model = TypeVar("_Model", bound=BaseModel)

_ALWAYS: Final = (
    DoorReason.NOT_SIGNED_IN,
    DoorReason.NOT_PERMITTED,
    DoorReason.HUB_UNAVAILABLE,
    DoorReason.STORE_UNAVAILABLE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """
    One thing that the API does.

    Attributes:
        name: Unique; what generated clients call it.
        path: Below the API's prefix: ``/quotas/{key}``.
        run: Given who asks and what *takes* and *body* are models of, as far as there are any.
        takes: Parameters: those whose names stand in the path, and the query's.
        refuses: Reasons beside those that every operation has.
        streams: Media type of a body that goes on as it comes; such an operation has a handler of its own.
    """

    method: str
    path: str
    name: str
    summary: str
    run: Callable[..., Awaitable[Any]]
    answer: type[BaseModel]
    takes: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    refuses: tuple[DoorReason | Reason, ...] = ()
    streams: str = ""

    @property
    def in_path(self) -> frozenset[str]:
        """Names of the parameters that stand in the path."""
        return frozenset(_NAME.findall(self.path))

    @property
    def reasons(self) -> tuple[DoorReason | Reason, ...]:
        """All reasons for which it may refuse."""
        found: set[DoorReason | Reason] = {*_ALWAYS, *self.refuses}
        if self.takes is not None or self.body is not None:
            found.add(DoorReason.MALFORMED)
        if self.body is not None:
            found |= {DoorReason.TOO_LARGE, DoorReason.NOT_JSON}
        return tuple(reason for reason in (*DoorReason, *Reason) if reason in found)


def routes(prefix: str, operations: Iterable[Operation], document: OpenAPI) -> list[Any]:
    """Return the application's routes below *prefix*, and that of the description."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        if not operation.streams:
            by_path.setdefault(operation.path, {})[operation.method] = operation
    text = document.model_dump_json(by_alias=True, exclude_none=True)
    return [
        (re.escape(prefix) + "/openapi.json", Description, {"text": text}),
        *(
            (re.escape(prefix) + _pattern(path), Route, {"operations": methods})
            for path, methods in by_path.items()
        ),
    ]


def _pattern(path: str) -> str:
    parts = _NAME.split(path)
    return "".join(
        f"(?P<{part}>[^/]+)" if number % 2 else re.escape(part) for number, part in enumerate(parts)
    )


class Description(web.RequestHandler):
    """The OpenAPI document; public, as the program is."""

    def initialize(self, text: str) -> None:
        """Take over the document."""
        self._text = text

    def get(self) -> None:
        """Answer with it."""
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(self._text)


class Route(Handler):
    """All operations of one path."""

    def initialize(self, operations: Mapping[str, Operation]) -> None:
        """Take over what is done by method."""
        self._operations = operations

    async def prepare(self) -> None:
        """
        Find out who asks, and whether there is such a method.

        Raises:
            Fault: There is none, or as of `Handler.prepare`.
        """
        if self.request.method not in self._operations:
            message = f"This address has no {self.request.method}; it has "
            message += f"{', '.join(self._operations)}."
            raise Fault(DoorReason.METHOD_NOT_ALLOWED, message)
        await super().prepare()

    def write_problem(self, fault: Fault) -> None:
        """Answer with a problem, and with the methods that there are if it is about those."""
        if fault.reason is DoorReason.METHOD_NOT_ALLOWED:
            self.set_header("Allow", ", ".join(self._operations))
        super().write_problem(fault)

    async def get(self, **in_path: str) -> None:
        """Do what the address does."""
        await self._run(in_path)

    post = put = delete = get

    async def _run(self, in_path: Mapping[str, str]) -> None:
        operation = self._operations[str(self.request.method)]
        arguments: list[BaseModel] = []
        if operation.takes is not None:
            arguments.append(parameters_of(operation.takes, in_path, query_of(self.request)))
        if operation.body is not None:
            arguments.append(_body(operation.body, self.request.headers, self.request.body))
        actor: Actor = self.actor
        answer = await operation.run(actor, *arguments)
        self.set_header("Content-Type", "application/json")
        self.finish(answer.model_dump_json())


def query_of(request: HTTPServerRequest) -> dict[str, str]:
    """
    Return the query of *request*.

    Raises:
        Fault: A name stands there twice, which is a mistake and no list, or a value is no UTF-8.
    """
    found: dict[str, str] = {}
    for name, values in request.query_arguments.items():
        if len(values) > 1:
            problem = FieldProblem(field=f"query.{name}", detail="stands there twice")
            raise Fault(DoorReason.MALFORMED, f"query.{name}: stands there twice", (problem,))
        try:
            found[name] = values[0].decode()
        except UnicodeDecodeError:
            problem = FieldProblem(field=f"query.{name}", detail="is no UTF-8")
            raise Fault(DoorReason.MALFORMED, f"query.{name}: is no UTF-8", (problem,)) from None
    return found


def parameters_of(
    model: type[_Model], in_path: Mapping[str, str], query: Mapping[str, str]
) -> _Model:
    """
    Return what path and query of a request say, as *model* has it.

    Raises:
        Fault: They say something else.
    """
    clash = in_path.keys() & query.keys()
    if clash:
        name = min(clash)
        problem = FieldProblem(field=f"query.{name}", detail="stands in the path already")
        raise Fault(DoorReason.MALFORMED, f"query.{name}: {problem.detail}", (problem,))
    try:
        return model.model_validate({**query, **in_path})
    except ValidationError as error:
        raise _malformed(error, lambda name: "path" if name in in_path else "query") from error


def _body(model: type[BaseModel], headers: Mapping[str, str], body: bytes) -> BaseModel:
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = f"The body is {kind or 'of no type'}: send JSON as application/json."
        raise Fault(DoorReason.NOT_JSON, message)
    if len(body) > LARGEST_BODY:
        message = f"The body has {len(body)} bytes; no entry has more than {LARGEST_BODY}."
        raise Fault(DoorReason.TOO_LARGE, message)
    try:
        content = orjson.loads(body)
    except ValueError as error:
        problem = FieldProblem(field="body", detail=f"is no JSON ({error})")
        raise Fault(DoorReason.MALFORMED, f"body: {problem.detail}", (problem,)) from error
    try:
        return model.model_validate(content, strict=True)
    except ValidationError as error:
        raise _malformed(error, lambda _: "body") from error


def _malformed(error: ValidationError, place: Callable[[str], str]) -> Fault:
    problems = []
    for each in error.errors(include_url=False, include_input=False):
        location = [str(part) for part in each["loc"]]
        where = place(location[0] if location else "")
        message = each["msg"].removeprefix("Value error, ")
        problems.append(
            FieldProblem(
                field=".".join((where, *location)),
                detail=message[:1].lower() + message[1:],
            )
        )
    detail = "; ".join(f"{each.field}: {each.detail}" for each in problems)
    return Fault(DoorReason.MALFORMED, detail, tuple(problems))


def describe(
    operations: Iterable[Operation], *, title: str, summary: str, version: str, url: str
) -> OpenAPI:
    """Return the OpenAPI document of *operations*, whose paths are below *url*."""
    paths: dict[str, PathItem] = {}
    for operation in operations:
        item = paths.setdefault(operation.path, PathItem())
        setattr(item, operation.method.lower(), _described(operation))
    document = OpenAPI(
        openapi="3.1.0",
        info=Info(title=title, summary=summary, version=version),
        servers=[Server(url=url)],
        paths=paths,
        security=[{"token": []}],
    )
    whole = construct_open_api_with_schema_class(document)
    assert whole.components is not None  # noqa: S101 - there are models
    whole.components.securitySchemes = {
        "token": SecurityScheme(
            type="apiKey",
            name="Authorization",
            security_scheme_in="header",
            description="`token` and a token of the hub: `Authorization: token 0123…`.",
        )
    }
    return whole


def _described(operation: Operation) -> OpenApiOperation:
    by_status: dict[int, list[DoorReason | Reason]] = {}
    for reason in operation.reasons:
        by_status.setdefault(rule_of(reason)[0], []).append(reason)
    answers: dict[str, Response | Reference] = {
        "200": Response(
            description="Done.",
            content={
                "application/json": MediaType(
                    media_type_schema=PydanticSchema(schema_class=operation.answer)
                )
            },
        )
    }
    for status, reasons in sorted(by_status.items()):
        answers[str(status)] = Response(
            description=" ".join(f"`{each}`: {rule_of(each)[1]}" for each in reasons)
            or HTTPStatus(status).phrase,
            content={
                CONTENT_TYPE: MediaType(media_type_schema=PydanticSchema(schema_class=Problem))
            },
        )
    return OpenApiOperation(
        operationId=operation.name,
        summary=operation.summary,
        parameters=list(_described_parameters(operation)) or None,
        requestBody=_described_body(operation),
        responses=answers,
    )


def _described_body(operation: Operation) -> RequestBody | None:
    if operation.streams:
        # OpenAPI 3.1, 4.8.14.2: a body of bytes needs no schema.
        return RequestBody(required=True, content={operation.streams: MediaType()})
    if operation.body is None:
        return None
    return RequestBody(
        required=True,
        content={
            "application/json": MediaType(
                media_type_schema=PydanticSchema(schema_class=operation.body)
            )
        },
    )


def _described_parameters(operation: Operation) -> Iterator[Parameter | Reference]:
    if operation.takes is None:
        return
    properties: Mapping[str, Any] = operation.takes.model_json_schema()["properties"]
    for name, field in operation.takes.model_fields.items():
        in_path = name in operation.in_path
        yield Parameter.model_validate(
            {
                "name": name,
                "in": ParameterLocation.PATH if in_path else ParameterLocation.QUERY,
                "required": in_path or field.is_required(),
                "description": field.description,
                "schema": Schema.model_validate(_without_null(properties[name])),
            }
        )


def _without_null(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a parameter: one that is absent is not there, and never null."""
    kept = {name: value for name, value in schema.items() if name not in {"title", "default"}}
    choices = [each for each in kept.get("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        kept |= choices[0]
    return kept
