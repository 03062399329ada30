"""The export service on a port of this machine, and a cluster whose Pods are exporters as processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from eugospawner.manifests import labels, names
from eugospawner.policy.units import parse_memory
from eugospawner.policy.volumes import HOME
from eugospawner.slugs import slug_of
from eugospawner.source import Source
from eugospawner.store import Wish
from hub_services.common.newest import Newest
from hub_services.common.serving import Place
from hub_services.export import manifest
from hub_services.export.__main__ import make_app, make_sweeper
from hub_services.export.cluster import Claim, Exporter
from hub_services.export.exporter.terms import ADDRESS
from hub_services.export.exporters import Exporters, Means
from hub_services.export.lounge import Lounge
from hub_services.export.measuring import Measurer
from hub_services.export.office import Office
from hub_services.export.resizing import Resizer
from hub_services.export.restoring import Restorer
from hub_services.export.service import Preparer, Rounds
from hub_services.export.storeroom import Storeroom
from tests.factories.sessions import a_demand
from tests.integration.quota.servers import Running
from tests.unit.hub_services.reaper.worlds import a_new_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from tornado import web

ROOT = Path(__file__).parents[3]
DAY = timedelta(days=1)
GIB = 1 << 30


@dataclass
class Pod:
    """A Pod, and the process that it is."""

    manifest: dict[str, Any]
    process: subprocess.Popen[bytes]
    address: str
    created_at: datetime
    is_going: bool = False
    never_ready: bool = False

    @property
    def export(self) -> str:
        return str(self.manifest["metadata"]["labels"][manifest.EXPORT])

    @property
    def is_restore(self) -> bool:
        return manifest.RESTORE in self.manifest["metadata"]["labels"]


@dataclass
class ProcessCluster:
    """Volumes are folders; an exporter is a process that reads the folders of its claims."""

    folder: Path
    now: Callable[[], datetime]
    pods: list[Pod] = field(default_factory=list)
    #: Claims that are there, by owner and key of the volume.
    volumes: dict[tuple[str, str], Path] = field(default_factory=dict)
    #: What the volumes ask for and have, as far as it is not the usual.
    claimed: dict[tuple[str, str], Claim] = field(default_factory=dict)
    #: What enlarging raises: `None`, nothing.
    fixed: Exception | None = None
    node: manifest.Attached | None = None
    asked_projects: tuple[str, ...] = ()
    fails: Exception | None = None
    created: int = 0

    def volume(self, owner: str, key: str = HOME) -> Path:
        """Return the folder that is a volume of *owner*, made if it is not there."""
        claim = f"home-{owner}" if key == HOME else names.volume_claim_name(owner, key)
        path = self.folder / claim
        path.mkdir(exist_ok=True)
        self.volumes[owner, key] = path
        return path

    async def claims(self) -> tuple[Claim, ...]:
        self._fail()
        return tuple(self.claim(*each) for each in self.volumes)

    async def claims_of(self, owner: str, keys: Any) -> tuple[Claim, ...]:
        self._fail()
        wanted = {HOME, *keys}
        return tuple(
            self.claim(*each) for each in self.volumes if each[0] == owner and each[1] in wanted
        )

    def claim(self, owner: str, key: str = HOME) -> Claim:
        """Return the claim of a volume."""
        usual = Claim(
            owner=owner, key=key,
            name=self.volumes[owner, key].name, uid=f"uid-{owner}-{key}", size_bytes=10 * GIB,
            capacity_bytes=10 * GIB, storage_class="standard", modes=("ReadWriteOnce",),
            awaits_restart=False, is_going=False,
        )  # fmt: skip
        return self.claimed.get((owner, key), usual)

    async def enlarge(self, claim: Claim, size_bytes: int) -> None:
        self._fail()
        if self.fixed is not None:
            raise self.fixed
        self.claimed[claim.owner, claim.key] = replace(claim, size_bytes=size_bytes)

    async def attached(
        self, _owner_slug: str, _claims: Any, projects: Any = ()
    ) -> manifest.Attached | None:
        self.asked_projects = tuple(projects)
        return self.node

    async def make(self, claim: dict[str, Any]) -> None:
        self._fail()
        owner = claim["metadata"]["annotations"][labels.USER]
        key = claim["metadata"]["labels"][labels.VOLUME]
        self.volume(owner, key)
        assert claim["metadata"]["name"] == self.volumes[owner, key].name
        size = parse_memory(claim["spec"]["resources"]["requests"]["storage"])
        self.claimed[owner, key] = replace(
            self.claim(owner, key), size_bytes=size, capacity_bytes=size
        )

    async def exporters(self, export: str = "") -> tuple[Exporter, ...]:
        self._fail()
        return tuple(self._seen(each) for each in self.pods if export in {"", each.export})

    async def create(self, pod: dict[str, Any]) -> None:
        self._fail()
        self.created += 1
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = f"127.0.0.1:{free.getsockname()[1]}"
        (container,) = pod["spec"]["containers"]
        claims = {
            each["name"]: self.folder / each["persistentVolumeClaim"]["claimName"]
            for each in pod["spec"]["volumes"]
            if "persistentVolumeClaim" in each
        }
        mounted = {
            each["mountPath"]: claims[each["name"]]
            for each in container["volumeMounts"]
            if each["name"] in claims
        }
        environment = {each["name"]: each.get("value", "") for each in container["env"]}
        for path, place in mounted.items():
            environment = {
                key: each.replace(f'"{path}"', f'"{place}"') for key, each in environment.items()
            }
        process = subprocess.Popen(  # noqa: ASYNC220 - it begins at once
            [sys.executable, *container["command"][1:]],
            env=os.environ | environment | {ADDRESS: address, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
        )
        self.pods.append(Pod(pod, process, address, self.now()))

    async def delete(self, exporter: Exporter) -> None:
        self._fail()
        for each in [each for each in self.pods if str(each.process.pid) == exporter.uid]:
            each.process.terminate()
            each.process.wait(10)
            self.pods.remove(each)

    def kill(self) -> None:
        """Have every exporter die as a Node does."""
        for each in self.pods:
            each.process.send_signal(signal.SIGKILL)
            each.process.wait(10)

    def end(self) -> None:
        """End what runs."""
        self.kill()
        self.pods.clear()

    def _seen(self, pod: Pod) -> Exporter:
        has_ended = pod.process.poll() is not None
        return Exporter(
            name=pod.manifest["metadata"]["name"],
            uid=str(pod.process.pid),
            export=pod.export,
            address=pod.address,
            is_ready=not has_ended and not pod.never_ready and _answers(pod.address),
            created_at=pod.created_at,
            is_going=pod.is_going or has_ended,
            trouble="",
            is_restore=pod.is_restore,
        )

    def _fail(self) -> None:
        if self.fails is not None:
            raise self.fails


def _answers(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


@dataclass
class Exports(Running):
    """The service in a thread of its own, until `stop`."""

    service: str = "export"
    woken: int = 0

    async def application(self) -> web.Application:
        self.cluster = ProcessCluster(self.folder, now=self.clock.now)
        self._session = aiohttp.ClientSession()
        self.newest = Newest(Source(self.catalog, kinds={}, images={}), self.opened)

        async def priority_class() -> str:
            return "eugo-default"

        means = Means(image="exporter:1", priority_class=priority_class, slug=slug_of)
        self.exporters = Exporters(self.cluster, self._session, means)
        self.office = Office(
            newest=self.newest, open_store=self.opened, exporters=self.exporters, clock=self.clock,
            slug=slug_of, prefix=self.prefix, wake=self._wake,
        )  # fmt: skip
        self.lounge = Lounge(
            newest=self.newest, open_store=self.opened, lives=self.office.lives,
            exporters=self.exporters, clock=self.clock, prefix=self.prefix,
        )  # fmt: skip
        self.measurer = Measurer(
            open_store=self.opened, exporters=self.exporters, cluster=self.cluster,
            clock=self.clock, every=DAY, settled=timedelta(),
        )  # fmt: skip
        self.resizer = Resizer(open_store=self.opened, cluster=self.cluster, clock=self.clock)
        self.storeroom = Storeroom(
            newest=self.newest, open_store=self.opened, cluster=self.cluster, resizer=self.resizer,
            clock=self.clock, slug=slug_of, storage_class="", wake=self._wake,
        )  # fmt: skip
        self.restorer = Restorer(
            office=self.office, open_store=self.opened, exporters=self.exporters,
            clock=self.clock,
        )  # fmt: skip
        self.preparer = self.another()
        self.rounds = Rounds(self.preparer, self.measurer, self.resizer)
        self.sweeper = make_sweeper(self.preparer.sweep_once, self.clock, lambda: self.silence)
        return make_app(
            Place(url="", prefix=self.prefix), office=self.office, lounge=self.lounge,
            storeroom=self.storeroom, restorer=self.restorer,
            exporters=self.exporters, newest=self.newest, sweeper=self.sweeper, store=self.opened,
        )  # fmt: skip

    def another(self) -> Preparer:
        """Return what another process of the service would prepare with."""
        return Preparer(
            open_store=self.opened, exporters=self.exporters, cluster=self.cluster, lease=Held(),
            clock=self.clock, errands=lambda: self.measurer.errands,
        )  # fmt: skip

    async def close(self) -> None:
        await self.measurer.close()
        await self.preparer.close()
        # Restores of whoever did not wait for their end; the server's own tasks close its connections.
        rest = [each for each in asyncio.all_tasks() if "unpack" in str(each.get_coro())]
        for each in rest:
            each.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        self.cluster.end()
        await self._session.close()
        # What was cut off closes in the loop's next rounds.
        await asyncio.sleep(0.05)

    def _wake(self) -> None:
        self.woken += 1

    def has_workspace(
        self, owner: str, server: str = "lab", options: Any = None, project: str | None = None
    ) -> Path:
        """Have *owner* have a workspace that was stopped; return its home."""

        async def begin() -> None:
            session = a_new_session(
                id=f"of-{owner}-{server}", owner=owner, workspace=server, actor=owner,
                admitted_at=self.clock.now(),
                project=project or f"personal-{owner}",
                profile="notebook-cpu-small",
            )  # fmt: skip
            wish = Wish(name=server, options=options or {})
            await self.store.sessions.open(
                session, a_demand(session, zone="Europe/Berlin"), wish=wish
            )
            await self.store.sessions.bind(session.id, granted_percent=0, at=self.clock.now())
            await self.store.sessions.end(session.id, reason="stopped", at=self.clock.now())

        self.run(begin())
        return self.cluster.volume(owner)

    def go_round(self) -> Any:
        """Sweep all, and wait for what that began."""

        async def gone() -> Any:
            found = await self.rounds.sweep_once()
            await asyncio.gather(*(task for _, task in self.measurer._at_work.values()))
            return found

        return self.run(gone())

    def sweep(self, preparer: Preparer | None = None) -> Any:
        """Sweep, and wait for what that began."""
        which = preparer or self.preparer

        async def swept() -> Any:
            found = await which.sweep_once()
            for each in list(which._at_work.values()):
                await each
            return found

        return self.run(swept())


class Held:
    """A lease that is."""

    is_held = True
