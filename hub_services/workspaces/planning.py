"""
Planning: what of a workspace is destroyed when it is terminated, in which order, and what is kept.

Pure. What another workspace of the owner mounts, too, is shared data: it is kept until the last of them is
terminated. A project's volume is nobody's workspace's: it is kept. Source: D5; F28.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eugospawner.policy.volumes import mounted_by, project_named_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eugospawner.store import Workspace

SESSION: Final = "session"
HOME: Final = "home"
SERVER: Final = "server"
_VOLUME: Final = "volume "


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What goes, in the order in which it goes, and what is kept; as people read it."""

    destroyed: tuple[str, ...]
    kept: tuple[str, ...]


def plan_of(workspace: Workspace, others: Iterable[Workspace]) -> Plan:
    """
    Return what a termination of *workspace* destroys.

    Args:
        others: All workspaces of its owner; itself among them does no harm.
    """
    rest = [each for each in others if each.server != workspace.server]
    own = mounted_by(workspace.options)
    shared = {key for each in rest for key in mounted_by(each.options)}
    shared |= {each for each in own if project_named_in(each)}
    destroyed = [SESSION, *(f"{_VOLUME}{key}" for key in own if key not in shared)]
    kept = [f"{_VOLUME}{key}" for key in own if key in shared]
    # The home is everybody's workspaces' together.
    (kept if rest else destroyed).append(HOME)
    return Plan(destroyed=(*destroyed, SERVER), kept=tuple(kept))


def volume_key(step: str) -> str | None:
    """Return the key of the volume that *step* destroys; `None`: it is another step."""
    return step.removeprefix(_VOLUME) if step.startswith(_VOLUME) else None
