"""
Lease: which of several processes of a service is the one that acts.

The way of Kubernetes' own controllers (client-go, `tools/leaderelection`): the holder renews an
object of the API server every few seconds, and whoever finds it unchanged for a lease's length takes
it over. Clocks of machines are not compared: a candidate counts from the moment at which *it* saw
the last change, by its own monotonic clock. The holder stops to act well before anybody may take
over, whether or not it can reach the API server to notice. A twin that acts a moment too long does
no harm, since whatever services do is idempotent; the lease saves the work of doing it twice.

Source: `coordination.k8s.io/v1`; client-go's LeaderElectionConfig (15 s, 10 s, 2 s).
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from kubernetes_asyncio.client import CoordinationV1Api

from eugospawner import cluster
from eugospawner.policy.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from kubernetes_asyncio.client import ApiClient

_log: Final = logging.getLogger(__name__)

#: Unchanged for so long, anybody may take it.
DURATION: Final = timedelta(seconds=15)
#: The holder acts no longer than this after it last renewed.
TRUSTED: Final = timedelta(seconds=10)
#: Between renewals, and between looks of who waits.
INTERVAL: Final = timedelta(seconds=3)
#: A call that takes longer could not renew in time anyway.
_CALL_SECONDS: Final = 5
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409


class Lease:
    """
    The lease *name* of a namespace, as *identity* sees it.

    Args:
        identity: Different for every process.
        now: What time it is, for people who look at the object.
        gained: Called when it became this process's, so that work begins at once.
        elapsed: Seconds of a clock that only goes forward; `None`: the running loop's.
        witness: Told the `Date` of each answer and the seconds that it took.
    """

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        name: str,
        *,
        identity: str,
        now: Callable[[], datetime],
        gained: Callable[[], None] = lambda: None,
        elapsed: Callable[[], float] | None = None,
        witness: Callable[[str | None, float], None] = lambda _date, _waited: None,
    ) -> None:
        self._api = CoordinationV1Api(client)
        self._namespace, self._name, self._identity = namespace, name, identity
        self._now, self._gained, self._witness = now, gained, witness
        self._elapsed = elapsed or asyncio.get_running_loop().time
        self._renewed_at: float | None = None
        self._looked_at = self._elapsed()
        #: What was last seen of somebody else's lease, and since when.
        self._seen: tuple[str, float] | None = None

    @property
    def is_held(self) -> bool:
        """Whether this process is the one that acts."""
        return (
            self._renewed_at is not None
            and self._elapsed() - self._renewed_at < TRUSTED.total_seconds()
        )

    @property
    def silence(self) -> timedelta:
        """How long nobody could say whose the lease is, because the API server did not."""
        return timedelta(seconds=self._elapsed() - self._looked_at)

    async def renew_once(self) -> bool:
        """
        Renew the lease, or take it if nobody holds it; return whether it is held.

        Raises:
            ClusterError: The API server does not answer, or refuses.
        """
        held_before, asked_at = self.is_held, self._elapsed()
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                taken = await self._take()
        except TimeoutError as error:
            message = f"The lease {self._name} could not be renewed within {_CALL_SECONDS} s"
            raise ClusterError(message) from error
        self._renewed_at, self._looked_at = asked_at if taken else None, asked_at
        if taken and not held_before:
            _log.info("Holding the lease %s as %s", self._name, self._identity)
            self._gained()
        elif held_before and not taken:
            _log.warning("The lease %s is somebody else's by now", self._name)
        return taken

    async def release(self) -> None:
        """Let somebody else take it at once, if it is held; nothing is raised."""
        if self._renewed_at is None:
            return
        self._renewed_at = None
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                found = await self._read()
                if found is not None and found["spec"].get("holderIdentity") == self._identity:
                    await self._replace(found, holder="")
        except (TimeoutError, ClusterError) as error:
            _log.info(
                "The lease %s ends by itself: it could not be released (%s)", self._name, error
            )

    async def _take(self) -> bool:
        found = await self._read()
        if found is None:
            return await self._create()
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in {"", self._identity} and not self._is_stale(found):
            return False
        return await self._replace(found, holder=self._identity)

    def _is_stale(self, found: Any) -> bool:
        """Whether somebody else's lease has not changed for its length, as seen from here."""
        version, at = found["metadata"]["resourceVersion"], self._elapsed()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, at)
        return at - self._seen[1] >= DURATION.total_seconds()

    async def _heard(self, method: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Return the response of the API's *method*, of which the witness has read the date."""
        asked = self._elapsed()
        response = await method(*arguments, **keywords)
        self._witness(response.headers.get("Date"), self._elapsed() - asked)
        return response

    async def _read(self) -> Any:
        try:
            return await cluster.call(
                f"read the lease {self._name}",
                self._heard,
                self._api.read_namespaced_lease,
                self._name,
                self._namespace,
            )
        except ClusterError as error:
            if error.status != _NOT_FOUND:
                raise
            return None

    async def _create(self) -> bool:
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": self._spec(self._identity, acquired=self._timestamp(), transitions=0),
        }
        return await self._won(
            cluster.call(
                f"create the lease {self._name}",
                self._heard,
                self._api.create_namespaced_lease,
                self._namespace,
                body,
            )
        )

    async def _replace(self, found: Any, *, holder: str) -> bool:
        """Write the lease as it was read, with *holder*; the API server refuses if it changed."""
        spec = found.get("spec") or {}
        mine = spec.get("holderIdentity") == holder
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": found["metadata"],
            "spec": self._spec(
                holder,
                acquired=spec.get("acquireTime") if mine else self._timestamp(),
                transitions=int(spec.get("leaseTransitions") or 0) + (0 if mine else 1),
            ),
        }
        return await self._won(
            cluster.call(
                f"renew the lease {self._name}",
                self._heard,
                self._api.replace_namespaced_lease,
                self._name,
                self._namespace,
                body,
            )
        )

    @staticmethod
    async def _won(call: Any) -> bool:
        try:
            await call
        except ClusterError as error:
            if error.status != _CONFLICT:
                raise
            return False
        return True

    def _spec(self, holder: str, *, acquired: str | None, transitions: int) -> dict[str, object]:
        return {
            "holderIdentity": holder,
            "leaseDurationSeconds": int(DURATION.total_seconds()),
            "acquireTime": acquired or self._timestamp(),
            "renewTime": self._timestamp(),
            "leaseTransitions": transitions,
        }

    def _timestamp(self) -> str:
        return self._now().isoformat(timespec="microseconds").replace("+00:00", "Z")
