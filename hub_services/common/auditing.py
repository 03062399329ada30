"""
Auditing: lines of the audit as the services' APIs take and give them, read through one function.

Reading is on record, too, whichever door it comes through; who may read is the door's to ask before.
Source: F115; L12; promise 8.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from hub_services.common.problems import DoorReason, Fault

if TYPE_CHECKING:
    from eugospawner.store import Store
    from eugospawner.store.audit import Audit

#: No database keeps a NUL character.
_NO_NUL: Final = r"^[^\u0000]+$"
_Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL)]
_Object = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=_NO_NUL)]
#: The audit has what was read under this action.
READ: Final = "read-audit"
MOST: Final = 500
#: What people look for most; there are more.
ACTIONS: Final = (
    "start", "refuse", "stop", "ask-to-stop", "would-stop", "open", "create", "edit", "keep",
    "extend", "switch-queue", "suspend", "resume", "delete", "terminated", "change", "remove",
    "sign-in", "sign-out", "invite", READ,
)  # fmt: skip


class AuditQuery(BaseModel):
    """Which lines of the audit; absent each: whatever it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actor: _Name | None = Field(default=None, description="Who did it.")
    action: _Name | None = Field(default=None, description="What: `start`, `stop`, `change`.")
    about: _Object | None = Field(
        default=None, description="To what: `workspace.alice/thesis`, `plans.research`."
    )
    since: datetime | None = Field(default=None, description="From this moment on; with a zone.")
    until: datetime | None = Field(default=None, description="Before this moment; with a zone.")
    before: Annotated[int, Field(ge=1, le=2**53)] | None = Field(
        default=None, description="Only those with a smaller id: the next page."
    )
    limit: Annotated[int, Field(ge=1, le=MOST)] = Field(default=100, description="At most so many.")


class AuditLine(BaseModel):
    """Who did what, when and why: a line of the store, field by field."""

    model_config = ConfigDict(frozen=True, from_attributes=True)

    id: int
    at: datetime
    actor: str
    action: str
    object: str
    reason: str
    detail: JsonValue


class AuditLines(BaseModel):
    """Lines of the audit, newest first."""

    model_config = ConfigDict(frozen=True)

    lines: list[AuditLine]


def line_of(line: Audit) -> AuditLine:
    """Return *line* as the APIs give it."""
    return AuditLine.model_validate(line)


async def read(store: Store, query: AuditQuery, *, actor: str, at: datetime) -> AuditLines:
    """
    Return lines, newest first, for *actor*; the first page of a reading is put on record.

    Raises:
        Fault: A time has no zone.
        StoreError: The store does not answer.
    """
    for name in ("since", "until"):
        moment: datetime | None = getattr(query, name)
        if moment is not None and moment.utcoffset() is None:
            message = f"query.{name}: has no zone; write for example 2026-11-27T08:00:00Z"
            raise Fault(DoorReason.MALFORMED, message)
    found = await store.audit.lines(
        about=query.about, actor=query.actor, action=query.action, since=query.since,
        until=query.until, before=query.before, limit=query.limit,
    )  # fmt: skip
    if query.before is None:
        told = query.model_dump(exclude_none=True, exclude={"limit"}, mode="json")
        await store.audit.record(READ, "audit", actor=actor, at=at, detail=told)
    return AuditLines(lines=[line_of(each) for each in found])
