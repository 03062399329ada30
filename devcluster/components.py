"""
The command line of every program, and the files that it reads: pure, and all in one place.

What real Kubernetes would do is done: an identity each, both ends of every connection verified,
Node and RBAC authorization, nobody anonymous. What differs from a real cluster's flags is what one
machine without privileges asks for, and says why beside it. Flags are upstream's; see the reference
pages of each component, and the kubelet's configuration v1beta1.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import credentials, gpus, node, objects
from .addresses import LOOPBACK
from .layout import ETCD_SOCKET
from .supervisor import Program

if TYPE_CHECKING:
    from pathlib import Path

    from .addresses import Addresses
    from .inventory import Inventory
    from .layout import Layout

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
RUNTIME = "runtime"
KUBELET = "kubelet"
GPU_DRIVER = "gpu-driver"
PROVISIONER = "provisioner"
NODES = "nodes"

ALL = (
    ETCD, API_SERVER, CONTROLLER_MANAGER, SCHEDULER, RUNTIME, KUBELET, GPU_DRIVER, PROVISIONER,
    NODES,
)  # fmt: skip

_SERVICE_RANGE = "10.96.0.0/16"

_NOWHERE = "192.0.2.1"
"""
What the API server advertises (RFC 5737, for documentation).

It refuses to advertise a loopback address and looks for a default route otherwise; nobody follows
the advertisement, because nothing here serves Service addresses.
"""

_MANY_REQUESTS = ("--kube-api-qps=1000", "--kube-api-burst=2000")
"""
Without limits that are meant for an API server of many: 500 Pods at once take 4 s instead of 8.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What all command lines are made from."""

    layout: Layout
    addresses: Addresses
    inventory: Inventory

    kube: Path
    """The program that is all of upstream's."""

    runtime: Path
    """Our container runtime."""

    foreign_runtime: str | None = None
    """A CRI endpoint that takes our runtime's place."""

    in_user_namespace: bool = False
    """Whether the node lives in one."""

    @property
    def node(self) -> str:
        """Name of the Node that runs processes."""
        return self.inventory.node.name

    @property
    def kubelet_root(self) -> str:
        """
        The kubelet's folder, as the programs of the Node see it.

        A runtime of the machine's own sees no private mounts of ours; so there the kubelet runs
        outside, in a folder of its own.
        """
        if self.foreign_runtime is None:
            return node.KUBELET_ROOT
        return str(self.layout.node / "kubelet")

    @property
    def runtime_endpoint(self) -> str:
        """Where the kubelet finds its container runtime."""
        return self.foreign_runtime or f"unix://{node.KUBELET_ROOT}/runtime.sock"

    @property
    def runtime_state(self) -> str:
        """
        Folder of the runtime's state, below the kubelet's.

        Its name is the cluster's own: the runtime names cgroups after its path, and cgroups are the
        machine's, while the path above it is the same in every enclosure.
        """
        return f"runtime-{hashlib.sha256(bytes(self.layout.root)).hexdigest()[:8]}"

    @property
    def cdi(self) -> str:
        """Where the driver leaves what claims put into containers."""
        return "/var/run/cdi" if self.foreign_runtime else str(self.layout.node / "cdi")


def files(plan: Plan) -> dict[Path, str]:
    """Return the files that the programs read, by path."""
    config = plan.layout.config
    groups = [gpus.node_group(group) for group in plan.inventory.nodes]
    images = {
        reference: image.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
        for reference, image in plan.inventory.images.items()
    }
    return {
        # JSON is YAML, and quick to write.
        config / "devices.yaml": json.dumps({"drivers": gpus.drivers(plan.inventory)}, indent=1),
        config / "nodes.yaml": json.dumps({"nodes": groups}, indent=1),
        config / "images.yaml": json.dumps(images, indent=1),
        config / "kubelet.yaml": json.dumps(kubelet_configuration(plan), indent=1),
    }


def etcd(plan: Plan) -> Program:
    """
    Return the database.

    On a socket in a closed folder, for it asks nobody for a password. It does not wait for the
    disk: a process killed at any point loses nothing, only a machine that loses power may.
    """
    return _kube(
        plan,
        ETCD,
        f"--data-dir={plan.layout.etcd}",
        f"--listen-client-urls=unix://{ETCD_SOCKET}",
        "--listen-peer-urls=unix://run/etcd-peer.sock",
        "--unsafe-no-fsync",
    )


def api_server(plan: Plan) -> Program:
    """Return the API server."""
    pki = plan.layout.pki
    return _kube(
        plan,
        API_SERVER,
        f"--etcd-servers=unix://{ETCD_SOCKET}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={plan.addresses.api_port}",
        f"--advertise-address={_NOWHERE}",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={pki / 'kube-apiserver.crt'}",
        f"--tls-private-key-file={pki / 'kube-apiserver.key'}",
        f"--cert-dir={plan.layout.run}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-account-key-file={pki / 'sa.key'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={_SERVICE_RANGE}",
        "--allow-privileged=true",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / f'{credentials.API_SERVER.name}.crt'}",
        f"--kubelet-client-key={pki / f'{credentials.API_SERVER.name}.key'}",
        "--profiling=false",
    )


