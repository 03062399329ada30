"""
What the hub may do, and who needs it: the table that the Role and the ClusterRole are held to.

A verb that stands in the YAML but not here fails a test until somebody can say who needs it; a verb
that stands here but not there fails the hub. `docs/howto/prepare-cluster.md` prints the same table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

READ: Final = frozenset({"get", "list", "watch"})
FOLLOW: Final = frozenset({"list", "watch"})
LIST: Final = frozenset({"list"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One resource, what may be done with it, and for whom."""

    group: str
    resource: str
    verbs: frozenset[str]
    needed_for: str
    namespaced: bool = True

    def path(self, namespace: str) -> str:
        """Return the collection's URL path; for a subresource that of an object `absent`."""
        root = f"/apis/{self.group}" if self.group else "/api"
        version = "v1"
        scope = f"/namespaces/{namespace}" if self.namespaced else ""
        plural, _, subresource = self.resource.partition("/")
        tail = f"/absent/{subresource}" if subresource else ""
        return f"{root}/{version}{scope}/{plural}{tail}"


IN_THE_NAMESPACE: Final = (
    Permission(
        group="",
        resource="pods",
        verbs=READ | {"create", "patch", "delete"},
        needed_for="KubeSpawner runs one Pod per server; the queue label is patched",
    ),
    Permission(
        group="",
        resource="events",
        verbs=FOLLOW,
        needed_for="progress messages, and why a Pod waits",
    ),
    Permission(
        group="",
        resource="persistentvolumeclaims",
        verbs=LIST | {"get", "create", "patch", "delete"},
        needed_for="home and extra volumes; an admin makes them larger",
    ),
    Permission(
        group="resource.k8s.io",
        resource="resourceclaimtemplates",
        verbs=LIST | {"get", "create", "delete"},
        needed_for="one template per GPU shape, read back after creation, swept when unused",
    ),
    Permission(
        group="resource.k8s.io",
        resource="resourceclaims",
        verbs=FOLLOW,
        needed_for="what was really allocated",
    ),
    Permission(
        group="coordination.k8s.io",
        resource="leases",
        verbs=frozenset({"get", "create", "update"}),
        needed_for="which replica of a service acts",
    ),
)

OF_THE_CLUSTER: Final = tuple(
    Permission(group=group, resource=resource, verbs=verbs, needed_for=needed_for, namespaced=False)
    for group, resource, verbs, needed_for in (
        ("resource.k8s.io", "deviceclasses", LIST, "which GPU classes a claim may name"),
        ("resource.k8s.io", "resourceslices", FOLLOW, "which GPU models exist, and their shares"),
        ("", "nodes", FOLLOW, "the advisory view of capacity"),
        ("scheduling.k8s.io", "priorityclasses", LIST, "whether each queue's class exists"),
        ("storage.k8s.io", "storageclasses", LIST, "whether volumes can be made"),
    )
)

ALL: Final = IN_THE_NAMESPACE + OF_THE_CLUSTER
