"""
Reflectors: local copies of cluster objects that say when they change.

KubeSpawner's reflector is asked again and again whether a Pod is ready, lists everything anew
every 10 to 30 seconds, and gives up for good after half a minute of errors (its PR #938). Ours
follows the watch from where it left off, lists only when the server says that place is gone,
never gives up, and rings a `Bell` for the Pod that a change is about. So a start ends when the
Pod becomes ready, not when somebody happens to look (benchmark B2). Of each object an excerpt is
kept, that is what somebody reads (`manifests.excerpts`, benchmark B9).

The classes keep KubeSpawner's interface (`pods`, `events`, `stop`), since
the rest of KubeSpawner works on them.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson
from kubernetes_asyncio.client import ApiException
from kubespawner.reflector import ResourceReflector
from traitlets import Instance

from eugospawner.manifests import allocation, attachments, excerpts, kueue
from eugospawner.manifests.excerpts import Excerpts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

#: A Kubernetes object as JSON gives it.
Json = Any
_Answer = TypeVar("_Answer")

#: The server ends a watch after this long and we go on from where it ended.
_WATCH_SECONDS: Final = 300
#: Bookmarks come about once a minute; thrice that in silence means the connection is dead.
_SILENCE_SECONDS: Final = 180
_CONNECT_SECONDS: Final = 10
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 30.0
_GONE: Final = 410
#: Of one answer to a list, as Kubernetes' own clients have it: ten thousand Pods are 120 MB, and
#: the hub would stand still for a second while they are parsed.
_PAGE_SIZE: Final = 500


class Bell:
    """Wakes whoever waits for news about a topic; one for all reflectors of a process."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def ring(self, topic: str) -> None:
        """Wake everybody who waits for *topic*."""
        for future in self._waiting.pop(topic, ()):
            if not future.done():
                future.set_result(None)

    async def wait(self, topic: str) -> None:
        """Return at the next `ring` of *topic*."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[topic].add(future)
        try:
            await future
        finally:
            waiting = self._waiting.get(topic)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[topic]

    async def until(self, topic: str, answer: Callable[[], _Answer | None]) -> _Answer:
        """Return what *answer* says, asking now and after each `ring`, once it is not `None`."""
        while (found := answer()) is None:
            await self.wait(topic)
        return found


class Reflector(ResourceReflector):
    """A reflector that follows the watch, never gives up, and rings."""

    bell = Instance(Bell, kw={})
    resources: dict[str, Json]

    #: What is kept of an object.
    shape: excerpts.Shape

    #: What the method that lists is told beside that, for kinds without one of their own.
    place: Mapping[str, str] = MappingProxyType({})

    #: Counts changes, so that views made from the objects know when they are stale.
    changes = 0

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._excerpts = Excerpts(self.shape)
        #: What was `put` while a list is under way.
        self._meanwhile: dict[str, Json] | None = None

    async def start(self) -> None:
        """
        List once, then follow in the background.

        Raises:
            ApiException: The first list failed.
        """
        version = await self._list_and_update()
        self.watch_task = asyncio.create_task(self._follow(version))

    async def stop(self) -> None:
        """Stop following; KubeSpawner's would pass the cancellation on to whoever called it."""
        self._stopping = True
        if self.watch_task is not None:
            self.watch_task.cancel()
            await asyncio.wait([self.watch_task])

    def topics(self, resource: Json) -> Iterable[str]:
        """Return the topics that a change of *resource* is news for: its own key."""
        return (_key(resource),)

    def stored(self, key: str, resource: Json) -> None:
        """Note that *resource* stands under *key*; for indexes of subclasses."""

    def removed(self, key: str, resource: Json) -> None:
        """Note that *resource* no longer stands under *key*."""

    def put(self, resource: Json) -> None:
        """Take *resource* as seen, unless a newer one is; for answers that beat the watch."""
        known = self.resources.get(_key(resource))
        if known is None or _version(known) < _version(resource):
            excerpt = self._excerpts.of(resource)
            self._store(excerpt)
            if self._meanwhile is not None:
                self._meanwhile[_key(excerpt)] = excerpt

    async def _list_and_update(self, resource_version: str | None = None) -> str:
        """List everything and tell of each difference; return the version to watch from."""
        del resource_version  # upstream's signature; a list is only made when nothing is known
        meanwhile: dict[str, Json] = {}
        self._meanwhile = meanwhile
        try:
            listed, version = await self._list()
        finally:
            self._meanwhile = None
        # The list knows nothing of an answer that is younger than it; the watch will tell.
        listed |= {key: each for key, each in meanwhile.items() if _version(each) > int(version)}
        before, self.resources = self.resources, {}
        for resource in listed.values():
            self._store(resource)
        for key, resource in before.items():
            if key not in self.resources:
                self._forget(key, resource)
        return version

    async def _list(self) -> tuple[dict[str, Json], str]:
        """Return excerpts of everything by key, and the version at which that was all."""
        listed: dict[str, Json] = {}
        place: dict[str, str] = {}
        while True:
            response = await self._call(
                _request_timeout=self.request_timeout, limit=_PAGE_SIZE, **place
            )
            page = orjson.loads(await response.read())
            listed |= {_key(each): self._excerpts.of(each) for each in page["items"]}
            metadata = page["metadata"]
            if not metadata.get("continue"):
                version: str = metadata["resourceVersion"]
                return listed, version
            place = {"_continue": metadata["continue"]}

    async def _follow(self, version: str | None) -> None:
        """Follow changes from *version* until cancelled, whatever goes wrong on the way."""
        delay = _FIRST_DELAY
        while not self._stopping:
            try:
                if version is None:
                    version = await self._list_and_update()
                async for event in self._watch(version):
                    version = self._take(event)
                    delay = _FIRST_DELAY
            except ApiException as error:
                if error.status != _GONE:
                    self._complain(error, delay)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, _LONGEST_DELAY)
                version = None
            except Exception as error:  # noqa: BLE001 - the guard of the loop
                self._complain(error, delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, _LONGEST_DELAY)
                version = None

    async def _watch(self, version: str) -> AsyncIterator[Json]:
        response = await self._call(
            watch=True,
            resource_version=version,
            allow_watch_bookmarks=True,
            timeout_seconds=_WATCH_SECONDS,
            _request_timeout=(_CONNECT_SECONDS, _SILENCE_SECONDS),
        )
        try:
            rest = b""
            # Not readline(): an object may be longer than the stream's line limit.
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield orjson.loads(line)
        finally:
            response.close()

    async def _call(self, **arguments: object) -> Any:
        if not self.omit_namespace:
            arguments["namespace"] = self.namespace
        response = await getattr(self.api, self.list_method_name)(
            label_selector=self.label_selector,
            field_selector=self.field_selector,
            _preload_content=False,
            **self.place,
            **arguments,
        )
        if response.status >= 400:  # noqa: PLR2004 - HTTP's errors begin here
            text = (await response.read()).decode(errors="replace")[:500]
            raise ApiException(status=response.status, reason=f"{response.reason}: {text}")
        return response

    def _take(self, event: Json) -> str:
        """Apply one watch event; return the version to go on from."""
        resource = event["object"]
        match event["type"]:
            case "ERROR":
                raise ApiException(status=resource.get("code", 0), reason=resource.get("message"))
            case "DELETED":
                known = self.resources.pop(_key(resource), None)
                if known is not None:
                    self._forget(_key(resource), resource)
            case "BOOKMARK":
                pass
            case _:
                self._store(self._excerpts.of(resource))
        version: str = resource["metadata"]["resourceVersion"]
        return version

    def _store(self, resource: Json) -> None:
        key = _key(resource)
        self.resources[key] = resource
        self.changes += 1
        self.stored(key, resource)
        for topic in self.topics(resource):
            self.bell.ring(topic)

    def _forget(self, key: str, resource: Json) -> None:
        self.changes += 1
        self.removed(key, resource)
        for topic in self.topics(resource):
            self.bell.ring(topic)

    def _complain(self, error: Exception, delay: float) -> None:
        self.log.warning(
            "Watching %s failed (%s: %s); listing again in %.1f s",
            self.kind, type(error).__name__, error, delay,
        )  # fmt: skip


