"""
A start whose Pod a hook has spoiled: nothing is made, the record ends, the answer says why.

The real `_start` and `stop`, with an API server, a store and watches that are a few plain
objects. Design §2, promises 1, 4 and 6, and §5, step 5.
"""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from jupyterhub.spawner import SpawnException

from eugospawner import records
from eugospawner.manifests import labels
from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import Exceeds, Fits
from eugospawner.reflector import Bell
from eugospawner.store.sessions import Outdated
from eugospawner.store.workspaces import NameTaken
from tests.unit.eugospawner.gate_pods import OPTIONS, OfflineSpawner, a_spawner
from tests.unit.eugospawner.test_cluster import FakeApi

if TYPE_CHECKING:
    from collections.abc import Callable

    from eugospawner.policy.quota import Demand
    from eugospawner.store.refusals import Refused

VOLUMES_AND_GPU = {**OPTIONS["share"], **OPTIONS["volumes"]}


class FakeRefusals:
    """Remembers what was refused; fails, or never answers, if told to."""

    def __init__(self) -> None:
        self.kept: list[Refused] = []
        self.failure: Exception | None = None
        self.hangs = False

    async def add(self, refused: Refused) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        self.kept.append(refused)


class FakeStore:
    """Remembers what happened to sessions and volumes."""

    def __init__(self) -> None:
        self.sessions = self.volumes = self
        self.refusals = FakeRefusals()
        self.opened: list[str] = []
        #: Whether volumes can be added.
        self.has_room = True
        #: How often room is denied and then there after all.
        self.tight = 0
        #: What the next openings come to; then all fit.
        self.answers: list[object] = []
        self.ended: list[tuple[str, str]] = []
        self.added: list[str] = []

    async def open(self, session: Any, demand: Demand, **_more: object) -> object:
        self.opened.append(session.id)
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        return Fits(ends_at=demand.latest_end, because=demand.because)

    async def end(self, session: str, *, reason: str, **_more: object) -> None:
        self.ended.append((session, reason))

    async def note_deployment(self, session: str, lines: object) -> None: ...

    async def add(self, _owner: str, volume: Any, **_more: object) -> bool:
        self.added.append(volume.key)
        if self.tight:
            self.tight -= 1
            return False
        return self.has_room


class FakeDesk:
    """Watches that see nothing, templates that are asked for, and the store."""

    def __init__(self, catalog: Any) -> None:
        self.catalog = catalog
        self.kept = FakeStore()
        self.made: list[str] = []
        self.watches = SimpleNamespace(
            started=self._done,
            pods=SimpleNamespace(pods={}, put=lambda _pod: None),
            events=None,
            bell=Bell(),
        )
        self.templates = SimpleNamespace(ensure=self._ensure)
        self.turn = asyncio.Semaphore(1)

    async def store(self) -> FakeStore:
        return self.kept

    async def watching(self) -> None: ...

    async def _done(self, *_reflectors: object) -> None: ...

    async def _ensure(self, _api: object, _namespace: str, template: Any) -> None:
        self.made.append(template["metadata"]["name"])


class Created(Exception):
    """The Pod was created; what comes after is not looked at here."""


def spoil(_spawner: object, pod: Any) -> Any:
    pod.spec.host_network = True
    pod.spec.containers[0].image = "registry.example/evil:1"
    return pod


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def spawner_with(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OfflineSpawner]:
    def make(hook: object = None, **options: Any) -> OfflineSpawner:
        spawner = a_spawner(options, {"modify_pod_hook": hook} if hook else None, api=api)
        spawner.offline_desk = FakeDesk(spawner.desk.catalog)
        spawner.now = lambda: None
        spawner.log = logging.getLogger("spawner under test")

        async def after(_spawner: object, _pod: object) -> None:
            raise Created

        spawner.after_pod_created_hook = after
        return spawner

    monkeypatch.setattr("eugospawner.spawner.shared_client", lambda _kind: api)
    return make


