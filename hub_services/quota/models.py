"""
Models: what the API takes and gives.

Words come with numbers, and they are the pages' own: whoever shows an answer need not compute. All
amounts are exact integers in a base unit, with how many of them are one of people's units.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

#: No database keeps a NUL character.
_NO_NUL: Final = r"^[^\u0000]+$"
#: As the catalog's names: what the hub calls people has 255 characters at most.
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL)]
#: A section and a key.
Object = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=_NO_NUL)]
#: Somebody's words: not blanks alone.
Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=500, pattern=r"^[^\u0000]*[^\s\u0000][^\u0000]*$"),
]
Section = Literal[
    "organizations", "groups", "projects", "people", "profiles", "plans", "queues", "quotas"
]

_GIVEN: Final = ConfigDict(frozen=True)
_TAKEN: Final = ConfigDict(frozen=True, extra="forbid")


class OverrideLine(BaseModel):
    """Another amount for a time."""

    model_config = _GIVEN

    amount: str = Field(description="In words: `200.00 GPU hours`.")
    until: datetime = Field(description="UTC; from then on the quota's own amount holds again.")
    reason: str = Field(description="Why.")


class LimitLine(BaseModel):
    """How it stands with one limit."""

    model_config = _GIVEN

    label: str = Field(description="What it is called: `This month, you (L40S)`.")
    key: str = Field(description="The quota's key, or that of the plan or queue that sets it.")
    subject: str = Field(description="Kind and key of whom it is for: `user:alice`.")
    resource: Literal["gpu", "cpu", "memory", "storage"] = Field(description="What is counted.")
    span: Literal["at-once", "day", "month"] = Field(description="Over which time.")
    gpu_model: str | None = Field(description="Of this model alone; null: of all together.")
    amount: int = Field(description="All there is, in base units.")
    settled: int = Field(description="Used for good.")
    reserved: int = Field(description="Held for sessions that are open.")
    left: int = Field(description="Never negative.")
    base_units: int = Field(description="Base units in one GPU, CPU, GiB, or hour of it.")
    percent: int = Field(description="Settled and reserved, in percent of the amount.")
    used: str = Field(description="In words: `85.00 of 100.00 GPU hours`.")
    remaining: str = Field(description="In words: `15.00 GPU hours`.")
    resets: str = Field(description="When there is more, and when it will be used up, in words.")
    standing: str = Field(description="In words: `85 % used`.")
    tone: Literal["good", "warn", "danger"] = Field(description="How bad that is.")
    resets_at: datetime | None = Field(description="UTC; null: whenever something stops.")
    warned_at: datetime | None = Field(description="UTC; 80 % at the present rate, if ever.")
    spent_at: datetime | None = Field(description="UTC; 100 % at the present rate, if ever.")
    override: OverrideLine | None = Field(description="If another amount holds for a time.")


class ConsumerLine(BaseModel):
    """What a workspace used this month."""

    model_config = _GIVEN

    owner: str = Field(description="Whose workspace.")
    workspace: str = Field(description="Its name.")
    project: str = Field(description="Key of the project that it ran in.")
    gpu_model: str = Field(description="Empty: without a GPU.")
    gpu_settled: int = Field(description="GPU-milliseconds·percent.")
    gpu_reserved: int = Field(description="GPU-milliseconds·percent.")
    gpu: str = Field(description="In words: `12.50 GPU hours`.")
    cpu: str = Field(description="In words: `40.00 CPU hours`.")
    reserved: str = Field(description="What is held until its deadline, in words.")


class DayLine(BaseModel):
    """What was used on one day."""

    model_config = _GIVEN

    day: str = Field(description="ISO day of the accounting zone.")
    gpu: int = Field(description="GPU-milliseconds·percent, settled and reserved.")
    gpu_hours: str = Field(description="In words: `3.50`.")
    total_hours: str = Field(description="Since the month began, in words.")


class UsageReport(BaseModel):
    """How it stands with somebody."""

    model_config = _GIVEN

    subject: str = Field(description="Kind and key: `user:alice`.")
    title: str = Field(description="As people call it.")
    month: str = Field(description="ISO month of the accounting zone.")
    zone: str = Field(description="IANA zone in which days and months begin.")
    at: datetime = Field(description="UTC; as of when.")
    warnings: list[str] = Field(description="What is nearly or wholly used up, in sentences.")
    limits: list[LimitLine]
    consumers: list[ConsumerLine] = Field(description="Largest first.")
    more_consumers: bool = Field(description="Whether there are more than are shown.")
    days: list[DayLine] = Field(description="From the first of the month until today.")


class UsageQuery(BaseModel):
    """Whose usage: one of these, or your own."""

    model_config = _TAKEN

    user: Name | None = None
    project: Name | None = None
    group: Name | None = None
    organization: Name | None = None


class SectionPath(BaseModel):
    """Entries of one kind."""

    model_config = _TAKEN

    section: Section = Field(description="A section of catalog.yaml that changes at run time.")


class EntryPath(SectionPath):
    """One entry."""

    key: Name = Field(description="The entry's key; a person's name.")


class Entry(BaseModel):
    """An entry of the settings."""

    model_config = _GIVEN

    section: str
    key: str
    document: JsonValue = Field(description="In the words of catalog.yaml.")
    origin: Literal["file", "changed"] = Field(
        description="Whether it is the file's, or was changed at run time."
    )


class Entries(BaseModel):
    """Entries of the settings, in the catalog's order."""

    model_config = _GIVEN

    revision: int = Field(description="Of the settings; grows with every change of any entry.")
    entries: list[Entry]


