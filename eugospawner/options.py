"""
User options: from what came through a door to a request, strictly.

REST bodies and saved options are JSON of any kind; form fields are lists of text. Both end in
the same `WorkspaceRequest` or in refusals that name the word at fault. Strict means: an unknown
word is refused, ``true`` is no number, a number is finite and whole, text has a length. Nothing
is looked up here, so the answer does not depend on who asks (design §5, the table of words).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from eugospawner.policy import units
from eugospawner.policy.catalog import Kind
from eugospawner.policy.decisions import Refusal
from eugospawner.policy.errors import BadQuantity
from eugospawner.policy.reasons import Reason
from eugospawner.policy.requests import VolumeRequest, WorkspaceRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails

#: Longer than any key, path or reference; cuts what gets into logs and answers.
_LONGEST: Final = 500
#: No count of anything is larger; keeps hostile integers short.
_LARGEST: Final = 1_000_000
_MOST_VOLUMES: Final = 64
#: Nobody reads more; keeps the answer to a hostile request short.
_MOST_REFUSALS: Final = 20
#: What pydantic says in Python's words, in the words of whoever wrote the request.
_PLAIN: Final[Mapping[str, str]] = {
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "invalid_key": "words are text",
    "model_type": "expected an object with words and values",
    "string_too_short": "is empty; leave the word out for its default",
    "string_type": "write text",
    "string_unicode": "holds characters that are no text",
    "tuple_type": "expected a list",
}


def _cpu(value: object) -> int:
    return units.parse_cpu(_quantity(value))


def _memory(value: object) -> int:
    return units.parse_memory(_quantity(value))


def _quantity(value: object) -> str:
    # An integer that long is refused before it is shown; Python would refuse to write it.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63:
        return str(value)
    if isinstance(value, str):
        return value
    message = "write a Kubernetes quantity such as 500m, 2 or 8Gi"
    raise BadQuantity(message)


_Text = Annotated[str, StringConstraints(min_length=1, max_length=_LONGEST)]
_Count = Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Volume(_Strict):
    claim: _Text
    mount_path: _Text


class _Options(_Strict):
    name: _Text | None = None
    project: _Text | None = None
    profile: _Text | None = None
    flavor: _Text | None = None
    kind: Annotated[Kind, Field(strict=False)] | None = None
    image: _Text | None = None
    queue: _Text | None = None
    gpu_count: _Count | None = None
    gpu_model: _Text | None = None
    sm_percent: _Count | None = None
    cpu: Annotated[int, BeforeValidator(_cpu)] | None = None
    memory: Annotated[int, BeforeValidator(_memory)] | None = None
    volumes: Annotated[tuple[_Volume, ...], Field(strict=False, max_length=_MOST_VOLUMES)] = ()
    root_shell: bool = False


#: The words of a request, in the order of pages and documentation.
WORDS: Final[tuple[str, ...]] = tuple(_Options.model_fields)


def parse(options: object, *, owner: str, workspace: str) -> WorkspaceRequest | tuple[Refusal, ...]:
    """
    Return the request that JSON *options* stand for, or every refusal.

    Args:
        options: What came in; an empty mapping or `None` asks for the defaults.
        owner: User whose workspace it is.
        workspace: Server name; empty for the default server.
    """
    if options is not None and not isinstance(options, dict):
        return (_refusal((), _PLAIN["model_type"]),)
    try:
        parsed = _Options.model_validate(options or {})
    except ValidationError as error:
        return tuple(_refusals(error))
    return WorkspaceRequest(
        owner=owner,
        workspace=workspace,
        name=parsed.name,
        project=parsed.project,
        profile=parsed.profile,
        flavor=parsed.flavor,
        kind=parsed.kind,
        image=parsed.image,
        queue=parsed.queue,
        gpu_count=parsed.gpu_count,
        gpu_model=parsed.gpu_model,
        sm_percent=parsed.sm_percent,
        cpu_millicores=parsed.cpu,
        memory_bytes=parsed.memory,
        volumes=tuple(
            VolumeRequest(claim=each.claim, mount_path=each.mount_path) for each in parsed.volumes
        ),
        root_shell=parsed.root_shell,
    )


def serialize(request: WorkspaceRequest) -> dict[str, object]:
    """Return *request* as the JSON words it came in, absent words left out; `parse` reads it."""
    words: dict[str, object] = {
        "name": request.name,
        "project": request.project,
        "profile": request.profile,
        "flavor": request.flavor,
        "kind": request.kind and str(request.kind),
        "image": request.image,
        "queue": request.queue,
        "gpu_count": request.gpu_count,
        "gpu_model": request.gpu_model,
        "sm_percent": request.sm_percent,
        "cpu": _or_none(request.cpu_millicores, units.format_cpu),
        "memory": _or_none(request.memory_bytes, units.format_memory),
        "volumes": [
            {"claim": volume.claim, "mount_path": volume.mount_path} for volume in request.volumes
        ]
        or None,
        "root_shell": request.root_shell or None,
    }
    return {word: value for word, value in words.items() if value is not None}


def from_form(fields: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """
    Return the JSON options that HTML form *fields* stand for.

    An empty field is an absent word. Whole numbers become integers; whatever else stands in a
    number's field is left as text, for `parse` to refuse beside that field. Volumes come as
    `volume_claim` and `volume_path`, pair by pair.
    """
    options: dict[str, object] = {}
    for word in WORDS:
        text = next((value.strip() for value in fields.get(word, ()) if value.strip()), "")
        if not text or word == "volumes":
            continue
        if word in {"gpu_count", "sm_percent"}:
            options[word] = _whole(text)
        elif word == "root_shell":
            options[word] = {"on": True, "true": True, "false": False}.get(text, text)
        else:
            options[word] = text
    volumes = list(_volumes(fields))
    if volumes:
        options["volumes"] = volumes
    return options


def _volumes(fields: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    claims, paths = fields.get("volume_claim", ()), fields.get("volume_path", ())
    for index in range(max(len(claims), len(paths))):
        claim = claims[index].strip() if index < len(claims) else ""
        path = paths[index].strip() if index < len(paths) else ""
        if claim or path:
            yield {"claim": claim, "mount_path": path}


def _whole(text: str) -> object:
    digits = text.removeprefix("-")
    # isascii: int() also takes digits of other scripts, which no door should.
    return int(text) if digits.isdigit() and text.isascii() and len(digits) < 10 else text  # noqa: PLR2004


def _or_none(value: int | None, shown: Any) -> str | None:
    return None if value is None else str(shown(value))


def _refusals(error: ValidationError) -> Iterator[Refusal]:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    for each in problems[:_MOST_REFUSALS]:
        location = tuple(str(part) for part in each["loc"])
        if each["type"] == "extra_forbidden":
            word = ".".join(location)[:_LONGEST]
            yield Refusal(
                reason=Reason.UNKNOWN_OPTION,
                word="options",
                sentence=f"There is no option {word!r}. The options are: {', '.join(WORDS)}.",
            )
        else:
            yield _refusal(location, _problem(each))


def _problem(error: ErrorDetails) -> str:
    return _PLAIN.get(error["type"], error["msg"].removeprefix("Value error, "))


def _refusal(location: tuple[str, ...], problem: str) -> Refusal:
    # A key that is no text has no place in the request that could be named.
    known = bool(location) and location[0] in WORDS
    where = ".".join(location)[:_LONGEST] if known else "options"
    return Refusal(
        reason=Reason.MALFORMED,
        word=location[0] if known else "options",
        sentence=f"{where}: {problem[:1].lower()}{problem[1:]}.",
    )
