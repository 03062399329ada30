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
from eugospawner.policy.standing import standings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts, Actor
    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.catalog import Catalog
    from eugospawner.policy.decisions import Decision
    from eugospawner.policy.quota import Usage
    from eugospawner.policy.requests import WorkspaceRequest
    from eugospawner.policy.standing import Standing
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
        key, queue = words.get("project"), words.get("queue")
        project = self.accounts.find(key if isinstance(key, str) else None)
        known = self.catalog.queues.get(queue if isinstance(queue, str) else DEFAULT_QUEUE)
        return standings(
            self.accounts,
            project or self.accounts.personal,
            known or self.catalog.queues[DEFAULT_QUEUE],
            self.catalog,
            self.usage,
            self.now,
        )


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
