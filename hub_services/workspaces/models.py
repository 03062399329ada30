"""
Models: what the API takes and gives.

Words come with values, and they are the pages' own: whoever shows an answer need not compute. Times are UTC.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from eugospawner.policy.lifecycle import State

_GIVEN: Final = ConfigDict(frozen=True)
_TAKEN: Final = ConfigDict(frozen=True, extra="forbid")
#: No database keeps a NUL character.
_NO_NUL: Final = r"^[^\u0000]+$"
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL)]
Server = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=_NO_NUL)]
LineId = Annotated[int, Field(ge=1, le=2**63 - 1)]
Count = Annotated[int, Field(ge=1, le=500)]


class Act(BaseModel):
    """Something that can be done now, or why who asks may not."""

    model_config = _GIVEN

    key: str = Field(description="The last part of its address: `start`, `stop`, `extend`.")
    label: str = Field(description="What a button says.")
    denied: str = Field(description="Why not, with who can grant it; empty: it can be done.")


class End(BaseModel):
    """An end that is to come."""

    model_config = _GIVEN

    at: datetime = Field(description="UTC.")
    reason: str = Field(description="Machine reason: `max-session`, `plan-window`, `idle`.")
    warned_from: datetime = Field(description="UTC; from then on people are warned.")


class Notice(BaseModel):
    """An end that is near, with what can be done about it."""

    model_config = _GIVEN

    reason: str = Field(description="Machine reason.")
    title: str = Field(description="In a few words.")
    sentence: str = Field(description="What it means.")
    at: datetime = Field(description="UTC.")
    acts: list[Act]


class Gpus(BaseModel):
    """Effective GPUs of its last session."""

    model_config = _GIVEN

    model: str = Field(description="Key of the model.")
    requested: str = Field(description="Two decimals: `0.50`.")
    granted: str | None = Field(description="What the cluster really gave; null: not known yet.")


class Stored(BaseModel):
    """A volume that a workspace mounts, as it was when it was last measured."""

    model_config = _GIVEN

    volume: str = Field(description="`home`, or its key; one with the key `home` is `volume_home`.")
    title: str = Field(description="As people read it.")
    used_bytes: int
    used: str = Field(description="That of all, as people read it.")
    word: str = Field(description="How full it is, as people read it.")
    tone: str = Field(description="How its badge looks.")


class Workspace(BaseModel):
    """A workspace as who asks sees it."""

    model_config = _GIVEN

    id: str = Field(description="Random, for good.")
    owner: str
    server: str = Field(description="Its name in addresses; `_`: the default server.")
    name: str = Field(description="As people read it.")
    state: State
    word: str = Field(description="The state as people read it.")
    tone: str = Field(description="How its badge looks.")
    icon: str = Field(description="A sign that says the same without colour.")
    since: datetime | None = Field(description="UTC; when it came into the state.")
    because: str = Field(description="Machine reason of the state; may be empty.")
    why: str = Field(description="That in words; may be empty.")
    said: str = Field(description="What was reported beside; may be empty.")
    note: str = Field(description="What to know now; may be empty.")
    actor: str = Field(description="Who brought it there: a person or a service.")
    charges: str = Field(description="What is charged meanwhile.")
    project: str = Field(description="Key of its project.")
    project_name: str
    queue: str
    kind: str = Field(description="What runs in it; empty: not known before its first start.")
    profile: str
    gpus: Gpus | None
    session: str | None = Field(description="Its last session; null: it was never started.")
    url: str = Field(description="Where it is opened, below the hub's address.")
    deadline: End | None = Field(
        description="When it ends whatever happens; null: it does not run."
    )
    idle: End | None = Field(description="When it ends if nothing happens in it.")
    idle_since: datetime | None = Field(description="UTC; null: it does not run.")
    idle_is_only_listed: bool = Field(description="Whether its profile stops no idle workspace.")
    can_extend_by: str = Field(
        description="How much longer it can be made: `2 h`; empty: not at all."
    )
    notices: list[Notice]
    storage: list[Stored] = Field(
        description="Its volumes, as far as they were measured, the home first."
    )
    acts: list[Act]
    options: dict[str, Any] = Field(description="The words that it is started with.")
    created_at: datetime
    changed_at: datetime


class Workspaces(BaseModel):
    """Workspaces that who asks may see."""

    model_config = _GIVEN

    at: datetime = Field(description="UTC; as of when.")
    zone: str = Field(description="IANA zone in which sentences give times.")
    workspaces: list[Workspace]


class Former(BaseModel):
    """A workspace that is no more."""

    model_config = _GIVEN

    id: str
    owner: str
    server: str
    name: str
    project: str
    state: Literal["terminated", "deleted"] = Field(
        description="`terminated`: its data is gone, too; `deleted`: data was kept."
    )
    created_at: datetime
    gone_at: datetime
    actor: str = Field(description="Who wanted it so.")


class Formers(BaseModel):
    """Workspaces that are no more, the last that went first."""

    model_config = _GIVEN

    workspaces: list[Former]


class ListQuery(BaseModel):
    """Which workspaces; absent each: whatever it is."""

    model_config = _TAKEN

    state: Text | None = Field(
        default=None, description="A state, or what another product calls it: `deployed`, `Error`."
    )
    owner: Name | None = Field(
        default=None,
        description="Whose; `*`: everybody's that who asks may see. Absent: one's own.",
    )
    project: Name | None = Field(default=None, description="Key of a project.")
    profile: Name | None = Field(default=None, description="Key of a profile.")
    text: Text | None = Field(default=None, description="What its name, owner or server contains.")


class FormerQuery(BaseModel):
    """Whose workspaces that are no more."""

    model_config = _TAKEN

    owner: Name | None = Field(default=None, description="Absent: one's own.")


class WorkspacePath(BaseModel):
    """Which workspace."""

    model_config = _TAKEN

    owner: Name = Field(description="Whose.")
    server: Server = Field(description="Its server; `_`: the default one.")


class NewWorkspace(BaseModel):
    """A workspace to be created, in the words of the launch form; nothing is started."""

    model_config = _TAKEN

    owner: Name | None = Field(default=None, description="Absent: who asks.")
    server: Server | None = Field(
        default=None, description="Absent: one is made of the name. Small letters, digits, hyphens."
    )
    options: dict[str, JsonValue] = Field(
        default={}, description="Words of a request: name, project, profile, gpu_model, …"
    )


class NewIde(NewWorkspace):
    """A workspace to be created and started, in the words of the launch form (F130)."""


class Options(BaseModel):
    """What a workspace is started with."""

    model_config = _TAKEN

    options: dict[str, JsonValue] = Field(description="Words of a request, without the name.")


class Suspension(BaseModel):
    """Why a workspace is suspended."""

    model_config = _TAKEN

    reason: Text = Field(description="Its owner reads it.")


class Termination(BaseModel):
    """That somebody means it."""

    model_config = _TAKEN

    confirmation: str = Field(description="`DELETE`.", max_length=20)


class QueueChoice(BaseModel):
    """Where a workspace is to stand."""

    model_config = _TAKEN

    queue: Name = Field(default="default", description="Key of a queue of its project.")


class Nothing(BaseModel):
    """An object without anything in it."""

    model_config = _TAKEN


class Plan(BaseModel):
    """What a termination would destroy, and what it keeps."""

    model_config = _GIVEN

    destroyed: list[str] = Field(description="In the order in which it goes.")
    kept: list[str] = Field(description="What another workspace of the owner mounts, too.")


class Deployment(BaseModel):
    """One start of a workspace, and the session that it began."""

    model_config = _GIVEN

    session: str
    kind: Literal["deploy", "start", "retry", "update", "flavor change"]
    at: datetime = Field(description="UTC; when it was admitted.")
    status: Literal["under way", "succeeded", "failed", "cancelled"]
    problem: str = Field(description="Why it failed; empty: it did not.")
    version: str = Field(description="The image.")
    plan: str = Field(description="Key of the plan; empty: none was bound.")
    profile: str
    flavor: str
    queue: str
    gpus: Gpus | None
    actor: str = Field(description="Who started it.")
    seconds: float | None = Field(description="How long it took; null: it is not over, or failed.")
    ended_at: datetime | None
    end_reason: str = Field(description="Why the session ended; empty: it has not.")
    end_words: str = Field(description="That in words.")
    stopped_by: str = Field(description="Who stopped it; empty: nobody asked.")


class Deployments(BaseModel):
    """The starts of a workspace, the last first."""

    model_config = _GIVEN

    deployments: list[Deployment]


class DeploymentQuery(WorkspacePath):
    """Which starts."""

    limit: Count = Field(default=50, description="At most so many.")


class DeploymentPath(WorkspacePath):
    """Which start."""

    session: Name = Field(description="The session that it began.")


class LogLine(BaseModel):
    """What was seen at a moment."""

    model_config = _GIVEN

    at: str = Field(description="ISO time, UTC.")
    sentence: str


class DeploymentLog(BaseModel):
    """What was seen of one start."""

    model_config = _GIVEN

    deployment: Deployment
    lines: list[LogLine]


class ActivityQuery(WorkspacePath):
    """Which lines about a workspace."""

    limit: Count = Field(default=100, description="At most so many.")
    before: LineId | None = Field(default=None, description="Only those with a smaller id.")


class AuditVerdict(BaseModel):
    """Whether the audit is whole."""

    model_config = _GIVEN

    is_whole: bool
    lines: int
    last: int | None = Field(description="Id of the last line with a seal.")
    seal: str | None = Field(description="That seal: keep it elsewhere.")
    anchors: int = Field(description="How many anchors it was compared with.")
    problems: list[str] = Field(description="What is wrong, one sentence each.")


class Started(BaseModel):
    """A workspace that starts."""

    model_config = _GIVEN

    workspace: Workspace
    url: str = Field(description="Its address, below the hub's.")


class BulkDelete(BaseModel):
    """Workspaces to be deleted; their data stays."""

    model_config = _TAKEN

    workspaces: Annotated[list[WorkspacePath], Field(min_length=1, max_length=100)]


class BulkOutcome(BaseModel):
    """What came of one of them."""

    model_config = _GIVEN

    owner: str
    server: str
    done: bool
    reason: str = Field(description="Machine reason; empty: it was done.")
    sentence: str = Field(description="What to do; empty: it was done.")


class BulkOutcomes(BaseModel):
    """What came of each."""

    model_config = _GIVEN

    outcomes: list[BulkOutcome]