class EntryAt(BaseModel):
    """An entry, as of a revision."""

    model_config = _GIVEN

    revision: int = Field(description="Of the settings; give it back when changing the entry.")
    entry: Entry


class Change(BaseModel):
    """A change of one entry."""

    model_config = _TAKEN

    document: dict[str, JsonValue] = Field(description="The whole entry, as in catalog.yaml.")
    reason: Reason = Field(description="Why; kept in the audit.")
    revision: int | None = Field(
        default=None,
        ge=0,
        description="Of the settings it was made from: refused if there is a newer one.",
    )


class Preview(BaseModel):
    """An entry as it would be."""

    model_config = _TAKEN

    document: dict[str, JsonValue] | None = Field(description="Null: the entry is removed.")


class EntryRemoval(EntryPath):
    """An entry that goes, and why."""

    reason: Reason = Field(description="Why; kept in the audit.")
    revision: int | None = Field(default=None, ge=0, description="As of a change.")


class Changed(BaseModel):
    """What came of a change."""

    model_config = _GIVEN

    revision: int = Field(description="Of the settings, with this change.")
    before: JsonValue = Field(description="The entry before; null: there was none.")
    after: JsonValue = Field(description="The entry now; null: there is none.")
    effects: list[str] = Field(description="What it means, in sentences.")


class OverridePath(BaseModel):
    """A quota."""

    model_config = _TAKEN

    key: Name = Field(description="The quota's key.")


class OverrideRemoval(OverridePath):
    """An override that goes, and why."""

    reason: Reason = Field(description="Why; kept in the audit.")
    revision: int | None = Field(default=None, ge=0, description="As of a change.")


class NewOverride(BaseModel):
    """Another amount for a quota, for a time."""

    model_config = _TAKEN

    hours: Annotated[float, Field(ge=0, le=10_000_000, allow_inf_nan=False)] | None = Field(
        default=None, description="Of a quota of hours."
    )
    storage: Annotated[str, StringConstraints(max_length=32)] | None = Field(
        default=None, description="Of a quota of storage: `500Gi`."
    )
    until: Annotated[str, StringConstraints(max_length=64)] = Field(
        description="Date, time and zone: `2026-12-01T00:00+01:00`."
    )
    reason: Reason = Field(description="Why; people read it.")
    revision: int | None = Field(default=None, ge=0, description="As of a change.")


class InvitationQuery(BaseModel):
    """Invitations to which organization; absent: to all that you invite to."""

    model_config = _TAKEN

    organization: Name | None = None


class InvitationPath(BaseModel):
    """An invitation."""

    model_config = _TAKEN

    id: Name = Field(description="The invitation's id.")


class NewInvitation(BaseModel):
    """Whom to invite, and to what."""

    model_config = _TAKEN

    email: Annotated[str, StringConstraints(min_length=3, max_length=254, pattern=_NO_NUL)] = Field(
        description="Where the link is sent; compared to what the provider has verified."
    )
    organization: Name = Field(description="The organization's key.")
    roles: Annotated[list[Name], Field(min_length=1, max_length=20)] = Field(
        default=["member"], description="Keys of roles: `member`, or one of the organization's own."
    )
    quotas: Annotated[list[dict[str, JsonValue]], Field(max_length=20)] = Field(
        default=[],
        description="As in `quotas` of catalog.yaml, without whose: `{gpu_model: A100, gpu_hours: 8, per: day}`.",
    )
    expires_days: Annotated[int, Field(ge=1, le=90)] = Field(
        default=7, description="The link is of no use afterwards."
    )


