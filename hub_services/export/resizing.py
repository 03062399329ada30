"""
Resizing: tells Kubernetes which volumes are to be larger.

The wish stands in the store before anybody is told, and goes from there when Kubernetes knows, or has refused: then the
volume has its former size again. Telling twice does no harm. Source: F83.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from eugospawner.policy.errors import ClusterError
from hub_services.common.problems import DoorReason, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from eugospawner.store import Store
    from eugospawner.store.resizes import Resize
    from hub_services.common.clock import Clock
    from hub_services.export.cluster import Claim

_log: Final = logging.getLogger(__name__)

#: What Kubernetes answers if the StorageClass, a quota or a rule of the API server forbids it.
_REFUSALS: Final = frozenset({403, 422})
_GONE: Final = 404
_NO_CLAIM: Final = "it has no claim any more"


class Cluster(Protocol):
    """What is asked of Kubernetes; all raise `ClusterError`."""

    async def claims_of(self, owner: str, keys: Iterable[str]) -> tuple[Claim, ...]: ...  # noqa: D102

    async def enlarge(self, claim: Claim, size_bytes: int) -> None: ...  # noqa: D102


class Resizer:
    """Tells Kubernetes."""

    def __init__(
        self,
        *,
        open_store: Callable[[], Awaitable[Store]],
        cluster: Cluster,
        clock: Clock,
    ) -> None:
        self._open_store = open_store
        self._cluster = cluster
        self._clock = clock

    async def sweep_once(self) -> int:
        """
        Tell what was wished and not told; return how many were.

        Raises:
            StoreError: The store could not be asked.
            ClusterError: Kubernetes could not be asked; the rest is told the next time.
        """
        store, done = await self._open_store(), 0
        for each in await store.resizes.wished():
            try:
                await self.tell(each)
            except Fault as error:
                _log.info("The volume %r of %s: %s", each.volume, each.owner, error)
            except ClusterError as error:
                if not error.status:
                    raise  # nobody answers: the others would fare no better
                _log.warning("%s; the next sweep tells %s again", error, each.owner)
                continue
            done += 1
        return done

    async def tell(self, resize: Resize) -> None:
        """
        Tell Kubernetes of one, and have the store know what it said.

        Raises:
            Fault: Kubernetes refuses.
            ClusterError: It could not be asked; the next sweep tells it.
        """
        store = await self._open_store()
        try:
            claims = await self._cluster.claims_of(resize.owner, (resize.volume,))
            found = [each for each in claims if each.key == resize.volume and not each.is_going]
            if not found:
                raise ClusterError(_NO_CLAIM, status=_GONE)  # noqa: TRY301 - answered as Kubernetes' own
            for claim in found:
                if claim.size_bytes < resize.size_bytes:
                    await self._cluster.enlarge(claim, resize.size_bytes)
        except ClusterError as error:
            if error.is_passing or error.status not in {*_REFUSALS, _GONE}:
                raise
            await store.resizes.refused(resize, str(DoorReason.VOLUME_FIXED), at=self._clock.now())
            message = (
                f"The volume keeps its size. Kubernetes says: {error}. Move its files to a larger volume, or ask "
                "whoever runs the cluster for a StorageClass that allows expansion."
            )
            raise Fault(DoorReason.VOLUME_FIXED, message) from error
        await store.resizes.told(resize)
