"""
A request for a workspace: the same words at every door.

Form fields, query string, REST `user_options`, saved options and audit speak these words
(design §5). `None` says that the word was absent, and `admission` fills in what absence means.
Types are checked where the text is parsed (`options.py`); bounds are the rules' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eugospawner.policy.catalog import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRequest:
    """An extra volume, by its key in our store (never a PVC's name), and where to mount it."""

    claim: str
    mount_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceRequest:
    """
    Who wants what.

    Attributes:
        owner: User whose workspace it is; the actor may be an admin who asks for them.
        workspace: Server name; empty for the default server.
        name: What people call it; absent: as it was called before, or any that is free.
        cpu_millicores: Absent: the flavor's.
        memory_bytes: Absent: the flavor's.
    """

    owner: str
    workspace: str = ""
    name: str | None = None
    project: str | None = None
    profile: str | None = None
    flavor: str | None = None
    kind: Kind | None = None
    image: str | None = None
    queue: str | None = None
    gpu_count: int | None = None
    gpu_model: str | None = None
    sm_percent: int | None = None
    cpu_millicores: int | None = None
    memory_bytes: int | None = None
    volumes: tuple[VolumeRequest, ...] = ()
    root_shell: bool = False