class InvitationLine(BaseModel):
    """An invitation, as it stands."""

    model_config = _GIVEN

    id: str
    email: str
    organization: str
    roles: list[str]
    quotas: list[dict[str, JsonValue]]
    status: str = Field(description="open, redeemed, revoked or expired.")
    created_by: str
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None = Field(description="When the link was last sent; null: it was not.")
    problem: str = Field(description="Why it was not sent; or empty.")
    redeemed_by: str | None
    redeemed_at: datetime | None


class Invited(BaseModel):
    """An invitation that was made, or whose link was made anew."""

    model_config = _GIVEN

    invitation: InvitationLine
    link: str | None = Field(
        description="To be passed on, where there is no mail server; shown once. Null: it was sent."
    )


class Invitations(BaseModel):
    """Invitations, newest first."""

    model_config = _GIVEN

    invitations: list[InvitationLine]


class OpeningsQuery(BaseModel):
    """Of which plan, and how many."""

    model_config = _TAKEN

    key: Name = Field(description="The plan's key.")
    count: Annotated[int, Field(ge=1, le=100)] = 10


class OpeningLine(BaseModel):
    """When a plan's queues are open."""

    model_config = _GIVEN

    opens_at: datetime
    closes_at: datetime | None = Field(description="Null: it stays open.")
    words: str = Field(description="`Mon 2026-11-30 07:00 to 22:00 Europe/Berlin`.")


class Openings(BaseModel):
    """The next openings of a plan."""

    model_config = _GIVEN

    plan: str
    queues: list[str] = Field(description="That are open then; the default queue always is.")
    is_open: bool = Field(description="Whether they are open now; the first opening is this one.")
    windows: list[str] = Field(description="In words; empty: always open.")
    openings: list[OpeningLine]


class Question(BaseModel):
    """Would this start?"""

    model_config = _TAKEN

    user: Name | None = Field(default=None, description="For whom; absent: for yourself.")
    workspace: Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\u0000]*$")] = ""
    options: dict[str, JsonValue] = Field(
        default={}, description="The words of a request, as of a start through the hub's API."
    )


class Step(BaseModel):
    """One rule of admission, in its order."""

    model_config = _GIVEN

    rule: str = Field(description="What is asked.")
    passed: bool
    refusals: list[Refused]


class Refused(BaseModel):
    """Why not."""

    model_config = _GIVEN

    reason: str
    word: str = Field(description="The word of the request that is at fault.")
    sentence: str
    who: str = Field(description="Who can change it.")


class Explanation(BaseModel):
    """The decision, and the path to it."""

    model_config = _GIVEN

    outcome: Literal["starts", "waits", "refused"]
    sentence: str
    facts: list[Fact] = Field(description="What it would get.")
    steps: list[Step] = Field(description="Every rule, in the order in which it is asked.")
    nearest: dict[str, JsonValue] | None = Field(
        description="The nearest request that would start, if this one would not."
    )


class Fact(BaseModel):
    """A name and a value."""

    model_config = _GIVEN

    label: str
    value: str


class Trial(BaseModel):
    """Changes to be tried on what people asked for."""

    model_config = _TAKEN

    changes: Annotated[list[TrialChange], Field(min_length=1, max_length=100)]
    days: Annotated[int, Field(ge=1, le=90)] = Field(default=14, description="How far back.")


class TrialChange(BaseModel):
    """One entry as it would be."""

    model_config = _TAKEN

    section: Section
    key: Name
    document: dict[str, Any] | None = Field(description="Null: the entry is removed.")


class TrialLine(BaseModel):
    """One request that would be answered otherwise."""

    model_config = _GIVEN

    at: datetime
    owner: str
    workspace: str
    before: str = Field(description="How it was answered, in words.")
    after: str = Field(description="How it would be.")
    kind: Literal["denied", "admitted", "shorter", "longer"]


class TrialReport(BaseModel):
    """What the changes would have done."""

    model_config = _GIVEN

    sentences: list[str] = Field(description="`Would have denied 12 starts of 4 users.`")
    requests: int = Field(description="Requests that were tried.")
    skipped: int = Field(description="Requests whose words are not on record.")
    is_complete: bool = Field(description="Whether all of that time was tried, or its newest part.")
    lines: list[TrialLine] = Field(description="The list behind each number.")


class Drift(BaseModel):
    """An entry that is not as in the file."""

    model_config = _GIVEN

    section: str
    key: str
    kind: Literal["added", "changed", "removed"]
    file: JsonValue
    now: JsonValue


class Drifts(BaseModel):
    """Where the settings are not what the file says."""

    model_config = _GIVEN

    revision: int
    drifts: list[Drift]


class Catalog(BaseModel):
    """All settings as they are, in the words of catalog.yaml."""

    model_config = _GIVEN

    revision: int
    yaml: str = Field(description="Can be used as the file.")


for _model in (Step, Explanation, Trial):
    _model.model_rebuild()