async def test_a_pod_that_a_hook_spoiled_is_never_asked_for(
    api: FakeApi, spawner_with: Callable[..., OfflineSpawner]
) -> None:
    spawner = spawner_with(spoil, **VOLUMES_AND_GPU)
    with pytest.raises(SpawnException) as refused:
        await spawner._start()
    assert api.calls == []  # no volume, no template, no Pod
    assert spawner.desk.made == []
    assert spawner.desk.kept.added == []
    assert refused.value.status_code == 409
    assert refused.value.reason == "manifest-refused"


async def test_the_answer_names_the_first_place_and_the_remedy(
    spawner_with: Callable[..., OfflineSpawner], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SpawnException) as refused, caplog.at_level(logging.ERROR):
        await spawner_with(spoil)._start()
    assert refused.value.jupyterhub_message == (
        "The workspace was not started: its Pod would hold more than was granted "
        "(spec.containers[0].image and 1 more). Tell an admin: a hook or an override of the "
        "hub's configuration added it, and the hub's log names every place. [manifest-refused]"
    )
    logged = [each.getMessage() for each in caplog.records]
    assert any("spec.containers[0].image is not what was granted" in each for each in logged)
    assert any("spec.hostNetwork is not false" in each for each in logged)


async def test_the_session_ends_with_the_stop_that_the_hub_calls(
    spawner_with: Callable[..., OfflineSpawner],
) -> None:
    spawner = spawner_with(spoil)
    with pytest.raises(SpawnException):
        await spawner._start()
    await spawner.stop()
    kept = spawner.desk.kept
    assert len(kept.opened) == 1
    assert kept.ended == [(kept.opened[0], "start-failed")]


async def test_a_store_that_does_not_answer_is_not_asked_a_second_time(
    spawner_with: Callable[..., OfflineSpawner],
) -> None:
    """Each question may take as long as the store's patience; the hub waits for the answer."""
    spawner = spawner_with()
    kept = spawner.desk.kept
    kept.answers = [StoreError("The store could not open a session: it is locked")]
    with pytest.raises(SpawnException) as refused:
        await spawner._start()
    await spawner.stop()
    assert refused.value.reason == "store-unavailable"
    assert len(kept.opened) == 1
    assert kept.ended == []


@pytest.mark.parametrize(
    "answer",
    [Outdated(), NameTaken(free="x"), Exceeds(limits=())],
    ids=lambda it: type(it).__name__,
)
async def test_what_the_store_does_not_reserve_is_decided_about_again(
    api: FakeApi, spawner_with: Callable[..., OfflineSpawner], answer: object
) -> None:
    spawner = spawner_with()
    spawner.desk.kept.answers = [answer]
    with pytest.raises(Created):
        await spawner._start()
    first, second = spawner.desk.kept.opened
    pod = api.held["pod", "jupyter-alice"]
    assert first != second
    assert pod["metadata"]["labels"][labels.SESSION] == second


async def test_a_store_that_never_reserves_what_it_says_is_left_is_a_fault(
    spawner_with: Callable[..., OfflineSpawner],
) -> None:
    spawner = spawner_with()
    spawner.desk.kept.answers = [Outdated()] * 100
    with pytest.raises(SpawnException) as refused:
        await spawner._start()
    assert refused.value.reason == "store-unavailable"
    assert len(spawner.desk.kept.opened) < 10


async def test_a_refused_start_is_on_record_with_its_words(
    spawner_with: Callable[..., OfflineSpawner],
) -> None:
    """L11: a changed plan is tried on them."""
    spawner = spawner_with(gpu_model="L9000", gpu_count=1)
    with pytest.raises(SpawnException):
        await spawner._start()
    (kept,) = spawner.desk.kept.refusals.kept
    assert (kept.owner, kept.actor, kept.reason) == ("alice", "alice", "gpu-model-unknown")
    assert kept.options == {"gpu_model": "L9000", "gpu_count": 1}


