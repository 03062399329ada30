"""
Hostile Pods: what a hook could do to a good one, where it shows, and who else would stop it.

Each case changes one Pod of `gate_pods` and names the place that the manifest gate must point at.
`fence` is what the real API server says to it, as a part of its answer: the name of a policy of
helm-values/base, Pod Security, or Kubernetes' own checks. `GATE` means that the gate alone stops
it: the API server would take the Pod. The unit tests read the first half, and
tests/integration/base/test_gate_cases.py the second.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from tests.unit.eugospawner.gate_pods import good_pods

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = Any

#: Nobody but the gate.
GATE: Final = ""
PODS: Final = "violates PodSecurity"
GPU: Final = "eugo-gpu-needs-claim"
IMAGES: Final = "eugo-image-allowlist"
TOKEN: Final = "eugo-no-token"
SCHEDULING: Final = "eugo-scheduling"

#: In the place of a value: the field is taken away.
GONE: Final = object()

C0: Final = "spec.containers[0]"
SECURITY: Final = f"{C0}.securityContext"
MOUNTS: Final = f"{C0}.volumeMounts"
UNCONFINED: Final = {"type": "Unconfined"}
CONFINED: Final = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
SIDECAR: Final = {
    "name": "miner",
    "image": "registry.example/helper:1",
    "securityContext": CONFINED,
}


@dataclass(frozen=True, slots=True)
class Case:
    """
    One hostile Pod.

    Attributes:
        path: What the gate points at.
        changes: Place → value; `[+]` at the end of a place adds to a list.
        kind: The good Pod that is changed, as `gate_pods.OPTIONS` calls it.
    """

    name: str
    path: str
    changes: Mapping[str, Json]
    fence: str = GATE
    kind: str = "cpu"

    def manifest(self) -> Json:
        """Return the Pod."""
        manifest = good_pods()[self.kind].copy()
        for place, value in self.changes.items():
            put(manifest, place, value)
        return manifest


_PART: Final = re.compile(r"\['([^']+)'\]|\[(\+|\d+)\]|([^.\[\]]+)")


def put(manifest: Json, place: str, value: Json) -> None:
    """Change *manifest* at *place*; objects and lists on the way are made."""
    parts = [
        quoted or plain or (index if index == "+" else int(index))
        for quoted, index, plain in _PART.findall(place)
    ]
    at = manifest
    for part, after in pairwise(parts):
        empty: Json = [] if after == "+" or isinstance(after, int) else {}
        at = at[part] if isinstance(part, int) else at.setdefault(part, empty)
    if parts[-1] == "+":
        at.append(value)
    elif value is GONE:
        del at[parts[-1]]
    else:
        at[parts[-1]] = value


def a(
    name: str, place: str, value: Json, fence: str = GATE, *, kind: str = "cpu", path: str = ""
) -> Case:
    """Return the case of one change, which is what the gate points at unless *path* says else."""
    return Case(name, path or place, {place: value}, fence, kind)


def volume(name: str, source: Json, fence: str = GATE, path: str = "spec.volumes[1]") -> Case:
    """Return the case of a volume that nobody granted or declared."""
    place = f"{path}.{next(iter(source))}"
    return Case(name, place, {"spec.volumes[+]": {"name": "extra", **source}}, fence)


CASES: Final = (
    # The Node's
    a("network of the Node", "spec.hostNetwork", True, PODS),
    a("processes of the Node", "spec.hostPID", True, PODS),
    a("IPC of the Node", "spec.hostIPC", True, PODS),
    a("port of the Node", f"{C0}.ports[0].hostPort", 8888, PODS),
    a("address of the Node", f"{C0}.ports[0].hostIP", "127.0.0.1"),
    a("names by hand", "spec.hostAliases", [{"ip": "10.0.0.1", "hostnames": ["hub"]}]),
    a("shared processes", "spec.shareProcessNamespace", True),
    a("user namespace unasked", "spec.hostUsers", False),
    a("user namespace refused", "spec.hostUsers", True),
    # Volumes
    volume("folder of the Node", {"hostPath": {"path": "/"}}, PODS),
    volume("NFS", {"nfs": {"server": "10.0.0.1", "path": "/"}}, PODS),
    volume("CSI in place", {"csi": {"driver": "csi.example"}}),
    volume("image as volume", {"image": {"reference": "registry.example/secret:1"}}),
    volume("empty folder", {"emptyDir": {}}),
    volume("ConfigMap", {"configMap": {"name": "hub-config"}}),
    volume("Secret", {"secret": {"secretName": "hub"}}),
    volume("downward API", {"downwardAPI": {"items": []}}),
    volume("token", {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}, TOKEN),
    volume(
        "claim in place",
        {
            "ephemeral": {
                "volumeClaimTemplate": {
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1Ti"}},
                    }
                }
            }
        },
    ),
    Case(
        "volume of somebody else",
        "spec.volumes[1].persistentVolumeClaim.claimName",
        {"spec.volumes[+]": {"name": "b", "persistentVolumeClaim": {"claimName": "home-bob"}}},
    ),
    a(
        "home of somebody else",
        "spec.volumes[0].persistentVolumeClaim.claimName",
        "home-bob",
    ),
    a("extra volume of somebody else", "spec.volumes[1].persistentVolumeClaim.claimName", "volume-of-bob", kind="volumes"),
    a("an old volume that was not asked for", "spec.volumes[1].persistentVolumeClaim.claimName", "volume-of-old", kind="volumes"),
    Case(
        "a granted volume that nobody can mount, for it has no name",
        "spec.volumes[1].name",
        {
            "spec.volumes[1].name": "",
            "spec.containers[0].volumeMounts": [{"name": "home", "mountPath": "/home/user"}],
        },
        "Required value",
        "volumes",
    ),
    a("two volumes of one name", "spec.volumes[1].name", "home", "Duplicate value", kind="volumes"),
    a("future kind of volume", "spec.volumes[0].futureKind", {}),
    # Mounts
    a("home over the system", f"{MOUNTS}[0].mountPath", "/etc"),
    a("home elsewhere, too", f"{MOUNTS}[+]", {"name": "home", "mountPath": "/mnt/home"}, path=f"{MOUNTS}[1].mountPath"),
    a("part of the home", f"{MOUNTS}[0].subPath", "private"),
    a("out of the home", f"{MOUNTS}[0].subPath", "../bob", "must not contain '..'"),
    a("out of the home by a variable", f"{MOUNTS}[0].subPathExpr", "$(WHERE)"),
    a("mounts from the Node", f"{MOUNTS}[0].mountPropagation", "HostToContainer"),
    a("mounts to the Node", f"{MOUNTS}[0].mountPropagation", "Bidirectional", "privileged containers"),
    a("extra volume in the place of another", f"{MOUNTS}[1].mountPath", "/usr", kind="volumes"),
    a("future field of a mount", f"{MOUNTS}[0].futureField", 1),
    # Who it is at the API
    a("account of the hub", "spec.serviceAccountName", "hub", TOKEN),
    a("another account", "spec.serviceAccountName", "default"),
    a("no account", "spec.serviceAccountName", GONE),
    a("account by its old name", "spec.serviceAccount", "hub"),
    a("token by a switch", "spec.automountServiceAccountToken", True, TOKEN),
    a("token left to the account", "spec.automountServiceAccountToken", GONE),
    a("addresses of Services", "spec.enableServiceLinks", True),
    a("addresses of Services by default", "spec.enableServiceLinks", GONE),
    a("key to a registry", "spec.imagePullSecrets", [{"name": "hub"}], path="spec.imagePullSecrets[0]"),
    # The Pod's security
    a("no security context", "spec.securityContext", GONE, PODS),
    a("root allowed", "spec.securityContext.runAsNonRoot", False, PODS),
    a("root", "spec.securityContext.runAsUser", 0, PODS),
    a("another user in the Pod", "spec.securityContext.runAsUser", 1001),
    a("group of root", "spec.securityContext.runAsGroup", 0),
    a("files of root's group", "spec.securityContext.fsGroup", 0),
    a("further groups", "spec.securityContext.supplementalGroups", [0]),
    a("unsafe sysctl", "spec.securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}], PODS),
    a("safe sysctl", "spec.securityContext.sysctls", [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]),
    a("SELinux", "spec.securityContext.seLinuxOptions", {"type": "spc_t"}, PODS),
    a("AppArmor off", "spec.securityContext.appArmorProfile", UNCONFINED, PODS),
    a("seccomp off", "spec.securityContext.seccompProfile", UNCONFINED, PODS),
    a("seccomp unsaid", "spec.securityContext.seccompProfile", GONE, PODS),
    a("process of Windows' host", "spec.securityContext.windowsOptions", {"hostProcess": True}, "hostProcess"),
    a("future field of security", "spec.securityContext.futureField", True),
    # The container's security
    a("privileged", f"{SECURITY}.privileged", True, "privileged"),
    a("privilege escalation", f"{SECURITY}.allowPrivilegeEscalation", True, PODS),
    a("privilege escalation unsaid", f"{SECURITY}.allowPrivilegeEscalation", GONE, PODS),
    a("capability", f"{SECURITY}.capabilities.add", ["NET_ADMIN"], PODS),
    a("capability that restricted accepts", f"{SECURITY}.capabilities.add", ["NET_BIND_SERVICE"]),
    a("capabilities kept", f"{SECURITY}.capabilities.drop", ["NET_RAW"], PODS),
    a("capabilities unsaid", f"{SECURITY}.capabilities", GONE, PODS),
    a("container as root", f"{SECURITY}.runAsUser", 0, PODS),
    a("container may be root", f"{SECURITY}.runAsNonRoot", False, PODS),
    a("container as another user", f"{SECURITY}.runAsUser", 4000),
    a("container of root's group", f"{SECURITY}.runAsGroup", 0),
    a("open proc", f"{SECURITY}.procMount", "Unmasked", "procMount"),
    a("open proc of a root shell", f"{SECURITY}.procMount", "Unmasked", PODS, kind="root"),
    a("container without seccomp", f"{SECURITY}.seccompProfile", UNCONFINED, PODS),
    a("seccomp of a file on the Node", f"{SECURITY}.seccompProfile", {"type": "Localhost", "localhostProfile": "x"}),
    a("container without AppArmor", f"{SECURITY}.appArmorProfile", UNCONFINED, PODS),
    a("AppArmor of the Node", f"{SECURITY}.appArmorProfile", {"type": "Localhost", "localhostProfile": "x"}),
    a("container with SELinux", f"{SECURITY}.seLinuxOptions", {"type": "spc_t"}, PODS),
    a("no security context of a container", SECURITY, GONE, PODS),
    a("future field of a container's security", f"{SECURITY}.futureField", True),
    # Root shells
    a("root of the Node", "spec.hostUsers", GONE, PODS, kind="root"),
    a("root of the Node said aloud", "spec.hostUsers", True, PODS, kind="root"),
    a("capability of a root shell", f"{SECURITY}.capabilities.add", ["SYS_ADMIN"], PODS, kind="root"),
    a("privilege escalation of a root shell", f"{SECURITY}.allowPrivilegeEscalation", True, PODS, kind="root"),
    a("root shell that must not be root", "spec.securityContext.runAsNonRoot", True, kind="root"),
    # Containers
    a("image off the list", f"{C0}.image", "registry.example/evil:1", IMAGES),
    a("another image of the list", f"{C0}.image", "registry.example/helper:1"),
    a("tag in the place of a digest", f"{C0}.image", "registry.example/eugo/base:1.0@sha256:" + "0" * 64, IMAGES),
    a("image of the Node alone", f"{C0}.imagePullPolicy", "Never"),
    a("sidecar", "spec.containers[+]", SIDECAR, path="spec.containers[1]"),
    a("sidecar without confinement", "spec.containers[+]", {**SIDECAR, "securityContext": {}}, PODS, path="spec.containers[1].securityContext.capabilities"),
    a("second notebook", "spec.containers[+]", {**SIDECAR, "name": "notebook"}, "Duplicate value", path="spec.containers[1].name"),
    a("no notebook", f"{C0}.name", "laptop", path="spec.containers"),
    a("init container", "spec.initContainers", [SIDECAR], path="spec.initContainers[0]"),
    a("container for debugging", "spec.ephemeralContainers", [SIDECAR], "ephemeral"),
    a("terminal", f"{C0}.stdin", True),
    a("device of blocks", f"{C0}.volumeDevices", [{"name": "home", "devicePath": "/dev/x"}], "must not"),
    a("variables from a Secret", f"{C0}.envFrom", [{"secretRef": {"name": "hub"}}]),
    a("variable from a Secret", f"{C0}.env[0]", {"name": "X", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "k"}}}, path=f"{C0}.env[0].valueFrom"),
    a("variable from a ConfigMap", f"{C0}.env[0]", {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "hub", "key": "k"}}}, path=f"{C0}.env[0].valueFrom"),
    a("variable from the Pod", f"{C0}.env[0]", {"name": "X", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}, path=f"{C0}.env[0].valueFrom"),
    a("probe of another host", f"{C0}.readinessProbe", {"httpGet": {"host": "10.0.0.1", "port": 80}}, PODS, path=f"{C0}.readinessProbe.httpGet.host"),
    a("call of another host at the end", f"{C0}.lifecycle.preStop", {"httpGet": {"host": "10.0.0.1", "port": 80}}, PODS, path=f"{C0}.lifecycle.preStop.httpGet.host"),
    a("future field of a container", f"{C0}.futureField", {}),
    a("another startup script", "spec.initContainers[0].command", ["sh", "-c", "true"], kind="startup", path="spec.initContainers[0]"),
    a("startup script that stays", "spec.initContainers[0].restartPolicy", "Always", kind="startup", path="spec.initContainers[0]"),
    a("startup with another image", "spec.initContainers[0].image", "registry.example/evil:1", IMAGES, kind="startup", path="spec.initContainers[0]"),
    # Amounts
    a("more CPU", f"{C0}.resources.limits.cpu", "16"),
    a("less CPU than was granted", f"{C0}.resources.limits.cpu", "2001m"),
    a("more memory", f"{C0}.resources.limits.memory", "64Gi"),
    a("CPU without limit", f"{C0}.resources.limits.cpu", GONE),
    a("no limits", f"{C0}.resources.limits", GONE),
    a("no resources", f"{C0}.resources", GONE),
    a("CPU set aside above the limit", f"{C0}.resources.requests.cpu", "3", "must be less than or equal to"),
    a("memory set aside above the limit", f"{C0}.resources.requests.memory", "9Gi", "must be less than or equal to"),
    a("CPU that is no amount", f"{C0}.resources.limits.cpu", True, "quantities must match"),
    a("disk", f"{C0}.resources.limits.ephemeral-storage", "1Ti", path=f"{C0}.resources.limits['ephemeral-storage']"),
    a("resources of the whole Pod", "spec.resources", {"limits": {"cpu": "64"}}),
    # GPUs
    Case("GPU by its old name", f"{C0}.resources.limits['nvidia.com/gpu']", {f"{C0}.resources.limits['nvidia.com/gpu']": 1, f"{C0}.resources.requests['nvidia.com/gpu']": 1}, GPU),
    Case("GPU asked for by its old name", f"{C0}.resources.requests['nvidia.com/gpu']", {f"{C0}.resources.requests['nvidia.com/gpu']": 1}, "Limit must be set"),
    Case("GPU that was not granted", "spec.resourceClaims", {"spec.resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu-x"}], f"{C0}.resources.claims": [{"name": "gpu"}]}, GPU),
    a("another share", "spec.resourceClaims[0].resourceClaimTemplateName", "whole-gpu", kind="share", path="spec.resourceClaims"),
    Case("claim of somebody else", "spec.resourceClaims", {"spec.resourceClaims": [{"name": "gpu", "resourceClaimName": "bobs"}]}, GPU, "share"),
    Case("one claim more", "spec.resourceClaims", {"spec.resourceClaims[+]": {"name": "more", "resourceClaimTemplateName": "gpu-x"}, f"{C0}.resources.claims[+]": {"name": "more"}}, GATE, "share"),
    Case("labels without claim", "spec.resourceClaims", {"spec.resourceClaims": GONE, f"{C0}.resources.claims": GONE}, GPU, "share"),
    a("part of a claim", f"{C0}.resources.claims[0].request", "gpu", kind="share", path=f"{C0}.resources.claims"),
    a("all devices by a variable", f"{C0}.env[0]", {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}, path=f"{C0}.env[0]"),
    a("all devices by an annotation", "metadata.annotations['cdi.k8s.io/gpu']", "nvidia.com/gpu=all"),
    # Scheduling
    a("Node by name", "spec.nodeName", "devnode", SCHEDULING),
    a("another scheduler", "spec.schedulerName", "mine", SCHEDULING),
    a("class of the system", "spec.priorityClassName", "system-node-critical", SCHEDULING),
    a("class of another queue", "spec.priorityClassName", "eugo-high"),
    a("no class", "spec.priorityClassName", GONE, SCHEDULING),
    a("priority by number", "spec.priority", 2_000_000_000, "priority"),
    a("preemption", "spec.preemptionPolicy", "PreemptLowerPriority", "PreemptionPolicy"),
    a("other Nodes", "spec.nodeSelector", {"pool": "gpu"}),
    a("every taint", "spec.tolerations", [{"operator": "Exists"}], path="spec.tolerations[0]"),
    a("affinity", "spec.affinity", {"nodeAffinity": {}}),
    a("spread", "spec.topologySpreadConstraints", [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}]),
    a("scheduling gate", "spec.schedulingGates", [{"name": "example.org/wait"}]),
    a("another runtime", "spec.runtimeClassName", "kata", "RuntimeClass"),
    a("overhead", "spec.overhead", {"cpu": "1"}, "Overhead"),
    # Life
    a("restarts for ever", "spec.restartPolicy", "Always"),
    a("restarts by default", "spec.restartPolicy", GONE),
    a("an end that takes a day", "spec.terminationGracePeriodSeconds", 86_400),
    a("a negative end", "spec.terminationGracePeriodSeconds", -1),
    a("an end of its own", "spec.activeDeadlineSeconds", 60),
    a("readiness of somebody else", "spec.readinessGates", [{"conditionType": "example.org/ready"}]),
    # Names on the network
    a("resolver", "spec.dnsConfig", {"nameservers": ["10.0.0.1"]}),
    a("resolver of the Node", "spec.dnsPolicy", "Default"),
    a("name", "spec.hostname", "hub"),
    a("name of a Service", "spec.subdomain", "hub"),
    # Identity
    a("name of somebody else", "metadata.name", "jupyter-bob"),
    a("another namespace", "metadata.namespace", "kube-system", "namespace"),
    a("name left to the cluster", "metadata.generateName", "jupyter-"),
    a("owner", "metadata.ownerReferences", [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}]),
    a("finalizer", "metadata.finalizers", ["example.org/stay"]),
    a("another queue", "metadata.labels['eugo.dev/queue']", "high"),
    a("another project", "metadata.labels['eugo.dev/project']", "vision"),
    a("another user", "metadata.labels['eugo.dev/user']", "bob"),
    a("another session", "metadata.labels['eugo.dev/session']", "s"),
    a("less charge", "metadata.labels['eugo.dev/sm-percent']", "1", kind="share"),
    a("no charge", "metadata.labels['eugo.dev/effective-gpus']", GONE, GPU, kind="share"),
    a("GPU for show", "metadata.labels['eugo.dev/gpu-model']", "H100", GPU),
    a("no component", "metadata.labels.component", GONE),
    a("a label that others obey", "metadata.labels['azure.workload.identity/use']", "true"),
    a("owner by annotation", "metadata.annotations['hub.jupyter.org/username']", "bob"),
    a("AppArmor off by annotation", "metadata.annotations['container.apparmor.security.beta.kubernetes.io/notebook']", "unconfined", "apparmor"),
    a("another network", "metadata.annotations['k8s.v1.cni.cncf.io/networks']", "storage"),
    # What the admin declared, changed
    a("token in a declared projection", "spec.volumes[3].projected.sources[+]", {"serviceAccountToken": {"path": "t"}}, TOKEN, kind="admin", path="spec.volumes[3].projected"),
    a("another declared ConfigMap", "spec.volumes[1].configMap.name", "hub", kind="admin", path="spec.volumes[1].configMap"),
    a("declared volume made writable", f"{MOUNTS}[0].readOnly", False, kind="admin", path=f"{MOUNTS}[0]"),
    a("declared variable of another Secret", f"{C0}.env[0]", {"name": "LICENCE", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "key"}}}, kind="admin", path=f"{C0}.env[0].valueFrom"),
    a("declared sidecar as root", "spec.containers[1].securityContext.runAsUser", 0, PODS, kind="admin"),
    a("declared sidecar with more", "spec.containers[1].resources.limits.cpu", "64", kind="admin", path="spec.containers[1]"),
    a("declared sidecar with a GPU", "spec.containers[1].resources.limits['nvidia.com/gpu']", 1, GPU, kind="admin"),
    a("declared init container with a capability", "spec.initContainers[0].securityContext.capabilities.add", ["NET_ADMIN"], PODS, kind="admin"),
    a("a toleration more", "spec.tolerations[+]", {"operator": "Exists"}, kind="admin", path="spec.tolerations[1]"),
    a("off the declared Nodes", "spec.nodeSelector", GONE, kind="admin"),
    a("without the declared affinity", "spec.affinity", GONE, kind="admin"),
    a("more of the declared disk", f"{C0}.resources.limits.ephemeral-storage", "1Ti", kind="admin", path=f"{C0}.resources.limits['ephemeral-storage']"),
    # What Kubernetes does not have yet, and what is no Pod
    a("future field", "spec.futureField", True),
    a("future field of metadata", "metadata.futureField", "x"),
    a("future field of the Pod", "futureField", {}),
    a("status", "status", {"phase": "Running"}),
    a("another kind", "kind", "Job", "cannot be handled as a Pod"),
    a("no list", "spec.volumes", {"name": "x"}, "unmarshal"),
    a("no text", f"{C0}.image", 1, "unmarshal"),
    a("1 for false", "spec.automountServiceAccountToken", 0, "unmarshal"),
)  # fmt: skip
