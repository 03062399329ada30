"""
One run of the demo, from the first step to the last process.

Steps go in order, each said before it begins, under one watch: a signal, or the end of any child,
breaks off whatever is being waited for. The way down is always the same, whatever led to it: the
ready file first, so that nobody comes in; then the hub, which stops the workspaces it knows; then
the cluster under it; then whatever is left. A second Ctrl-C skips the waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import yaml

from eugospawner import store
from eugospawner.policy.errors import ConfigError, StoreError
from hub_services.common.clock import SystemClock

from . import cluster, code_server, hub, images, opener, people, ports, processes, seed, sso, tools
from .environment import Environment, say
from .proxy import PROXY
from .trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from pathlib import Path

    from .options import Options
    from .workdir import Workdir

Outcome = TypeVar("Outcome")

HUB_SECONDS = 90
"""How long the hub may take to answer: 3 s are usual, and upgrading its tables takes longer."""

CLUSTER_GRACE_SECONDS = 20.0
HUB_GRACE_SECONDS = 20.0
SSO_GRACE_SECONDS = 3.0
"""The hub waits for the Pods it stops, and their grace period is theirs."""


ECHO_SECONDS = 1.0
"""A second signal within this time is the first one's echo: timeout(1), for instance, signals its
child and then the child's process group. Later, it is an impatient user."""


class Stopped(Exception):
    """The user asked for the end."""