@pytest.mark.parametrize("fault", ["fails", "hangs"])
async def test_a_refusal_is_answered_even_if_it_cannot_be_recorded(
    spawner_with: Callable[..., OfflineSpawner], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(records, "_PATIENCE_SECONDS", 0.01)
    spawner = spawner_with(gpu_model="L9000", gpu_count=1)
    refusals = spawner.desk.kept.refusals
    refusals.failure, refusals.hangs = StoreError("it is away"), fault == "hangs"
    with pytest.raises(SpawnException) as refused:
        await spawner._start()
    assert refused.value.reason == "gpu-model-unknown"


async def test_a_volume_for_which_no_room_is_left_makes_nothing(
    api: FakeApi, spawner_with: Callable[..., OfflineSpawner]
) -> None:
    spawner = spawner_with(**VOLUMES_AND_GPU)
    spawner.desk.kept.has_room = False
    with pytest.raises(SpawnException):
        await spawner._start()
    await spawner.stop()
    assert {kind for kind, _ in api.held} <= {"persistent_volume_claim"}  # the home; no Pod
    assert spawner.desk.kept.ended == [(spawner.desk.kept.opened[0], "start-failed")]


async def test_room_that_is_free_again_by_the_time_it_is_asked_for_is_taken(
    api: FakeApi, spawner_with: Callable[..., OfflineSpawner]
) -> None:
    spawner = spawner_with(**VOLUMES_AND_GPU)
    spawner.desk.kept.tight = 2
    with pytest.raises(Created):
        await spawner._start()
    assert spawner.desk.kept.added[:3] == [spawner.desk.kept.added[0]] * 3
    assert ("pod", "jupyter-alice") in api.held


async def test_a_hook_that_grants_nothing_hinders_nothing(
    api: FakeApi, spawner_with: Callable[..., OfflineSpawner]
) -> None:
    def harmless(_spawner: object, pod: Any) -> Any:
        pod.spec.containers[0].args = ["jupyterhub-singleuser", "--debug"]
        return pod

    spawner = spawner_with(harmless, **VOLUMES_AND_GPU)
    with pytest.raises(Created):
        await spawner._start()
    pod = api.held["pod", "jupyter-alice"]
    assert pod["spec"]["containers"][0]["args"] == ["jupyterhub-singleuser", "--debug"]
    assert pod["metadata"]["labels"][labels.SESSION] == spawner.desk.kept.opened[0]


async def test_in_a_crowd_a_start_waits_for_its_turn_and_a_failed_one_gives_it_back(
    api: FakeApi, spawner_with: Callable[..., OfflineSpawner]
) -> None:
    spawner = spawner_with()
    turn = spawner.desk.turn
    await turn.acquire()
    start = asyncio.ensure_future(spawner._start())
    for _ in range(5):
        await asyncio.sleep(0)
    assert spawner.desk.kept.opened == []  # decided, and nothing made yet
    assert api.calls == []
    turn.release()
    with pytest.raises(Created):
        await start
    assert ("pod", "jupyter-alice") in api.held
    assert not turn.locked()


async def test_what_a_hook_writes_into_the_configuration_declares_nothing(
    api: FakeApi, spawner_with: Callable[..., OfflineSpawner]
) -> None:
    """Traits are read before the hook runs: it cannot declare what it adds."""

    def cunning(spawner: Any, pod: Any) -> Any:
        spawner.volumes = [{"name": "x", "secret": {"secretName": "hub"}}]
        pod.spec.volumes.append({"name": "x", "secret": {"secretName": "hub"}})
        return pod

    with pytest.raises(SpawnException, match=r"spec\.volumes\[1\]"):
        await spawner_with(cunning)._start()
    assert api.calls == []


async def test_a_hook_that_returns_no_pod_is_refused_as_well(
    api: FakeApi, spawner_with: Callable[..., OfflineSpawner]
) -> None:
    with pytest.raises(SpawnException, match="all of it"):
        await spawner_with(lambda _spawner, _pod: None)._start()
    assert api.calls == []
