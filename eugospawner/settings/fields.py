"""
Fields: what may stand behind the keys of `catalog.yaml`, as types that pydantic checks.

Bare YAML values are taken for what people mean by them (``cpu: 2``, ``memory: 8Gi``), nothing is
coerced beyond that. Every message says what to write instead.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from eugospawner.policy import units, volumes
from eugospawner.policy.errors import BadQuantity

if TYPE_CHECKING:
    from collections.abc import Mapping


class Strict(BaseModel):
    """A part of the file: an unknown key is a mistake, and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


#: Names that mean another zone on each machine, or count leap seconds.
_ODD_ZONES: Final = ("localtime", "posixrules", "right/", "posix/")
#: Arbitrary: more than any cluster has in a month, and far from what 64 bits hold.
_MOST: Final = 10_000_000
#: At most 9999 of a unit, some 27 years: deadlines stay within what a date can say.
_DURATION: Final = re.compile(r"([1-9][0-9]{0,3})(s|min|h|d)")
_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        message = f"{value!r} is not a duration; write for example 30min, 8h or 2d"
        raise ValueError(message)
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def text_of(value: object) -> object:
    """Take a bare number for its text, so that ``cpu: 2`` needs no quotes."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _home(path: str) -> str:
    # Against a home nobody has: only the form and the system folders matter here.
    problem = volumes.problem_of_path(path, "/nonexistent")
    if problem is not None:
        message = f"the path {path!r} {problem}"
        raise ValueError(message)
    return path


def _variable(name: str) -> str:
    if name.startswith("JUPYTERHUB_"):
        message = f"{name} is set by the hub itself"
        raise ValueError(message)
    return name


def _web_command(command: list[str]) -> list[str]:
    for word in command:
        try:
            word.format(port=1, unix_socket="", base_url="")
        except (LookupError, ValueError, AttributeError) as error:
            message = (
                f"{word!r} has braces that are none of {{port}}, {{unix_socket}} and {{base_url}}; "
                "write others twice: {{ and }}"
            )
            raise ValueError(message) from error
    if not any("{port}" in word or "{unix_socket}" in word for word in command):
        message = "says nowhere {port} or {unix_socket}, where the program has to listen"
        raise ValueError(message)
    return command


def _zone(name: str) -> str:
    try:
        known = ZoneInfo(name) is not None and not name.startswith(_ODD_ZONES)
    except (LookupError, OSError, ValueError):
        known = False
    if not known:
        message = f"{name!r} is no IANA time zone; write for example Europe/Berlin or UTC"
        raise ValueError(message)
    return name


def _instant(value: object) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        message = f"{value!r} is no point in time; write for example 2026-12-01T00:00+01:00"
        raise ValueError(message)
    return at.astimezone(UTC)


def _decimal(value: object) -> Decimal:
    text = text_of(value)
    try:
        number = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or number < 0 or number > _MOST:
        message = f"{value!r} is no amount; write a number such as 2 or 0.5"
        raise ValueError(message)
    return number


def _gpu_percent(value: object) -> int:
    percent = _decimal(value) * 100
    if percent != int(percent):
        message = f"{value!r} is finer than one percent of a GPU; write at most two decimals"
        raise ValueError(message)
    return int(percent)


def _all_or_some(value: object) -> object:
    """Take the word ``all`` for `None`; an empty list stays one and means none."""
    if value == "all":
        return None
    if not isinstance(value, list):
        message = f"{value!r} is no list; write a list of keys, or the word all"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports ValueError alone
    return value


def _quoted(value: object) -> object:
    # YAML has read 010 as 8 and 1.10 as 1.1 before we see it; Kubernetes asks for text, too.
    if isinstance(value, int | float):
        message = f"{value!r} is no text: write the value in quotes"
        raise ValueError(message)  # noqa: TRY004 - pydantic reports ValueError alone
    return value


Words = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]
_KEY: Final = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
_MODEL_KEY: Final = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,38}[A-Za-z0-9])?$"
_DNS_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME: Final = rf"^{_DNS_LABEL}(\.{_DNS_LABEL})*$"
_IDENTIFIER: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,31}$"
_REFERENCE: Final = r"^[a-z0-9][A-Za-z0-9._/:@-]*$"
_VARIABLE: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
_FRAMEWORK: Final = r"^[A-Za-z0-9]([A-Za-z0-9 ._+-]{0,38}[A-Za-z0-9+])?$"
#: A path below the workspace's address, with query: what a browser asks for unchanged.
_WEB_PATH: Final = r"^/([A-Za-z0-9._~-]+/?)*(\?[A-Za-z0-9._~=&/-]*)?$"
#: Compute slices, memory, and what a size has more (`+me`) or less (`-me`) than its like.
_MIG_PROFILE: Final = r"^[1-7]g\.[1-9][0-9]{0,3}gb([+-][a-z]+(\.[a-z]+)*)*$"
#: Not stripped: as keys, `alice` and `alice ` would become one, and a later one win in silence.
_NAME: Final = r"^\S(.{0,253}\S)?$"
#: What a pattern means, for whoever did not keep to it.
FORMS: Final[Mapping[str, str]] = {
    _KEY: "use up to 40 lower-case letters, digits and hyphens, with a letter or digit at both ends",
    _MODEL_KEY: "use up to 40 letters, digits and . _ -, with a letter or digit at both ends",
    _DNS_NAME: "use a DNS name such as gpu.example.com, in lower case",
    _IDENTIFIER: "use up to 32 letters, digits and underscores, not beginning with a digit",
    _REFERENCE: "use an image reference such as registry.example/team/image:tag, without blanks",
    _VARIABLE: "use letters, digits and underscores, not beginning with a digit",
    _FRAMEWORK: "use up to 40 letters, digits, blanks and . _ + -, for example PyTorch 2.5",
    _WEB_PATH: "use a path such as / or /app/, with letters, digits and . _ ~ -",
    _MIG_PROFILE: "use a profile's name such as 1g.5gb or 1g.5gb+me",
    _NAME: "use a name of up to 255 characters, without blanks at its ends",
}
Key = Annotated[str, StringConstraints(pattern=_KEY)]
ModelKey = Annotated[str, StringConstraints(pattern=_MODEL_KEY)]
DnsName = Annotated[str, StringConstraints(pattern=_DNS_NAME, max_length=253)]
Identifier = Annotated[str, StringConstraints(pattern=_IDENTIFIER)]
Reference = Annotated[str, StringConstraints(pattern=_REFERENCE, max_length=500)]
# Nothing is zero: KubeSpawner takes a limit of 0 for no limit at all.
Cpu = Annotated[int, BeforeValidator(lambda value: units.parse_cpu(_quantity(value))), Field(gt=0)]
Bytes = Annotated[
    int, BeforeValidator(lambda value: units.parse_memory(_quantity(value))), Field(gt=0)
]
#: A quota, unlike a limit of Kubernetes, may be nothing at all.
Room = Annotated[
    int, BeforeValidator(lambda value: units.parse_memory(_quantity(value))), Field(ge=0)
]
Duration = Annotated[timedelta, BeforeValidator(_duration)]
Variable = Annotated[str, StringConstraints(pattern=_VARIABLE), AfterValidator(_variable)]


def _quantity(value: object) -> str:
    text = text_of(value)
    if not isinstance(text, str):
        message = f"{value!r} is not a Kubernetes quantity; write for example 2, 500m or 8Gi"
        raise BadQuantity(message)
    return text


Home = Annotated[str, AfterValidator(_home)]
WebCommand = Annotated[list[Words], Field(min_length=1), AfterValidator(_web_command)]
WebPath = Annotated[str, StringConstraints(pattern=_WEB_PATH, max_length=200)]
Framework = Annotated[str, StringConstraints(pattern=_FRAMEWORK)]
MigProfile = Annotated[str, StringConstraints(pattern=_MIG_PROFILE, max_length=40)]
Quoted = Annotated[str, BeforeValidator(_quoted)]
Zone = Annotated[str, AfterValidator(_zone)]
#: A name as people sign in with it.
Name = Annotated[str, StringConstraints(pattern=_NAME)]
GpuPercent = Annotated[int, BeforeValidator(_gpu_percent)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Hours = Annotated[Decimal, BeforeValidator(_decimal)]
#: Keys of the catalog; `None`: all that there are.
AllOrKeys = Annotated[list[Key] | None, BeforeValidator(_all_or_some)]
#: Keys of roles; a single one need not be a list.
RoleKeys = Annotated[
    list[ModelKey],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(max_length=50),
]
AllOrModels = Annotated[list[ModelKey] | None, BeforeValidator(_all_or_some)]