@dataclass(slots=True)
class Run:
    """The demo while it runs: its children, and what may break it off."""

    root: Path
    options: Options
    workdir: Workdir
    children: list[processes.Child] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    _asked_at: float | None = None
    _readers: set[asyncio.Task[None]] = field(default_factory=set)

    async def until_stopped(self) -> None:
        """
        Start everything, and return when the user has asked for the end and all of it ended.

        Raises:
            Trouble: Something could not be started, or ended by itself.
        """
        if self.options.open_browser:
            opener.cut_loose(self.workdir.ready)
        processes.become_subreaper()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop)
        try:
            with contextlib.suppress(Stopped):
                await self._start()
                await self._watched(asyncio.Event().wait())
        finally:
            await self._end()

    def _asked_to_stop(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._asked_at is None:
            self._asked_at = now
            self.stop.set()
        elif now - self._asked_at > ECHO_SECONDS:
            self.hurry.set()

    async def _start(self) -> None:
        port = ports.claim(self.options.port)
        kubeconfig = self.options.kubeconfig or await self._start_cluster()
        settings = self._settings(port)
        hub_kubeconfig = await self._watched(self._prepare(kubeconfig))
        if settings.sign_in is not None:
            await self._start_provider(settings, at=settings.sign_in)
        await self._start_hub(settings, kubeconfig=hub_kubeconfig)
        self._announce(settings, kubeconfig=kubeconfig)

    async def _start_cluster(self) -> Path:
        """Start the embedded Kubernetes and return its admin's kubeconfig when it is ready."""
        say("Starting Kubernetes …")
        default = yaml.safe_load((self.root / "devcluster" / "inventory.yaml").read_text("utf-8"))
        inventory = images.inventory(
            default, catalog=self.options.catalog, programs=self._programs()
        )
        self.workdir.write("inventory.yaml", inventory)
        kubeconfig = self.workdir.folder / "kubeconfig"
        child = await processes.start(
            cluster.embedded_command(self.workdir, kubeconfig=kubeconfig),
            name="Kubernetes",
            log=self.workdir.folder / "cluster" / "log",
            environment=os.environ | {"PYTHONUNBUFFERED": "1"},
            output=asyncio.subprocess.PIPE,
            folder=self.root,
            grace_seconds=CLUSTER_GRACE_SECONDS,
        )
        self.children.append(child)
        ready = asyncio.Event()
        reader = asyncio.create_task(_repeat(child, until=ready), name="words of the cluster")
        self._readers.add(reader)
        await self._watched(ready.wait())
        return kubeconfig

    def _programs(self) -> images.Programs:
        environment = Environment(self.root)
        installed = code_server.is_installed(environment.share)
        return images.Programs(
            venv=environment.folder,
            more=(code_server.folder(environment.share),) if installed else (),
        )

    def _settings(self, port: int) -> hub.Settings:
        remembered = self.workdir.remembered_ports()
        hub_port, proxy_api_port, sso_port, *others = ports.choose(
            3 + len(hub.SERVICES), remembered=remembered
        )
        service_ports = dict(zip(hub.SERVICES, others, strict=True))
        self.workdir.remember_ports(
            hub=hub_port, proxy_api=proxy_api_port, sso=sso_port, **service_ports
        )
        environment, node = Environment(self.root), self._node()
        # What another cluster can run, this machine cannot know.
        embedded = self.options.kubeconfig is None
        missing = images.unavailable(self.options.catalog, self._programs()) if embedded else {}
        return hub.Settings.of(
            self.workdir,
            port=port,
            hub_address=self.options.hub_address,
            hub_port=hub_port,
            proxy_api_port=proxy_api_port,
            service_ports=service_ports,
            # The hub starts the proxy, and a hub that is killed cannot stop it.
            proxy_command=(
                *processes.dying_with_its_parent(),
                str(node.executable),
                str(PROXY.installed(environment.share)),
            ),
            unavailable=missing,
            sign_in=sso.sign_in(sso_port) if self.options.sso else None,
        )

    def _node(self) -> tools.Node:
        node = tools.find_node(os.environ.get("PATH", ""), venv=Environment(self.root).folder)
        if node is None:
            raise Trouble(problem="No Node was found.", remedy="Run `scripts/demo`, not this file.")
        return node

    async def _start_provider(self, settings: hub.Settings, *, at: sso.SignIn) -> None:
        """Start the example provider and return when it answers."""
        say("Starting the example identity provider …")
        configuration = sso.settings(
            self.workdir,
            settings.secrets,
            at=at,
            hub=settings.url,
            share=Environment(self.root).share,
        )
        child = await processes.start(
            sso.command(self.root, self._node().executable, configuration),
            name="The identity provider",
            log=self.workdir.folder / "log" / "sso.log",
            environment={**os.environ, "NODE_NO_WARNINGS": "1"},
            output=asyncio.subprocess.PIPE,
            folder=self.workdir.folder,
            grace_seconds=SSO_GRACE_SECONDS,
        )
        self.children.append(child)
        ready = asyncio.Event()
        reader = asyncio.create_task(_until_said(child, ready), name="words of the provider")
        self._readers.add(reader)
        await self._watched(ready.wait())

    async def _prepare(self, kubeconfig: Path) -> Path:
        """Make the cluster ready for the hub and return the hub's own kubeconfig."""
        say("Preparing the cluster: namespace, permissions and policies of helm-values/base …")
        helm_values = self.root / "helm-values"
        admin = cluster.Admin(kubeconfig, embedded=self.options.kubeconfig is None)
        await admin.prepare(base=helm_values / "base", catalog=self.options.catalog)
        return self.workdir.write("hub.kubeconfig", await admin.hub_kubeconfig())

    async def _prepare_store(self) -> str:
        """Bring the store's schema up to date, sow what the demo shows, and return its URL."""
        url = self.workdir.store_url
        try:
            await asyncio.to_thread(store.upgrade, url)
            await seed.sow(url, self.options.catalog, SystemClock().now())
        except ConfigError as error:
            remedy = f"Mend the catalog, or leave --catalog out: {self.options.catalog}"
            raise Trouble(problem=str(error), remedy=remedy) from error
        except StoreError as error:
            remedy = "Choose another folder with --data."
            raise Trouble(problem=str(error), remedy=remedy) from error
        return url

    async def _start_hub(self, settings: hub.Settings, *, kubeconfig: Path) -> None:
        say("Starting the hub …")
        url = await self._prepare_store()
        self.workdir.turn_hub_log()
        with self.workdir.hub_log.open("wb") as log:
            child = await processes.start(
                hub.command(self.root),
                name="The hub",
                log=self.workdir.hub_log,
                environment=hub.environment(
                    os.environ,
                    store_url=url,
                    catalog=self.options.catalog,
                    settings=self.workdir.write("hub.json", settings.to_json()),
                    kubeconfig=kubeconfig,
                    service_ports=settings.service_ports,
                    public_url=settings.url,
                ),
                output=log,
                folder=self.workdir.folder,
                grace_seconds=HUB_GRACE_SECONDS,
                umask=0o077,
            )
        self.children.append(child)
        try:
            async with asyncio.timeout(HUB_SECONDS):
                await self._watched(hub.answers(settings.url))
        except TimeoutError as error:
            raise _trouble(child, f"did not answer at {settings.url} in {HUB_SECONDS} s") from error

    def _announce(self, settings: hub.Settings, *, kubeconfig: Path) -> None:
        ready = {
            "url": settings.url,
            "namespace": cluster.NAMESPACE,
            "kubeconfig": str(kubeconfig),
            "admin_token": settings.secrets.admin_token,
            "users": people.sign_ins(settings.secrets),
        }
        self.workdir.write(self.workdir.ready.name, json.dumps(ready, indent=2))
        say(people.ready_line(settings.url, settings.secrets, sso=self.options.sso))

    async def _watched(self, work: Coroutine[object, object, Outcome]) -> Outcome:
        """
        Return what *work* returns, unless something ends the run before.

        Raises:
            Stopped: The user asked for the end.

            Trouble: A child ended by itself.
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self.stop.wait())
        ends = {asyncio.ensure_future(child.process.wait()): child for child in self.children}
        try:
            await asyncio.wait({task, stop, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise Stopped
            if task.done():
                return task.result()
            child = next(child for end, child in ends.items() if end.done())
            raise _trouble(child, f"ended by itself with code {child.process.returncode}")
        finally:
            for waiting in (task, stop, *ends):
                waiting.cancel()
            await asyncio.gather(task, stop, *ends, return_exceptions=True)

    async def _end(self) -> None:
        self.workdir.ready.unlink(missing_ok=True)
        if self.children:
            say("Stopping …")
        for child in reversed(self.children):
            await child.stop(hurry=self.hurry)
        await processes.sweep()
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)


async def _repeat(child: processes.Child, *, until: asyncio.Event) -> None:
    """Print what the cluster says, and set *until* once it is ready."""
    assert child.process.stdout is not None  # noqa: S101  # it was started with a pipe
    while line := await child.process.stdout.readline():
        text = line.decode("utf-8", "replace").rstrip()
        print(f"  {text}", flush=True)
        if text.startswith(cluster.READY_SIGN):
            until.set()


async def _until_said(child: processes.Child, ready: asyncio.Event) -> None:
    """Set *ready* once the provider says so; what else it says is of no use to anybody."""
    assert child.process.stdout is not None  # noqa: S101  # it was started with a pipe
    while line := await child.process.stdout.readline():
        if line.decode("utf-8", "replace").startswith(sso.READY_SIGN):
            ready.set()


def _trouble(child: processes.Child, what: str) -> Trouble:
    end = processes.tail(child.log)
    if not end:  # the cluster: it has a log for each part, and speaks to the terminal itself
        return Trouble(
            problem=f"{child.name} {what}.",
            remedy=f"Its own words stand above, and its parts' logs in {child.log}.",
        )
    return Trouble(
        problem=f"{child.name} {what}. Its last words:\n{end}\n",
        remedy=f"All of them stand in {child.log}.",
    )


def run(options: Options, *, root: Path, workdir: Workdir) -> None:
    """Run the demo in this process until it is stopped."""
    asyncio.run(Run(root=root, options=options, workdir=workdir).until_stopped())
