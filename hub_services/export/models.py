"""
Models: what the export API takes and gives.

Words come with values, and they are the pages' own. Times are UTC, sizes bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from eugospawner.store.exports import Standing

_GIVEN: Final = ConfigDict(frozen=True)
_TAKEN: Final = ConfigDict(frozen=True, extra="forbid")
_NO_NUL: Final = r"^[^\u0000]+$"
Name = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL)]
Folder = Annotated[str, StringConstraints(max_length=1000)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class NewExport(BaseModel):
    """What is to be taken of which workspace."""

    model_config = _TAKEN

    owner: Name | None = Field(default=None, description="Whose workspace; absent: who asks.")
    server: Name = Field(default="_", description="Its server; `_`: the default one.")
    folder: Folder = Field(
        default="",
        description=(
            "A folder as the workspace sees it (`/home/user/thesis`), or from the home (`thesis`). "
            "Absent: all volumes. For a document: the notebook (`thesis/a.ipynb`)."
        ),
    )
    format: Literal["zip", "html", "pdf"] = Field(
        default="zip", description="`html` and `pdf`: one notebook as a document."
    )
    everything: bool = Field(
        default=False,
        description="All files; else notebooks alone, without hidden folders and software.",
    )


class ExportPath(BaseModel):
    """Which export."""

    model_config = _TAKEN

    id: Identifier = Field(description="As it was given.")


class Skipped(BaseModel):
    """What is left out for one reason."""

    model_config = _GIVEN

    reason: str = Field(description="Machine reason: `symbolic-link`.")
    sentence: str
    count: int
    paths: list[str] = Field(description="The first of them.")


class File(BaseModel):
    """A file of the export."""

    model_config = _GIVEN

    path: str = Field(description="In the archive.")
    bytes: int
    sha256: str | None = Field(
        description="Null: too much to be read beforehand; the archive says it."
    )


class Sent(BaseModel):
    """How far a download is."""

    model_config = _GIVEN

    files: int
    bytes: int


class Export(BaseModel):
    """An export as who took it sees it."""

    model_config = _GIVEN

    id: str
    owner: str
    server: str = Field(description="`_`: the default server.")
    workspace: str = Field(description="As people read it.")
    standing: Standing
    word: str = Field(description="That as people read it.")
    tone: str = Field(description="How its badge looks.")
    what: str = Field(description="What was chosen, as people read it.")
    format: str = Field(description="`zip`, `html` or `pdf`.")
    name: str = Field(description="Of the file that is downloaded.")
    created_at: datetime
    expires_at: datetime | None = Field(description="When its link ends; null: it has none.")
    link: str | None = Field(
        description="Where it is fetched, below the hub's address; null: nowhere."
    )
    files: int
    bytes: int = Field(description="Before packing.")
    size: str = Field(description="That as people read it.")
    counted: int | None = Field(description="Files found so far, while it is prepared.")
    skipped: list[Skipped]
    listed: list[File] = Field(description="The first files; the archive lists all.")
    problem: str = Field(description="Why it failed; empty: it did not.")
    downloads: int = Field(description="How often it was fetched to its end.")
    downloaded_at: datetime | None
    sending: Sent | None = Field(description="Null: nothing is being sent.")


class NewRestore(BaseModel):
    """Where an archive is unpacked."""

    model_config = _TAKEN

    owner: Name | None = Field(default=None, description="Whose workspace; absent: who asks.")
    server: Name = Field(default="_", description="Its server; `_`: the default one.")
    folder: Folder = Field(
        default="",
        description=(
            "A new folder as the workspace sees it (`/data/back`), or from the home (`back`). "
            "Absent: one in the home, named after the time."
        ),
    )


class LeftOut(BaseModel):
    """An entry of an archive that was not restored."""

    model_config = _GIVEN

    path: str
    reason: str = Field(description="Machine reason: `leads-outside`.")
    sentence: str


class Restored(BaseModel):
    """What was restored of an archive."""

    model_config = _GIVEN

    owner: str
    server: str = Field(description="`_`: the default server.")
    workspace: str = Field(description="As people read it.")
    folder: str = Field(description="As the workspace sees it.")
    files: int
    bytes: int
    size: str = Field(description="That as people read it.")
    left: list[LeftOut] = Field(description="The first of what was left out.")
    left_out: int = Field(description="How much was.")
    differing: list[str] = Field(
        description="Files that are not what the archive's SHA256SUMS says."
    )


class VolumesQuery(BaseModel):
    """Whose volumes."""

    model_config = _TAKEN

    owner: Name | None = Field(default=None, description="Of this person; absent: of who asks.")
    everybody: bool = Field(default=False, description="Of all whose usage who asks may see.")


class VolumePath(BaseModel):
    """Which volume."""

    model_config = _TAKEN

    owner: Name = Field(description="Whose it is; `~`: of who asks.")
    volume: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,48}(@[a-z0-9-]{1,40})?$")] = (
        Field(
            description=(
                "`home`, or its key; one with the key `home` is `volume_home`. `data@vision`: the volume "
                "`data` of the project `vision`, whosever it says before."
            )
        )
    )


class NewVolume(BaseModel):
    """A volume for a project."""

    model_config = _TAKEN

    project: Key = Field(description="The project, which belongs to a group.")
    key: Key = Field(description="What it is called there.")
    size: str = Field(
        default="",
        max_length=32,
        description="A Kubernetes quantity: `200Gi`; absent: what a person's new volume has.",
    )


class NewSize(BaseModel):
    """What a volume is to have."""

    model_config = _TAKEN

    size: Annotated[str, StringConstraints(min_length=1, max_length=32)] = Field(
        description="A Kubernetes quantity, larger than what it has: `20Gi`."
    )


class Mounted(BaseModel):
    """A workspace that mounts the volume."""

    model_config = _GIVEN

    server: str = Field(description="`_`: the default server.")
    workspace: str = Field(description="As people read it.")
    path: str = Field(description="Where it sees the volume.")
    running: bool


class FolderSize(BaseModel):
    """What something in the root of a volume takes on the disk."""

    model_config = _GIVEN

    path: str
    bytes: int
    size: str = Field(description="That as people read it.")


class Culprit(BaseModel):
    """A folder that could go."""

    model_config = _GIVEN

    path: str = Field(description="From the root of the volume.")
    bytes: int
    size: str = Field(description="That as people read it.")
    kind: str = Field(description="`cache`, `environment`, `outputs` or `bin`.")
    advice: str = Field(description="What it is, and what to do first.")


class Volume(BaseModel):
    """A home, or an extra volume."""

    model_config = _GIVEN

    owner: str = Field(description="A person; of a project's volume `project/` and its key.")
    volume: str = Field(description="As requests and commands name it: `data`, `data@vision`.")
    place: str = Field(description="In addresses, after `/volumes/`.")
    title: str = Field(description="As people read it.")
    bytes: int = Field(description="What it has.")
    size: str = Field(description="That as people read it.")
    wanted: str | None = Field(description="What it is to have; null: that, no more.")
    awaits_restart: bool = Field(
        description="Its new size is seen after the workspace was started again."
    )
    is_going: bool = Field(description="It is being destroyed.")
    storage_class: str
    modes: list[str] = Field(description="How it may be attached: `ReadWriteOnce`.")
    used_bytes: int | None = Field(description="What its files take; null: never measured.")
    used: str = Field(description="That of all, as people read it; may be empty.")
    percent: int = Field(description="That of all in percent, at most 100.")
    word: str = Field(description="That as people read it.")
    tone: str = Field(description="How its badge looks.")
    free_bytes: int | None = Field(description="What its disk had free, shared with others or not.")
    files: int
    measured_at: datetime | None
    measuring: bool = Field(description="It is being measured, or will be.")
    problem: str = Field(description="Why the last try to measure it failed; or empty.")
    mounted_by: list[Mounted]
    is_own: bool = Field(description="It is who asks', or a project's of theirs.")
    project: str | None = Field(description="Which project it belongs to; null: to a person.")
    may_resize: bool = Field(description="Who asks may give it another size.")
    folders: list[FolderSize] = Field(
        description="The largest in its root; those whose it is alone see them."
    )
    culprits: list[Culprit] = Field(description="What could go; those whose it is alone see it.")
    unreadable: int = Field(description="Folders that were not looked into.")


class Room(BaseModel):
    """How it stands with the room for extra volumes under one limit."""

    model_config = _GIVEN

    limit: str
    used: str
    share: str
    tone: str = Field(description="How its badge looks.")


class Volumes(BaseModel):
    """Volumes, the home first, and the room for more; the room is that of one person."""

    model_config = _GIVEN

    volumes: list[Volume]
    room: list[Room]


class NewShare(BaseModel):
    """Who may read the document of an export, and for how long."""

    model_config = _TAKEN

    export: Identifier = Field(description="An export of yours as HTML or PDF, which is ready.")
    people: list[Name] = Field(default=[], max_length=1000, description="User names.")
    groups: list[Name] = Field(default=[], max_length=100, description="Keys of groups of yours.")
    organization: bool = Field(default=False, description="Everybody in your organization.")
    days: int = Field(default=7, ge=1, le=90, description="How long it can be read.")


class SharePath(BaseModel):
    """Which share."""

    model_config = _TAKEN

    id: Identifier = Field(description="As it was given.")


class Share(BaseModel):
    """A document that others may read."""

    model_config = _GIVEN

    id: str
    creator: str = Field(description="Who shares it.")
    notebook: str = Field(description="What it was made of.")
    format: str = Field(description="`html` or `pdf`.")
    name: str = Field(description="Of the file.")
    audience: str = Field(
        description="Who may read it, as people read it; empty: not yours to know."
    )
    bytes: int
    created_at: datetime
    expires_at: datetime
    standing: Literal["open", "expired", "revoked"]
    word: str = Field(description="That as people read it.")
    tone: str = Field(description="How its badge looks.")
    page: str = Field(description="Where it is read, below the hub's address.")


class Shares(BaseModel):
    """What who asks shares, and what others share with them; newest first."""

    model_config = _GIVEN

    mine: list[Share]
    with_me: list[Share]


class Exports(BaseModel):
    """What who asks took, newest first."""

    model_config = _GIVEN

    exports: list[Export]
