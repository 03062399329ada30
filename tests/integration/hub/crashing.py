"""
A hub's or service's process that dies at a chosen moment: SIGKILL at the n-th await of what it does.

    KUBECONFIG=FILE python crashing.py NAMESPACE CATALOG STORE_URL

Imports once; then it reads one order a line (JSON), forks, and prints how the child ended:
`{"died": true}`, or what it came to. The child is the spawner or a service themselves, with store
and cluster as they are; only the hub around them is missing: a service that asks it to stop has the
spawner do so, and dies with it. Pods go to Nodes without machines.

An await has two moments. "suspended": what was asked for is on its way. "resumed": it has happened
and nobody has taken notice.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import types
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio import config as kubernetes
from traitlets.config import Config

from eugospawner import cluster
from eugospawner.policy.lifecycle import Operation, State
from eugospawner.slugs import slug_of
from eugospawner.source import Source
from eugospawner.spawner import EugoSpawner
from eugospawner.store import open_store
from hub_services.common import acts
from hub_services.common.hub import Server
from hub_services.culler.service import Culler
from hub_services.quota.cluster import Cluster as Accounts
from hub_services.quota.service import Accountant
from hub_services.reaper.closing import Closer
from hub_services.reaper.cluster import Cluster
from hub_services.reaper.service import Reaper
from hub_services.workspaces import ending
from hub_services.workspaces.cluster import Cluster as Destroying
from hub_services.workspaces.ending import Terminator
from tests.integration.reaper.conftest import ClockAhead
from tests.unit.hub_services.reaper.fakes import FakeHub

if TYPE_CHECKING:
    from collections.abc import Coroutine

PAST_GRACE = timedelta(minutes=2)
PAST_IDLE = timedelta(hours=2)
HELD = SimpleNamespace(is_held=True)
EXTRA = "devcluster.test/extra"


@dataclass(frozen=True)
class Order:
    """
    What to do, for whom, and when to die, if at all.

    It is to `start`, `stop`, `adopt` or `sweep`, to start all and `lose` the Pod of the last, to
    `settle` what runs, to `cull` what runs for longer than it may, to `close` the windows that are
    over, or to `terminate` what the users have.
    """

    what: str
    users: list[str]
    at: int = 0
    when: str = ""


@types.coroutine
def until(coroutine: Coroutine[Any, Any, Any], order: Order) -> Any:
    """Drive *coroutine*, and die at the moment of *order*."""
    value: Any = None
    error: BaseException | None = None
    for step in itertools.count(1):
        try:
            waited = coroutine.send(value) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            return stop.value
        die_at(order, step, "suspended")
        value = error = None
        try:
            value = yield waited
        except BaseException as raised:  # noqa: BLE001 - passed on to the coroutine
            error = raised
        die_at(order, step, "resumed")
    raise AssertionError


def die_at(order: Order, step: int, when: str) -> None:
    if (step, when) == (order.at, order.when):
        os.kill(os.getpid(), signal.SIGKILL)


def configured(namespace: str, catalog: str, store: str) -> Config:
    made = Config()
    made.EugoSpawner.namespace = namespace
    made.EugoSpawner.storage_pvc_ensure = True
    made.EugoSpawner.pvc_name_template = "home-{username}"
    made.EugoSpawner.storage_capacity = "1Gi"
    made.EugoSpawner.start_timeout = 60
    made.EugoSpawner.delete_grace_period = 0
    made.EugoSpawner.catalog_file = catalog
    made.EugoSpawner.store_url = store
    made.EugoSpawner.now = ClockAhead().now
    made.EugoSpawner.service_account = "default"
    made.EugoSpawner.guarantee_percent = 1
    made.EugoSpawner.node_selector = {EXTRA: "true"}
    made.EugoSpawner.tolerations = [{"key": EXTRA, "operator": "Exists"}]
    return made


def on_extra_nodes(create: Any) -> Any:
    """Take from a Pod, past the gate, what only the product's own namespace and real Nodes have."""

    async def changed(api: Any, namespace: str, pod: dict[str, Any]) -> Any:
        pod["spec"].pop("priorityClassName", None)
        for volume in pod["spec"].get("volumes") or ():
            if volume.pop("persistentVolumeClaim", None) is not None:
                volume["emptyDir"] = {}
        return await create(api, namespace, pod)

    return changed


def spawner_of(user: str, made: Config) -> Any:
    owner = SimpleNamespace(name=user, id=user, url=f"/user/{user}/")
    spawner = EugoSpawner(_mock=True, user=owner, config=made)
    spawner.user_options = {"profile": "nb-gpu-h100", "sm_percent": 1}
    return spawner


