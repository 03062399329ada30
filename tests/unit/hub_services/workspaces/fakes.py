"""A cluster with Pods and volumes in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from eugospawner.policy.errors import ClusterError


@dataclass
class FakeCluster:
    """What is there; what is deleted goes at the look after the next, as volumes do."""

    pods: set[str] = field(default_factory=set)
    volumes: set[tuple[str, str]] = field(default_factory=set)
    homes: set[str] = field(default_factory=set)
    #: What Kubernetes refuses to delete: keys of volumes, "home".
    refuses: set[str] = field(default_factory=set)
    deleted: list[str] = field(default_factory=list)
    #: Whose volumes are read for an export: they do not go meanwhile.
    read: set[str] = field(default_factory=set)

    async def end_exporters(self, owner: str) -> None:
        self.read.discard(owner)

    async def has_pod(self, session: str) -> bool:
        return session in self.pods

    async def destroy_volume(self, owner: str, key: str) -> bool:
        return self._destroy(self.volumes, (owner, key), key)

    async def destroy_homes(self, owner: str) -> bool:
        return self._destroy(self.homes, owner, "home")

    def _destroy(self, there: set, what: object, name: str) -> bool:
        if name in self.refuses:
            message = f"Could not delete the volume {name}: no"
            raise ClusterError(message, status=403)
        if what not in there:
            return True
        if self.read & {what if isinstance(what, str) else what[0]}:
            return False
        there.discard(what)
        self.deleted.append(name)
        return False
