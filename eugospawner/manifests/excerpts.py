"""
Excerpts: what is kept of the cluster's objects, which is what somebody reads.

A hub holds a copy of every workspace's Pod, claim and events for as long as they live, and most
of such an object is nobody's question here: who changed which field, environment, mounts, probes,
times. Ten thousand Pods as they come are 700 MiB of objects, their excerpts some 40 (benchmark
B9). A shape names what is kept, like with like: what is absent stays absent, and null stays null.
Who comes to read more adds it to the shape; `tests/unit/eugospawner/manifests/test_excerpts.py`
holds the readers of today. Excerpts share equal parts, so they are read and never changed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A Kubernetes object as JSON gives it.
Json = Any
#: What is kept of an object: the fields named, and of each all (`None`) or what its own shape
#: names; of a list, that of every entry. `TEXTS` stands for a mapping of texts that recur.
Shape: TypeAlias = "Mapping[str, Shape | str | None]"

TEXTS: Final = "texts"
#: Parts are remembered to be shared; when there are more of them, the memory starts anew. Parts
#: recur by profile, image and state, which are some dozens each; the rest is passing states.
_MOST_PARTS: Final = 4096


class Recurring(dict[str, "Shape | str | None"]):
    """The shape of a part that is equal in many objects, and held once for all of them."""


_ENDED: Final = {"exitCode": None, "reason": None, "message": None}
_CONTAINER_STATUS: Final = Recurring(
    name=None,
    ready=None,
    image=None,
    imageID=None,
    restartCount=None,
    state={"waiting": {"reason": None, "message": None}, "running": {}, "terminated": _ENDED},
    lastState={"terminated": _ENDED},
)

#: For diagnosis (phase, conditions, containers), for allocation (labels, claims), for where volumes
#: are attached (Node, volumes, whose it is), and for
#: KubeSpawner: `poll` and the address of a workspace, which a deployment may make itself
#: (`get_pod_url`). That hook sees this much, too.
POD: Final[Shape] = {
    "metadata": {
        "name": None,
        "namespace": None,
        "uid": None,
        "resourceVersion": None,
        "deletionTimestamp": None,
        "labels": TEXTS,
        "annotations": {"hub.jupyter.org/username": None, "hub.jupyter.org/servername": None},
    },
    "spec": {
        "restartPolicy": None,
        "nodeName": None,
        "containers": Recurring(name=None, ports={"name": None, "containerPort": None}),
        "resourceClaims": Recurring(name=None),
        "schedulingGates": Recurring(name=None),
        "volumes": {"name": None, "persistentVolumeClaim": {"claimName": None}},
    },
    "status": {
        "phase": None,
        "reason": None,
        "message": None,
        "podIP": None,
        "conditions": Recurring(type=None, status=None, reason=None, message=None),
        "initContainerStatuses": _CONTAINER_STATUS,
        "containerStatuses": _CONTAINER_STATUS,
        "resourceClaimStatuses": {"name": None, "resourceClaimName": None},
    },
}

#: For diagnosis, and for KubeSpawner's view of a Pod's events.
EVENT: Final[Shape] = {
    "metadata": {
        "name": None,
        "namespace": None,
        "uid": None,
        "resourceVersion": None,
        "creationTimestamp": None,
    },
    "involvedObject": {"namespace": None, "name": None},
    "type": None,
    "reason": None,
    "message": None,
    "lastTimestamp": None,
    "eventTime": None,
}

#: For allocation and for the view of what is free.
CLAIM: Final[Shape] = {
    "metadata": {
        "name": None,
        "namespace": None,
        "resourceVersion": None,
        "ownerReferences": {"kind": None, "name": None},
    },
    "status": {
        "allocation": {
            "devices": {
                "results": {
                    "driver": None,
                    "pool": None,
                    "device": None,
                    "adminAccess": None,
                    "consumedCapacity": TEXTS,
                }
            }
        }
    },
}

#: For what a Pod that Kueue holds back waits for.
WORKLOAD: Final[Shape] = {
    "metadata": {
        "name": None,
        "namespace": None,
        "resourceVersion": None,
        "ownerReferences": {"kind": None, "name": None, "uid": None},
    },
    "status": {"conditions": Recurring(type=None, status=None, message=None)},
}

#: For the view of what is free; which attributes of a device are asked for is the catalog's to say.
SLICE: Final[Shape] = {"metadata": {"name": None, "resourceVersion": None}, "spec": None}

#: For placement. A Node's status is long and changes with every heartbeat.
NODE: Final[Shape] = {
    "metadata": {"name": None, "resourceVersion": None, "labels": TEXTS},
    "spec": {"unschedulable": None, "taints": None},
}


class Excerpts:
    """Makes the excerpts of objects of one kind, by its *shape*."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._parts: dict[str, Json] = {}

    def of(self, resource: Json) -> Json:
        """Return the excerpt of *resource*, which stays as it is."""
        return self._cut(resource, self._shape)

    def _cut(self, value: Json, shape: Shape | str) -> Json:
        if isinstance(value, list):
            return [self._cut(each, shape) for each in value]
        if not isinstance(value, dict):
            return value  # null
        if isinstance(shape, str):
            return {sys.intern(name): sys.intern(text) for name, text in value.items()}
        return {
            # Most fields are kept whole; a call for each of them would take half the time again.
            name: value[name] if inner is None else self._part(value[name], inner)
            for name, inner in shape.items()
            if name in value
        }

    def _part(self, value: Json, shape: Shape | str) -> Json:
        part = self._cut(value, shape)
        if not isinstance(shape, Recurring):
            return part
        if len(self._parts) >= _MOST_PARTS:
            self._parts.clear()
        return self._parts.setdefault(repr(part), part)