class PodReflector(Reflector):
    """Workspace Pods by ``namespace/name``, found by whose they are."""

    kind = "pods"
    shape = excerpts.POD

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._of_owner: defaultdict[str, set[str]] = defaultdict(set)
        #: Told once of each Pod that is being evicted, while it is still there.
        self.when_evicted: Callable[[Json], None] | None = None
        self._evicted: dict[str, str] = {}

    def of_owner(self, owner: str) -> tuple[Json, ...]:
        """Return the Pods of *owner*, in no order."""
        keys = self._of_owner.get(owner, ())
        return tuple(self.resources[key] for key in keys if key in self.resources)

    def stored(self, key: str, resource: Json) -> None:
        """Index the Pod by its owner, and tell if it is being evicted."""
        self._of_owner[attachments.owner_of(resource)].add(key)
        uid = resource["metadata"].get("uid", "")
        if (
            self.when_evicted is not None
            and self._evicted.get(key) != uid
            and kueue.eviction_of(resource) is not None
        ):
            self._evicted[key] = uid
            self.when_evicted(resource)

    def removed(self, key: str, resource: Json) -> None:
        """Drop the Pod from the index."""
        self._evicted.pop(key, None)
        owner = attachments.owner_of(resource)
        self._of_owner[owner].discard(key)
        if not self._of_owner[owner]:
            del self._of_owner[owner]

    @property
    def pods(self) -> dict[str, Json]:
        """What KubeSpawner asks."""
        return self.resources


