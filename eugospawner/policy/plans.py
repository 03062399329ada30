"""
Plans: what a project is entitled to.

A project without a plan has what the catalog's `defaults` say, so `admission` always judges by a
`Plan`. Everything is an allowlist: what a plan does not name is refused (promise 7). Its windows
hold for its own queues; the default queue is always open (F59). Source: design §§3 and 4; F60,
F65, F98.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eugospawner.policy.catalog import DEFAULT_QUEUE

if TYPE_CHECKING:
    from eugospawner.policy.catalog import AtOnce
    from eugospawner.policy.windows import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Entitlements of a project.

    Attributes:
        key: Empty: what a project without a plan has.
        profiles: Keys of the profiles that may be used; so are *gpu_models* and *images* keys.
        queues: Keys of the queues bound to it, beside the default queue.
        windows: When its queues are open; none: always.
        at_once: Of all workspaces of the project together.
        person_at_once: Of all workspaces of one person, whichever projects they are in.
        volumes_bytes: Size of all extra volumes of one owner together; `None`: no limit.
    """

    key: str
    display_name: str
    profiles: frozenset[str]
    gpu_models: frozenset[str]
    images: frozenset[str]
    queues: tuple[str, ...]
    windows: tuple[Window, ...]
    at_once: AtOnce
    person_at_once: AtOnce
    volumes_bytes: int | None

    def offers_queue(self, key: str) -> bool:
        """Whether a workspace of the project may stand in the queue *key*."""
        return key == DEFAULT_QUEUE or key in self.queues

    def binds(self, queue: str) -> bool:
        """Whether the windows of this plan hold for the queue *queue*."""
        return queue != DEFAULT_QUEUE and queue in self.queues
