"""Reflectors follow the watch, ring for what changed, and never give up."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes_asyncio.client import ApiException

from eugospawner import reflector
from eugospawner.manifests import kueue
from eugospawner.reflector import (
    Bell,
    ClaimReflector,
    EventReflector,
    NodeReflector,
    PodReflector,
    SliceReflector,
    WorkloadReflector,
)


class FakeServer:
    """An API server of one kind: lists what it holds, and streams what it is told to."""

    def __init__(self) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.version = 10
        self.lists = 0
        self.watched_from: list[str] = []
        #: What the last call was told.
        self.asked: dict[str, Any] = {}
        self.faults: list[Exception | int] = []
        #: Called before each page of a list is answered.
        self.before_page: Callable[[], object] = lambda: None
        self._streams: list[asyncio.Queue[bytes | None]] = []
        self._listed: tuple[int, list[Any]] = (0, [])

    def put(self, name: str, kind: str = "MODIFIED", **fields: Any) -> dict[str, Any]:
        self.version += 1
        metadata = {"namespace": "eugo", "name": name, "resourceVersion": str(self.version)}
        item = {"metadata": metadata | fields.pop("metadata", {})} | fields
        self.items[name] = item
        self.send({"type": kind, "object": item})
        return item

    def delete(self, name: str) -> None:
        self.version += 1
        item = self.items.pop(name)
        item = item | {"metadata": item["metadata"] | {"resourceVersion": str(self.version)}}
        self.send({"type": "DELETED", "object": item})

    def send(self, event: dict[str, Any], *, pieces: int = 1) -> None:
        line = json.dumps(event).encode() + b"\n"
        size = -(-len(line) // pieces)
        for stream in self._streams:
            for at in range(0, len(line), size):
                stream.put_nowait(line[at : at + size])

    def hang_up(self) -> None:
        for stream in self._streams:
            stream.put_nowait(None)
        self._streams.clear()

    async def call(self, *, watch: bool = False, **arguments: Any) -> Any:
        self.asked = arguments
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return SimpleNamespace(status=fault, reason="no", read=self._body(b"busy"))
        if not watch:
            self.before_page()
            return SimpleNamespace(status=200, read=self._body(self._page(**arguments)))
        self.watched_from.append(arguments["resource_version"])
        stream: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._streams.append(stream)
        return SimpleNamespace(
            status=200,
            content=SimpleNamespace(iter_any=lambda: self._chunks(stream)),
            close=lambda: None,
        )

    def _page(self, *, limit: int, _continue: str | None = None, **_: Any) -> bytes:
        """Pages show the items as they were at the first; a token says which one is next."""
        if _continue is None:
            self.lists += 1
            self._listed = (self.version, list(self.items.values()))
        version, items = self._listed
        at = int(_continue or 0)
        metadata = {"resourceVersion": str(version)}
        if at + limit < len(items):
            metadata["continue"] = str(at + limit)
        return json.dumps({"metadata": metadata, "items": items[at : at + limit]}).encode()

    @staticmethod
    def _body(body: bytes) -> Any:
        async def read() -> bytes:
            return body

        return read

    @staticmethod
    async def _chunks(stream: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
        while (chunk := await stream.get()) is not None:
            yield chunk


def an_answer(name: str, version: int, phase: str = "Pending") -> dict[str, Any]:
    """A Pod as a create call returns it."""
    metadata = {"namespace": "eugo", "name": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "status": {"phase": phase}}


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    server = FakeServer()
    api = SimpleNamespace(
        list_namespaced_pod=server.call,
        list_namespaced_event=server.call,
        list_namespaced_resource_claim=server.call,
        list_node=server.call,
        list_resource_slice=server.call,
        list_namespaced_custom_object=server.call,
    )
    monkeypatch.setattr("kubespawner.reflector.shared_client", lambda _name: api)
    monkeypatch.setattr(reflector, "_FIRST_DELAY", 0.001)
    return server


async def started(kind: type[reflector.Reflector]) -> Any:
    made = kind(namespace="eugo")
    await made.start()
    await asyncio.sleep(0)
    return made


async def soon(condition: Any) -> None:
    """Let the loop run until *condition* holds; a test that never holds runs into its timeout."""
    while not condition():  # noqa: ASYNC110 - the condition is about another task's state
        await asyncio.sleep(0.001)


async def test_what_is_there_is_listed_and_what_comes_is_followed(server: FakeServer) -> None:
    server.put("old")
    made = await started(PodReflector)
    await soon(lambda: server.watched_from)
    server.put("new", "ADDED")
    await soon(lambda: set(made.pods) == {"eugo/old", "eugo/new"})
    server.delete("old")
    await soon(lambda: set(made.pods) == {"eugo/new"})
    assert server.lists == 1
    await made.stop()


async def test_a_watch_that_ends_goes_on_where_it_ended_without_a_list(server: FakeServer) -> None:
    made = await started(PodReflector)
    await soon(lambda: server.watched_from)
    server.put("one", "ADDED")
    await soon(lambda: "eugo/one" in made.pods)
    server.hang_up()
    await soon(lambda: len(server.watched_from) == 2)
    assert server.watched_from[1] == "11"
    assert server.lists == 1
    await made.stop()


async def test_a_bookmark_moves_the_place_to_go_on_from(server: FakeServer) -> None:
    made = await started(PodReflector)
    await soon(lambda: server.watched_from)
    server.send({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}})
    server.hang_up()
    await soon(lambda: len(server.watched_from) == 2)
    assert server.watched_from[1] == "99"
    assert made.pods == {}
    await made.stop()


async def test_a_place_that_is_gone_is_listed_anew_and_what_was_missed_is_rung_for(
    server: FakeServer,
) -> None:
    server.put("stays")
    server.put("goes")
    made = await started(PodReflector)
    await soon(lambda: server.watched_from)
    waiting = asyncio.ensure_future(made.bell.wait("eugo/goes"))
    await asyncio.sleep(0)
    del server.items["goes"]
    server.send({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
    await asyncio.wait_for(waiting, 5)
    assert set(made.pods) == {"eugo/stays"}
    assert server.lists == 2
    await made.stop()


@pytest.mark.parametrize(
    "fault", [OSError("reset"), ApiException(status=500), 429, TimeoutError()], ids=repr
)
async def test_no_fault_ends_a_reflector(server: FakeServer, fault: Exception | int) -> None:
    made = await started(PodReflector)
    await soon(lambda: server.watched_from)
    server.faults = [fault] * 5  # KubeSpawner's gives up after some nine
    server.hang_up()
    await soon(lambda: not server.faults and len(server.watched_from) == 2)
    server.put("after", "ADDED")
    await soon(lambda: "eugo/after" in made.pods)
    await made.stop()


async def test_a_reflector_that_is_stopped_follows_no_more(server: FakeServer) -> None:
    made = await started(PodReflector)
    await soon(lambda: server.watched_from)
    task = made.watch_task
    await made.stop()
    assert task.cancelled()
    await made.stop()  # twice is fine
    server.put("late", "ADDED")
    await asyncio.sleep(0.01)
    assert made.pods == {}


async def test_an_object_may_come_in_many_pieces(server: FakeServer) -> None:
    made = await started(PodReflector)
    await soon(lambda: server.watched_from)
    item = {"metadata": {"namespace": "eugo", "name": "big", "resourceVersion": "12"}}
    item["spec"] = {"text": "x" * 300_000}
    server.send({"type": "ADDED", "object": item}, pieces=7)
    await soon(lambda: "eugo/big" in made.pods)
    await made.stop()


async def test_a_first_list_that_fails_says_so_to_who_starts_it(server: FakeServer) -> None:
    server.faults = [ApiException(status=403, reason="Forbidden")]
    made = PodReflector(namespace="eugo")
    with pytest.raises(ApiException, match="Forbidden"):
        await made.start()


async def test_an_answer_that_beats_the_watch_is_taken_and_an_older_one_is_not() -> None:
    made = await started(PodReflector)
    made.put(an_answer("p", 20, "Running"))
    made.put(an_answer("p", 3, "Pending"))
    assert made.pods["eugo/p"]["status"]["phase"] == "Running"
    assert made._meanwhile is None  # remembered for a list alone, or it would grow for ever
    await made.stop()


async def test_an_answer_stays_whole_for_who_else_reads_it() -> None:
    made = await started(PodReflector)
    answer = an_answer("p", 20) | {"spec": {"nodeName": "n1"}}
    answer["metadata"]["managedFields"] = [{"manager": "eugo"}]
    whole = copy.deepcopy(answer)
    made.put(answer)
    assert answer == whole
    await made.stop()


async def test_a_list_comes_in_pages_and_is_seen_all_at_once(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "_PAGE_SIZE", 2)
    for number in range(5):
        server.put(f"p{number}")
    made = PodReflector(namespace="eugo")
    seen: list[int] = []
    server.before_page = lambda: seen.append(len(made.pods))
    await made.start()
    assert seen == [0, 0, 0]
    assert set(made.pods) == {f"eugo/p{number}" for number in range(5)}
    await made.stop()


async def test_pages_that_are_gone_half_way_are_listed_anew(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "_PAGE_SIZE", 2)
    made = await started(PodReflector)
    await soon(lambda: server.watched_from)
    for number in range(5):
        server.put(f"p{number}", "ADDED")
    pages: list[int] = []

    def expire() -> None:
        pages.append(len(made.pods))
        if len(pages) == 2:
            raise ApiException(status=410, reason="Expired")

    server.before_page = expire
    server.send({"type": "ERROR", "object": {"code": 410, "message": "too old"}})
    await soon(lambda: len(server.watched_from) == 2)
    assert pages == [5] * 5  # two in vain, then three; and nobody ever saw less
    assert len(made.pods) == 5
    await made.stop()


@pytest.mark.parametrize("listed", [True, False], ids=["listed older", "not listed yet"])
async def test_an_answer_that_comes_while_a_list_is_under_way_outlives_it(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, *, listed: bool
) -> None:
    monkeypatch.setattr(reflector, "_PAGE_SIZE", 1)
    for name in ("a", "z", *(["new"] if listed else [])):
        server.put(name, status={"phase": "Pending"})
    made = PodReflector(namespace="eugo")
    server.before_page = lambda: made.put(an_answer("new", 90, "Running"))
    await made.start()
    assert made.pods["eugo/new"]["status"]["phase"] == "Running"
    await made.stop()


async def test_an_answer_that_the_list_is_younger_than_gives_way_to_it(
    server: FakeServer,
) -> None:
    server.version = 100
    server.put("old", status={"phase": "Running"})
    made = PodReflector(namespace="eugo")

    def answer() -> None:
        made.put(an_answer("old", 90, "Pending"))
        made.put(an_answer("gone", 91))

    server.before_page = answer
    await made.start()
    assert set(made.pods) == {"eugo/old"}
    assert made.pods["eugo/old"]["status"]["phase"] == "Running"
    await made.stop()


async def test_events_are_found_by_their_pod_oldest_first_even_without_times(
    server: FakeServer,
) -> None:
    about = {"namespace": "eugo", "name": "p"}
    server.put("b", involvedObject=about, lastTimestamp="2026-11-24T12:00:02Z")
    server.put("a", involvedObject=about, lastTimestamp=None, eventTime="2026-11-24T12:00:01Z")
    server.put("none", involvedObject=about, lastTimestamp=None, eventTime=None)
    server.put("other", involvedObject={"namespace": "eugo", "name": "q"})
    made = await started(EventReflector)
    names = [event["metadata"]["name"] for event in made.of_pod("eugo/p")]
    assert names == ["none", "a", "b"]
    await soon(lambda: server.watched_from)
    server.delete("a")
    await soon(lambda: len(made.of_pod("eugo/p")) == 2)
    assert made.of_pod("eugo/nobody") == ()
    await made.stop()


async def test_pods_are_found_by_whose_they_are(server: FakeServer) -> None:
    def of(owner: str) -> dict[str, Any]:
        return {"annotations": {"hub.jupyter.org/username": owner}}

    def names(owner: str) -> set[str]:
        return {each["metadata"]["name"] for each in made.of_owner(owner)}

    server.put("one", metadata=of("alice"), spec={})
    server.put("two", metadata=of("alice"), spec={})
    server.put("other", metadata=of("bob"), spec={})
    server.put("nobodys", spec={})
    made = await started(PodReflector)
    assert names("alice") == {"one", "two"}
    assert names("carol") == set()
    await soon(lambda: server.watched_from)
    server.delete("one")
    server.put("third", metadata=of("alice"), spec={"nodeName": "n1"})
    await soon(lambda: names("alice") == {"two", "third"})
    assert {each["spec"].get("nodeName") for each in made.of_owner("alice")} == {None, "n1"}
    server.items.pop("two")  # unseen: the next list tells
    server.faults = [410]
    server.hang_up()
    await soon(lambda: names("alice") == {"third"})
    server.delete("third")
    await soon(lambda: not names("alice"))
    assert "alice" not in made._of_owner, "an index that grows with everybody who ever came"
    await made.stop()


async def test_an_event_rings_for_its_pod(server: FakeServer) -> None:
    made = await started(EventReflector)
    await soon(lambda: server.watched_from)
    waiting = asyncio.ensure_future(made.bell.wait("eugo/p"))
    await asyncio.sleep(0)
    server.put("e", "ADDED", involvedObject={"namespace": "eugo", "name": "p"})
    await asyncio.wait_for(waiting, 5)
    await made.stop()


async def test_a_claim_rings_for_the_pod_that_owns_it(server: FakeServer) -> None:
    made = await started(ClaimReflector)
    await soon(lambda: server.watched_from)
    waiting = asyncio.ensure_future(made.bell.wait("eugo/p"))
    await asyncio.sleep(0)
    server.put("c", "ADDED", metadata={"ownerReferences": [{"kind": "Pod", "name": "p"}]})
    await asyncio.wait_for(waiting, 5)
    await made.stop()


async def test_a_workload_is_found_by_its_pod_and_rings_for_it(server: FakeServer) -> None:
    made = await started(WorkloadReflector)
    await soon(lambda: server.watched_from)
    assert server.asked["plural"] == "workloads"
    pod = {"metadata": {"namespace": "eugo", "name": "p", "uid": "u-1"}}
    assert made.of_pod(pod) is None
    waiting = asyncio.ensure_future(made.bell.wait("eugo/p"))
    await asyncio.sleep(0)
    owners = [{"kind": "Pod", "name": "p", "uid": "u-1"}]
    conditions = [{"type": "QuotaReserved", "status": "False", "message": "25 more needed"}]
    server.put(
        "w", "ADDED", metadata={"ownerReferences": owners}, status={"conditions": conditions}
    )
    await asyncio.wait_for(waiting, 5)
    assert kueue.missing_of(made.of_pod(pod)) == "25 more needed"
    # A Pod of the same name that comes later has a Workload of its own.
    assert made.of_pod({"metadata": pod["metadata"] | {"uid": "u-2"}}) is None
    server.delete("w")
    await soon(lambda: made.of_pod(pod) is None)
    assert not made._by_pod
    await made.stop()


async def test_of_each_pod_that_is_evicted_it_is_told_once(server: FakeServer) -> None:
    made = await started(PodReflector)
    told: list[str] = []
    made.when_evicted = lambda pod: told.append(pod["metadata"]["uid"])
    await soon(lambda: server.watched_from)
    mark = {
        "type": "TerminationTarget",
        "status": "True",
        "reason": "WorkloadEvictedDueToPreempted",
    }
    status = {"phase": "Running", "conditions": [mark]}
    server.put("p", "ADDED", metadata={"uid": "u-1"}, status={"phase": "Running"})
    server.put("p", metadata={"uid": "u-1"}, status=status)
    gone = {"uid": "u-1", "deletionTimestamp": "2026-11-27T12:00:00Z"}
    server.put("p", metadata=gone, status=status)
    await soon(lambda: "deletionTimestamp" in made.pods.get("eugo/p", {}).get("metadata", {}))
    assert told == ["u-1"]
    server.delete("p")
    server.put("p", "ADDED", metadata={"uid": "u-2"}, status=status)
    await soon(lambda: len(told) == 2)
    assert told == ["u-1", "u-2"]
    server.delete("p")
    await soon(lambda: not made._evicted)
    await made.stop()


KINDS = [
    PodReflector, EventReflector, ClaimReflector, WorkloadReflector, SliceReflector, NodeReflector,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_who_changed_which_field_is_kept_of_no_object(
    server: FakeServer, kind: type[reflector.Reflector]
) -> None:
    def put(name: str) -> None:
        about = {"namespace": "eugo", "name": "p"}
        server.put(name, metadata={"managedFields": [{"manager": "kubelet"}]}, involvedObject=about)

    put("listed")
    made = await started(kind)
    await soon(lambda: server.watched_from)
    put("watched")
    await soon(lambda: len(made.resources) == 2)
    assert not [each for each in made.resources.values() if "managedFields" in each["metadata"]]
    await made.stop()


async def test_a_bell_wakes_everybody_who_waits_for_the_topic_and_nobody_else() -> None:
    bell = Bell()
    two = [asyncio.ensure_future(bell.wait("a")) for _ in range(2)]
    other = asyncio.ensure_future(bell.wait("b"))
    await asyncio.sleep(0)
    bell.ring("a")
    await asyncio.gather(*two)
    assert not other.done()
    other.cancel()


async def test_whoever_stops_waiting_leaves_nothing_behind() -> None:
    bell = Bell()
    waiting = asyncio.ensure_future(bell.wait("a"))
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    assert not bell._waiting


async def test_until_asks_before_it_waits() -> None:
    assert await Bell().until("a", lambda: 1) == 1


async def test_of_nodes_only_labels_and_taints_are_kept_and_heartbeats_are_no_news(
    server: FakeServer,
) -> None:
    def beat(**spec: Any) -> None:
        metadata = {"namespace": None, "labels": {"pool": "gpu"}, "annotations": {"a": "long"}}
        server.put("n1", metadata=metadata, spec={"podCIDR": "x"} | spec, status={"images": ["x"]})

    beat()
    made = await started(NodeReflector)
    await soon(lambda: server.watched_from)
    (node,) = made.resources.values()
    assert node["metadata"] == {"name": "n1", "resourceVersion": "11", "labels": {"pool": "gpu"}}
    assert node["spec"] == {}
    changes = made.changes
    beat()
    await soon(lambda: made.resources["n1"]["metadata"]["resourceVersion"] == "12")
    assert made.changes == changes
    beat(unschedulable=True)
    await soon(lambda: made.changes > changes)
    assert made.resources["n1"]["spec"] == {"unschedulable": True}
    server.delete("n1")
    await soon(lambda: made.resources == {})
    await made.stop()