class EventReflector(Reflector):
    """Events about Pods, found by the Pod they are about."""

    kind = "events"
    shape = excerpts.EVENT

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._by_pod: defaultdict[str, dict[str, Json]] = defaultdict(dict)

    @property
    def events(self) -> list[Json]:
        """What KubeSpawner asks: every event, oldest first."""
        return sorted(self.resources.values(), key=_event_time)

    def of_pod(self, pod_key: str) -> tuple[Json, ...]:
        """Return the events about one Pod (``namespace/name``), oldest first."""
        return tuple(sorted(self._by_pod.get(pod_key, {}).values(), key=_event_time))

    def topics(self, resource: Json) -> Iterable[str]:
        """Return the Pod that an event is about."""
        return (_pod_of_event(resource),)

    def stored(self, key: str, resource: Json) -> None:
        """Index the event by its Pod."""
        self._by_pod[_pod_of_event(resource)][key] = resource

    def removed(self, key: str, resource: Json) -> None:
        """Drop the event from the index."""
        pod = _pod_of_event(resource)
        self._by_pod[pod].pop(key, None)
        if not self._by_pod[pod]:
            del self._by_pod[pod]


class ClaimReflector(Reflector):
    """ResourceClaims by ``namespace/name``; a change is news for the Pod that owns the claim."""

    kind = "resourceclaims"
    shape = excerpts.CLAIM
    api_group_name = "ResourceV1Api"
    list_method_name = "list_namespaced_resource_claim"

    def topics(self, resource: Json) -> Iterable[str]:
        """Return the claim and the Pods that own it."""
        metadata = resource["metadata"]
        yield _key(resource)
        for owner in metadata.get("ownerReferences") or ():
            if owner["kind"] == "Pod":
                yield f"{metadata['namespace']}/{owner['name']}"

    def of_pod(self, pod: Json) -> Json | None:
        """Return the GPU claim that Kubernetes made for *pod*, if it has one."""
        name = allocation.claim_name(pod)
        return self.resources.get(f"{pod['metadata']['namespace']}/{name}") if name else None

    def allocated_to(self, pod: Json) -> Json | None:
        """Return the GPU claim of *pod* once it is allocated."""
        claim = self.of_pod(pod)
        return claim if claim is not None and allocation.is_allocated(claim) else None


class WorkloadReflector(Reflector):
    """Kueue's Workloads; a change is news for the Pod that owns one."""

    kind = "workloads"
    shape = excerpts.WORKLOAD
    api_group_name = "CustomObjectsApi"
    list_method_name = "list_namespaced_custom_object"
    place = {"group": kueue.GROUP, "version": kueue.VERSION, "plural": "workloads"}  # noqa: RUF012 - never changed

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._by_pod: dict[str, str] = {}

    def topics(self, resource: Json) -> Iterable[str]:
        """Return the Pods that own a Workload."""
        metadata = resource["metadata"]
        return tuple(f"{metadata['namespace']}/{each['name']}" for each in _owning_pods(resource))

    def of_pod(self, pod: Json) -> Json | None:
        """Return the Workload that Kueue made for *pod*, if it has."""
        return self.resources.get(self._by_pod.get(pod["metadata"].get("uid", ""), ""))

    def stored(self, key: str, resource: Json) -> None:
        """Index the Workload by its Pod."""
        self._by_pod.update({each["uid"]: key for each in _owning_pods(resource)})

    def removed(self, key: str, resource: Json) -> None:  # noqa: ARG002 - upstream's signature
        """Drop the Workload from the index."""
        for each in _owning_pods(resource):
            self._by_pod.pop(each["uid"], None)


class SliceReflector(Reflector):
    """ResourceSlices of the cluster by name: which devices there are."""

    kind = "resourceslices"
    shape = excerpts.SLICE
    api_group_name = "ResourceV1Api"
    list_method_name = "list_resource_slice"
    omit_namespace = True


class NodeReflector(Reflector):
    """Nodes of the cluster by name: what they are labelled with, and whom they repel."""

    kind = "nodes"
    shape = excerpts.NODE
    list_method_name = "list_node"
    omit_namespace = True

    def _store(self, resource: Json) -> None:
        name = resource["metadata"]["name"]
        known = self.resources.get(name)
        if known is not None and _unversioned(known) == _unversioned(resource):
            self.resources[name] = resource  # a heartbeat
        else:
            super()._store(resource)


def _owning_pods(resource: Json) -> Iterable[Json]:
    owners = resource["metadata"].get("ownerReferences") or ()
    return (each for each in owners if each["kind"] == "Pod")


def _unversioned(resource: Json) -> Json:
    return resource | {"metadata": resource["metadata"] | {"resourceVersion": ""}}


def _key(resource: Json) -> str:
    metadata = resource["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def _version(resource: Json) -> int:
    # Resource versions of one kind are comparable integers since 1.35 (KEP-5504).
    return int(resource["metadata"]["resourceVersion"])


def _pod_of_event(event: Json) -> str:
    about = event["involvedObject"]
    return f"{about.get('namespace')}/{about.get('name')}"


def _event_time(event: Json) -> str:
    # Either may be null (KubeSpawner's own sort fails then); RFC 3339 in UTC sorts as text.
    return (
        event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )
