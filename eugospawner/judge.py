"""
Judge: JSON options and circumstances in, a verdict out.

Form, REST path and spawner come here with the options as they arrived and leave with the same
verdict; `policy.admission` decides. Source: design §5, step 2; promise 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eugospawner import options
from eugospawner.policy import admission, quota

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts, Actor
    from eugospawner.policy.admission import Decision
    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.catalog import Catalog
    from eugospawner.policy.requests import WorkspaceRequest
    from eugospawner.policy.volumes import Volumes


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Everything but the request: what its owner has, and what the cluster could give."""

    catalog: Catalog
    accounts: Accounts
    volumes: Volumes
    cluster: ClusterView
    now: datetime

    def decide(self, request: WorkspaceRequest, actor: Actor) -> Decision:
        """Return what admission says to *request*."""
        return admission.decide(
            request,
            actor,
            self.catalog,
            self.accounts,
            quota.NOTHING_USED,
            self.volumes,
            self.cluster,
            self.now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    What came of JSON options.

    Attributes:
        nearest: Options that would be admitted, if these were not and such options exist.
    """

    decision: Decision
    nearest: Mapping[str, object] | None


def judge(
    words: object, circumstances: Circumstances, *, owner: str, workspace: str, actor: Actor
) -> Verdict:
    """Return the verdict on JSON *words* under *circumstances*."""
    request = options.parse(words, owner=owner, workspace=workspace)
    if isinstance(request, tuple):
        return Verdict(decision=admission.Denied(refusals=request), nearest=None)
    decision = circumstances.decide(request, actor)
    if not isinstance(decision, admission.Denied):
        return Verdict(decision=decision, nearest=None)
    nearest = admission.nearest(request, lambda other: circumstances.decide(other, actor))
    return Verdict(
        decision=decision, nearest=None if nearest is None else options.serialize(nearest)
    )
