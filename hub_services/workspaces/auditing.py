"""
Auditing: who did what, for whoever may read it; and whether the record of it is whole.

Reading is on record, too. Source: F115, F116; L12; promise 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eugospawner.policy.permissions import Platform, may, who_may
from eugospawner.policy.roles import Action
from hub_services.common.auditing import read
from hub_services.common.problems import permit
from hub_services.workspaces import models

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eugospawner.store import Store
    from hub_services.common.auditing import AuditLines, AuditQuery
    from hub_services.common.clock import Clock
    from hub_services.common.newest import Newest
    from hub_services.common.web import Caller
    from hub_services.workspaces.anchors import AnchorFile


class Auditing:
    """
    The audit, for whoever may read it.

    Args:
        anchors: `None`: none are kept.
    """

    def __init__(
        self,
        *,
        newest: Newest,
        open_store: Callable[[], Awaitable[Store]],
        clock: Clock,
        anchors: AnchorFile | None,
    ) -> None:
        self._newest = newest
        self._open_store = open_store
        self._clock = clock
        self._anchors = anchors

    async def lines(self, actor: Caller, query: AuditQuery) -> AuditLines:
        """Return lines of the audit, newest first; the first page of a reading is on record."""
        await self._permit(actor)
        store = await self._open_store()
        return await read(store, query, actor=actor.name, at=self._clock.now())

    async def verify(self, actor: Caller) -> models.AuditVerdict:
        """Look at every seal, and at the anchors that are kept outside."""
        await self._permit(actor)
        store = await self._open_store()
        anchors = () if self._anchors is None else await self._anchors.all()
        found = await store.audit.verify(anchors)
        problems = list(found.problems)
        if self._anchors is None:
            problems.append(
                "No anchor is kept outside, so nobody could tell if the end was cut off: set "
                "EUGO_AUDIT_ANCHOR"
            )
        await store.audit.record(
            "verify-audit", "audit", actor=actor.name, at=self._clock.now(),
            detail={"lines": found.lines, "problems": len(found.problems)},
        )  # fmt: skip
        return models.AuditVerdict(
            is_whole=not found.problems,
            lines=found.lines,
            last=None if found.last is None else found.last.id,
            seal=None if found.last is None else found.last.seal,
            anchors=len(anchors),
            problems=problems,
        )

    async def anchor(self) -> bool:
        """Keep the end of the audit outside, if it is another than before; return whether it was."""
        if self._anchors is None:
            return False
        head = await (await self._open_store()).audit.head()
        return head is not None and await self._anchors.keep(head, self._clock.now())

    async def _permit(self, actor: Caller) -> None:
        settings = await self._newest.last_good()
        permit(
            "read the audit",
            allowed=may(actor, Action.STEER, Platform(), settings.directory.people),
            ask=who_may(Action.STEER, Platform()),
        )