async def carry_out(order: Order, namespace: str, made: Config) -> object:
    kubeconfig = os.environ["KUBECONFIG"]
    await kubernetes.load_kube_config(kubeconfig)
    if order.what == "sweep":
        opened = await open_store(made.EugoSpawner.store_url)

        async def store() -> Any:
            return opened

        async with await kubernetes.new_client_from_config(kubeconfig) as client:
            reaper = Reaper(
                cluster=Cluster(client, namespace),
                hub=FakeHub([Server(owner=each, name="", pending=None) for each in order.users]),
                open_store=store,
                clock=ClockAhead(PAST_GRACE),
            )
            swept = await until(reaper.sweep_once(), order)
        await opened.close()
        return {"reaped": swept.reaped, "closed": swept.closed, "failed": swept.failed}

    if order.what in SERVICES:
        return await serve(order, namespace, made)

    async def one(user: str) -> object:
        spawner = spawner_of(user, made)
        match order.what:
            case "start" | "lose":
                return await until(spawner._start(), order)
            case "stop":
                return await until(spawner.stop(), order)
            case "adopt":
                spawner.server = SimpleNamespace(url="not adopted")
                return await until(spawner.get_url(), order)
        raise AssertionError(order.what)

    came_to = await asyncio.gather(*(one(user) for user in order.users))
    if order.what == "lose":
        lost = spawner_of(order.users[-1], made)
        await cluster.delete_pod(lost.api, namespace, lost.pod_name, grace_seconds=0)
    return came_to


class SpawnersHub:
    """Stops with the spawner, in this process."""

    def __init__(self, made: Config) -> None:
        self._made = made

    async def stop(self, owner: str, _server: str, _session: str, *, remove: bool = False) -> None:
        if not remove:
            await spawner_of(owner, self._made).stop()


async def one_after_another(*works: Any) -> list[Any]:
    """Do what `asyncio.gather` does at once: so each await of theirs is one of the sweep's."""
    return [await work for work in works]


async def serve(order: Order, namespace: str, made: Config) -> object:
    """Sweep once as one of the services does."""
    for service in (acts, ending):
        service.asyncio = SimpleNamespace(**{**vars(asyncio), "gather": one_after_another})
    opened = await open_store(made.EugoSpawner.store_url)
    source = Source(Path(made.EugoSpawner.catalog_file), kinds={}, images={})

    async def store() -> Any:
        return opened

    async def settings() -> Any:
        source.take(await opened.changes.since(source.revision))
        return source.settings

    async with await kubernetes.new_client_from_config(os.environ["KUBECONFIG"]) as client:
        for user in order.users if order.what == "terminate" else ():
            await opened.workspaces.move(
                user, "", State.TERMINATING, actor=user, at=ClockAhead().now(),
                operation=Operation.TERMINATE,
            )  # fmt: skip
        make = SERVICES[order.what]
        sweep_once = make(
            client=client, namespace=namespace, store=store, settings=settings,
            hub=SpawnersHub(made),
        )  # fmt: skip
        swept = await until(sweep_once(), order)
    await opened.close()
    return asdict(swept)


def accountant(*, client: Any, namespace: str, store: Any, settings: Any, **_: Any) -> Any:
    return Accountant(
        cluster=Accounts(client, namespace), open_store=store, settings=settings, lease=HELD,
        clock=ClockAhead(PAST_GRACE), slug=slug_of,
    ).sweep_once  # fmt: skip


def culler(*, store: Any, settings: Any, hub: Any, **_: Any) -> Any:
    return Culler(
        open_store=store, settings=settings, hub=hub, lease=HELD, clock=ClockAhead(PAST_IDLE)
    ).sweep_once


def closer(*, client: Any, namespace: str, store: Any, hub: Any, **_: Any) -> Any:
    return Closer(
        cluster=Cluster(client, namespace), hub=hub, open_store=store, clock=ClockAhead(PAST_GRACE)
    ).sweep_once


def terminator(*, client: Any, namespace: str, store: Any, hub: Any, **_: Any) -> Any:
    return Terminator(
        cluster=Destroying(client, namespace), hub=hub, open_store=store, clock=ClockAhead(),
        is_held=lambda: True,
    ).sweep_once  # fmt: skip


SERVICES = {"settle": accountant, "cull": culler, "close": closer, "terminate": terminator}


def answer(words: object) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main() -> None:
    namespace, catalog, store = sys.argv[1:]
    made = configured(namespace, catalog, store)
    cluster.create_pod = on_extra_nodes(cluster.create_pod)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        child = os.fork()
        if child == 0:
            try:
                came_to = asyncio.run(carry_out(order, namespace, made))
                answer({"came_to": came_to})
            except BaseException as error:  # noqa: BLE001 - the test is told
                answer({"error": repr(error)})
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            answer({"died": True})


if __name__ == "__main__":
    main()
