"""
Judge: JSON options and circumstances in, a verdict out.

Form, REST path and spawner come here with the options as they arrived and leave with the same
verdict; `policy.admission` decides. Source: design §5, step 2; promise 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eugospawner import options
from eugospawner.policy import admission
from eugospawner.policy.catalog import DEFAULT_QUEUE
from eugospawner.policy.decisions import Denied
from eugospawner.policy.standing import standings, storage_standings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts, Actor, Project
    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.catalog import Catalog
    from eugospawner.policy.decisions import Decision
    from eugospawner.policy.quota import Usage
    from eugospawner.policy.requests import WorkspaceRequest
    from eugospawner.policy.standing import Standing, StorageStanding
    from eugospawner.policy.volumes import Volumes
    from eugospawner.store import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """
    Everything but the request: what its owner has, and what the cluster could give.

    Attributes:
        revision: Of the settings.
        workspaces: The owner's, if they were asked for.
    """

    revision: int
    catalog: Catalog
    accounts: Accounts
    usage: Usage
    volumes: Volumes
    workspaces: tuple[Workspace, ...] = ()
    cluster: ClusterView
    now: datetime

    def decide(self, request: WorkspaceRequest, actor: Actor) -> Decision:
        """Return what admission says to *request*."""
        return admission.decide(
            request,
            actor,
            self.catalog,
            self.accounts,
            self.usage,
            self.volumes,
            self.cluster,
            self.now,
        )

    def standings(self, words: Mapping[str, object]) -> tuple[Standing, ...]:
        """Return how it stands with the limits of the project and queue that *words* name."""
        queue = words.get("queue")
        known = self.catalog.queues.get(queue if isinstance(queue, str) else DEFAULT_QUEUE)
        return standings(
            self.accounts,
            self._project(words),
            known or self.catalog.queues[DEFAULT_QUEUE],
            self.catalog,
            self.usage,
            self.now,
        )

    def storage_standings(self, words: Mapping[str, object]) -> tuple[StorageStanding, ...]:
        """Return how it stands with the room for volumes in the project that *words* name."""
        return storage_standings(
            self.accounts.person.name,
            self._project(words),
            self.catalog,
            self.volumes.held,
            self.now,
        )

    def _project(self, words: Mapping[str, object]) -> Project:
        key = words.get("project")
        return self.accounts.find(key if isinstance(key, str) else None) or self.accounts.personal


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What came of JSON options.

    Attributes:
        revision: Of the settings by which it came.
        nearest: Options that would be admitted, if these were not and such options exist.
    """

    decision: Decision
    revision: int
    nearest: Mapping[str, object] | None


def judge(
    words: object, circumstances: Circumstances, *, owner: str, workspace: str, actor: Actor
) -> Verdict:
    """Return the verdict on JSON *words* under *circumstances*."""
    request, nearest = options.parse(words, owner=owner, workspace=workspace), None
    decision: Decision
    if isinstance(request, tuple):
        decision = Denied(refusals=request)
    else:
        decision = circumstances.decide(request, actor)
        if isinstance(decision, Denied):
            nearest = admission.nearest(request, lambda other: circumstances.decide(other, actor))
    return Verdict(
        decision=decision,
        revision=circumstances.revision,
        nearest=None if nearest is None else options.serialize(nearest),
    )
