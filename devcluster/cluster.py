"""
One cluster: what is started in which order, when it counts as ready, how it ends.

The order follows who needs whom. Database, API server and the Node's enclosure begin together; the
rest waits for the API server, because each of its clients would only retry against a closed door.
*Ready* means that a Pod with a claim and a volume would start now: the API server says so, our own
objects are applied, this very run's kubelet reports its Node Ready, every driver serves and has
published its devices, the default ServiceAccount and StorageClass exist. Waiting is polling at a
short interval with a limit, and a limit that is passed quotes the log of whoever was waited for.

It ends the other way round: first whoever would start containers again, then the containers, then
API server and database. Whatever the data folder holds is there at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from . import components, credentials, gpus, hardware, identities, objects
from .api import Api, Refused, Unreachable
from .errors import ExitCode, Trouble
from .layout import write_private
from .node import (
    Enclosure,
    is_in_user_namespace,
    needs_user_namespace,
    prepare_view,
)
from .supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .components import Plan
    from .supervisor import Program

_POLL_SECONDS = 0.05
_API_SECONDS = 60.0
_NODE_SECONDS = 60.0
"""Ten times what a busy machine of two cores needs."""

_TEND_SECONDS = 2.0


class Cluster:
    """The programs of one plan, running."""

    def __init__(
        self, plan: Plan, *, environment: Mapping[str, str], report: Callable[[str], None]
    ) -> None:
        """
        Args:
            environment: Of all programs.

            report: Told in a line what is going on.
        """
        self._plan = plan
        self._supervisor = Supervisor(plan.layout, environment=environment, report=report)
        self._report = report
        self._api: Api | None = None
        self._started_at = datetime.min.replace(tzinfo=UTC)
        self._tending: asyncio.Task[None] | None = None

    @property
    def failure(self) -> asyncio.Future[Trouble]:
        """Done when the cluster cannot go on."""
        return self._supervisor.failure

    async def start(self, *, kubeconfig: Path, now: datetime) -> None:
        """
        Start everything, and return when the cluster is ready.

        Args:
            kubeconfig: Where the admin's credential is written.

            now: Aware.

        Raises:
            Trouble: It does not come up; says why.
        """
        plan, layout = self._plan, self._plan.layout
        self._started_at = now
        authority = credentials.provide(
            layout, node=plan.node, server=plan.addresses.server, now=now
        )
        admin = authority.kubeconfig(credentials.ADMIN, server=plan.addresses.server)
        self._api = Api.opened(
            port=plan.addresses.api_port, pki=layout.pki, identity=credentials.ADMIN.name
        )
        self._clear_traces()
        for path, content in components.files(plan).items():
            write_private(path, content)

        self._supervisor.start(components.etcd(plan))
        self._supervisor.start(components.api_server(plan))
        if plan.foreign_runtime is None:
            await self._supervisor.enclose(self._enclosure())
            self._supervisor.start(components.runtime(plan))
        await self._wait(self._api_server, seconds=_API_SECONDS, blamed=components.API_SERVER)

        write_private(kubeconfig, admin)
        for program in (
            components.controller_manager(plan),
            components.scheduler(plan),
            components.kubelet(plan),
        ):
            self._supervisor.start(program)
        await self._apply_objects()
        for program in self._agents():
            self._supervisor.start(program)
        await self._wait(self._node, seconds=_NODE_SECONDS, blamed=components.KUBELET)
        self._tending = asyncio.create_task(self._tend(), name="tend the node")
        await self._wait(self._devices, seconds=_NODE_SECONDS, blamed=components.GPU_DRIVER)
        await self._wait(
            self._service_account, seconds=_NODE_SECONDS, blamed=components.CONTROLLER_MANAGER
        )
        self._supervisor.declare_ready()

    async def stop(self) -> None:
        """End everything; safe at any point of a start."""
        if self._tending is not None:
            self._tending.cancel()
        await self._supervisor.stop(
            (
                components.NODES, components.GPU_DRIVER, components.PROVISIONER,
                components.SCHEDULER, components.CONTROLLER_MANAGER, components.KUBELET,
            )
        )  # fmt: skip
        await asyncio.gather(self._stop_node(), self._supervisor.stop((components.API_SERVER,)))
        await self._supervisor.stop((components.ETCD,))

    async def _stop_node(self) -> None:
        await self._supervisor.stop((components.RUNTIME,))
        await self._supervisor.close_enclosure()

    def _enclosure(self) -> Enclosure:
        plan = self._plan
        mapping = None
        if needs_user_namespace():
            mapping = identities.chosen(plan.layout.root / "identities.json")
        return Enclosure(
            view=prepare_view(
                plan.layout.node,
                machine=hardware.binds(plan.inventory.node, plan.layout.node / "hardware"),
            ),
            mapping=mapping,
            log=plan.layout.log("enclosure"),
        )

    def _agents(self) -> list[Program]:
        plan = self._plan
        agents = [components.provisioner(plan)]
        if gpus.drivers(plan.inventory):
            agents.append(components.gpu_driver(plan))
        if plan.inventory.nodes:
            agents.append(components.nodes(plan))
        return agents

    def _clear_traces(self) -> None:
        """Remove what only means something while its program runs, and keep one earlier log."""
        layout = self._plan.layout
        for file in (*layout.run.iterdir(), layout.node / "kubelet" / "runtime.sock"):
            file.unlink(missing_ok=True)
        for folder in ("plugins_registry", "device-plugins", "pod-resources"):
            shutil.rmtree(layout.node / "kubelet" / folder, ignore_errors=True)
        for log in layout.logs.glob("*.log"):
            log.replace(log.with_name(f"{log.name}.1"))

    async def _apply_objects(self) -> None:
        wanted = objects.wanted(self._plan.inventory)
        await asyncio.gather(
            *(asyncio.to_thread(self._apply, path, content) for path, content in wanted.items())
        )
        for place in objects.managed_lists():
            listed = await asyncio.to_thread(
                self._client.get, f"{place}?labelSelector={_selector()}"
            )
            names = [item["metadata"]["name"] for item in listed["items"]]
            for name in names:
                if f"{place}/{name}" not in wanted:
                    await asyncio.to_thread(self._client.delete, f"{place}/{name}")

    def _apply(self, path: str, content: dict[str, Any]) -> None:
        try:
            self._client.apply(path, content)
        except Refused as refusal:
            if refusal.status != 422:  # noqa: PLR2004  # a field that may not change
                raise Trouble(
                    problem=f"The API server refused {path}: {refusal}.",
                    remedy="If it comes from the inventory, correct it there; else report it.",
                    exit_code=ExitCode.FAILED,
                ) from refusal
            self._client.delete(path)
            self._client.apply(path, content)

    @property
    def _client(self) -> Api:
        if self._api is None:
            message = "the cluster has not been started"
            raise RuntimeError(message)
        return self._api

    # What readiness is made of. Each says what is missing.

    def _api_server(self) -> str | None:
        answer = self._client.get("/readyz")
        return None if answer == "ok" else f"the API server is not ready: {answer}"

    def _node(self) -> str | None:
        name = self._plan.node
        node = self._client.get(f"/api/v1/nodes/{name}")
        self._initialize(node)
        for condition in node["status"].get("conditions", []):
            if condition["type"] == "Ready":
                seen = datetime.fromisoformat(condition["lastHeartbeatTime"])
                # Whole seconds; what an earlier run reported does not count.
                if seen < self._started_at.replace(microsecond=0):
                    return f"the Node {name} has not been heard of yet"
                if condition["status"] == "True":
                    return None
                return f"the Node {name} is not Ready: {condition['message']}"
        return f"the Node {name} has reported nothing yet"

    def _initialize(self, node: dict[str, Any]) -> None:
        """Do for *node* what a cloud's controller does for a new machine."""
        path = f"/api/v1/nodes/{self._plan.node}"
        addresses = objects.node_addresses(self._plan.node)
        if node["status"].get("addresses") != addresses["status"]["addresses"]:
            self._client.merge(f"{path}/status", addresses)
        if any(
            taint["key"] == objects.UNINITIALIZED_TAINT for taint in node["spec"].get("taints", [])
        ):
            self._client.merge(path, objects.without_taint(node))

    def _devices(self) -> str | None:
        registry = self._plan.layout.node / "kubelet" / "plugins_registry"
        slices = self._client.get("/apis/resource.k8s.io/v1/resourceslices")["items"]
        for driver in gpus.drivers(self._plan.inventory):
            name = driver["name"]
            of_driver = [
                entry["spec"]
                for entry in slices
                if entry["spec"]["driver"] == name
                and entry["spec"].get("nodeName") == self._plan.node
            ]
            if not of_driver or len(of_driver) < of_driver[0]["pool"]["resourceSliceCount"]:
                return f"the driver {name} has not published its devices"
            if not any(name in socket.name for socket in registry.glob("*")):
                return f"the driver {name} has not offered itself to the kubelet"
        return None

    def _service_account(self) -> str | None:
        self._client.get("/api/v1/namespaces/default/serviceaccounts/default")
        return None

    async def _tend(self) -> None:
        """Do it again for a Node that was deleted and registered itself anew."""
        while True:
            await asyncio.sleep(_TEND_SECONDS)
            with contextlib.suppress(Unreachable, Refused):
                node = await asyncio.to_thread(self._client.get, f"/api/v1/nodes/{self._plan.node}")
                await asyncio.to_thread(self._initialize, node)

    async def _wait(self, probe: Callable[[], str | None], *, seconds: float, blamed: str) -> None:
        """
        Wait until *probe* finds nothing missing.

        Raises:
            Trouble: After *seconds*, or when a program has been given up.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            try:
                missing = await asyncio.to_thread(probe)
            except (Unreachable, Refused) as error:
                missing = str(error)
            if missing is None:
                return
            if self.failure.done():
                raise self.failure.result()
            if loop.time() > deadline:
                raise Trouble(
                    problem=f"The cluster is not ready after {seconds:.0f} s: {missing}.",
                    remedy=f"The log {self._plan.layout.log(blamed)} ends with:\n"
                    f"{self._supervisor.tail(blamed)}",
                    exit_code=ExitCode.FAILED,
                )
            await asyncio.sleep(_POLL_SECONDS)


def in_user_namespace() -> bool:
    """Tell whether the Node's programs will live in a user namespace."""
    return needs_user_namespace() or is_in_user_namespace()


def _selector() -> str:
    return "%2C".join(f"{key}%3D{value}" for key, value in objects.MANAGED.items())