def controller_manager(plan: Plan) -> Program:
    """Return the controllers."""
    return _kube(
        plan,
        CONTROLLER_MANAGER,
        f"--kubeconfig={plan.layout.kubeconfig(CONTROLLER_MANAGER)}",
        f"--root-ca-file={plan.layout.pki / 'ca.crt'}",
        f"--service-account-private-key-file={plan.layout.pki / 'sa.key'}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
        *_MANY_REQUESTS,
    )


def scheduler(plan: Plan) -> Program:
    """Return the scheduler."""
    return _kube(
        plan,
        SCHEDULER,
        f"--kubeconfig={plan.layout.kubeconfig(SCHEDULER)}",
        "--leader-elect=false",
        "--secure-port=0",
        "--profiling=false",
        *_MANY_REQUESTS,
    )


def runtime(plan: Plan) -> Program:
    """Return the container runtime."""
    return Program(
        name=RUNTIME,
        command=(
            str(plan.runtime),
            f"--socket={node.KUBELET_ROOT}/runtime.sock",
            f"--state={node.KUBELET_ROOT}/{plan.runtime_state}",
            f"--images={plan.layout.config / 'images.yaml'}",
            f"--cdi={plan.cdi}",
            f"--network={plan.addresses.pod_network}",
        ),
        enclosed=True,
    )


def kubelet(plan: Plan) -> Program:
    """
    Return the kubelet.

    It may have no loopback address of its own finding, and no other is wanted: as with an external
    cloud provider it waits until somebody writes the Node's addresses (`objects.node_addresses`).
    """
    labels = ",".join(f"{key}={value}" for key, value in plan.inventory.node.labels.items())
    return _kube(
        plan,
        KUBELET,
        f"--config={plan.layout.config / 'kubelet.yaml'}",
        f"--kubeconfig={plan.layout.kubeconfig(KUBELET)}",
        f"--root-dir={plan.kubelet_root}",
        f"--hostname-override={plan.node}",
        "--cloud-provider=external",
        *([f"--node-labels={labels}"] if labels else []),
        enclosed=plan.foreign_runtime is None,
    )


def gpu_driver(plan: Plan) -> Program:
    """Return the DRA driver of GPUs that are not there."""
    return _kube(
        plan,
        GPU_DRIVER,
        f"--kubeconfig={plan.layout.kubeconfig(GPU_DRIVER)}",
        f"--node={plan.node}",
        f"--kubelet-root={plan.kubelet_root}",
        f"--cdi={plan.cdi}",
        f"--devices={plan.layout.config / 'devices.yaml'}",
        enclosed=plan.foreign_runtime is None,
    )


def provisioner(plan: Plan) -> Program:
    """
    Return what makes volumes.

    In the enclosure, where users of a range have their names: it must be able to remove what they
    wrote.
    """
    return _kube(
        plan,
        PROVISIONER,
        f"--kubeconfig={plan.layout.kubeconfig(PROVISIONER)}",
        f"--path={plan.layout.volumes}",
        f"--name={objects.PROVISIONER_NAME}",
        enclosed=plan.foreign_runtime is None,
    )


def nodes(plan: Plan) -> Program:
    """Return what keeps Nodes without machines."""
    return _kube(
        plan,
        NODES,
        f"--kubeconfig={plan.layout.kubeconfig(NODES)}",
        f"--nodes={plan.layout.config / 'nodes.yaml'}",
    )


def kubelet_configuration(plan: Plan) -> dict[str, Any]:
    """Return the kubelet's configuration file (v1beta1)."""
    pki = plan.layout.pki
    nothing = dict.fromkeys(("nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%")
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": LOOPBACK,
        "port": plan.addresses.kubelet_port,
        "readOnlyPort": 0,
        "healthzPort": 0,
        "tlsCertFile": str(pki / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet-server.key"),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": plan.runtime_endpoint,
        # Not the machine's cgroups: containers get their own from the runtime where it may.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        # A kubelet would otherwise leave iptables chains on the machine.
        "makeIPTablesUtilChains": False,
        "maxPods": plan.inventory.node.pods,
        # Images are names here: there is nothing to be gentle to (50 Pods: 45 s with the defaults).
        "registryPullQPS": 0,
        "serializeImagePulls": False,
        "eventRecordQPS": 0,
        # A claim whose driver was away is prepared again only when the Pod's turn comes: by default
        # after a minute, because a node may have a hundred Pods (measured: 73 s after a kill).
        "syncFrequency": "10s",
        "imageGCHighThresholdPercent": 100,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        # A disk that fills up is the machine's own affair.
        "evictionHard": {"memory.available": "100Mi", **nothing},
        "clusterDNS": ["10.96.0.10"],
        "resolvConf": "",
        "nodeStatusUpdateFrequency": "5s",
        "featureGates": {"KubeletInUserNamespace": True} if plan.in_user_namespace else {},
    }


def _kube(plan: Plan, name: str, *arguments: str, enclosed: bool = False) -> Program:
    return Program(name=name, command=(str(plan.kube), name, *arguments), enclosed=enclosed)
