"""
Floor: what holds for every container, volume and mount, whoever asked for it.

Pod Security *restricted*, no credential that Kubernetes makes, no device but by a claim, no call
of the kubelet to foreign addresses. The admin's sidecars and volumes stand on it as well as what
was granted. A field that is not listed is refused. Source: Pod Security Standards v1.35; facts
on security, §6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eugospawner.manifests import pod
from eugospawner.manifests.shapes import (
    Violation,
    anything,
    at_least,
    fields,
    flag,
    items,
    off,
    on,
    one_of,
    only,
    text,
    unique,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from eugospawner.manifests.shapes import Rule

#: A value as JSON gives it.
Json = Any

#: Nobody waits longer for a workspace that ends by itself; the hub says its own time when it stops.
GRACE_SECONDS: Final = 300
_LAST_PORT: Final = 65535
#: What a container runtime reads from the environment to hand out devices past every claim, and
#: the values by which it hands out none (NVIDIA Container Toolkit; ROCm and Habana follow it).
_DEVICE_VARIABLES: Final = (
    "NVIDIA_VISIBLE_DEVICES",
    "AMD_VISIBLE_DEVICES",
    "HABANA_VISIBLE_DEVICES",
)
_NO_DEVICES: Final = ("", "void", "none")
#: Hidden as a whole these break the image or the machine; single files below may be declared.
_SYSTEM: Final = frozenset(
    {
        "/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt",
        "/root", "/run", "/sbin", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/local",  # noqa: S108 - refused, not used
        "/usr/sbin", "/var", "/var/lib", "/var/run",
    }
)  # fmt: skip
#: Nothing at all is mounted here: the kernel's, and where Kubernetes puts credentials.
_UNTOUCHED: Final = ("/proc", "/sys", "/run/secrets", "/var/run/secrets")


def security(*, root: bool, other_users: bool = False) -> Rule:
    """
    Return the rule for a container's security context.

    Args:
        root: The Pod is a root shell in a user namespace.
        other_users: A sidecar is no shell: it may be somebody else, and never asks for root.
    """
    user: Rule = at_least(1) if other_users else only(0 if root else pod.UID)
    group: Rule = at_least(1) if other_users else only(0 if root else pod.GID)
    rules: dict[str, Rule] = {
        "allowPrivilegeEscalation": off,
        "privileged": off,
        "capabilities": fields({"drop": only(["ALL"]), "add": only([])}, required=("drop",)),
        "runAsUser": user,
        "runAsGroup": group,
        "runAsNonRoot": (flag if other_users else off) if root else on,
        "readOnlyRootFilesystem": flag,
        "seccompProfile": only({"type": "RuntimeDefault"}),
        "appArmorProfile": only({"type": "RuntimeDefault"}),
        "procMount": only("Default"),
    }
    return fields(rules, required=("allowPrivilegeEscalation", "capabilities"))


def container(*, root: bool, used_claims: Sequence[Json]) -> Rule:
    """Return the rule for a declared container; that it is the declared one is not looked at."""
    return fields(
        {
            "name": text,
            "image": text,
            "imagePullPolicy": text,
            "command": items(text),
            "args": items(text),
            "workingDir": text,
            "ports": PORTS,
            "env": items(_variable),
            "envFrom": anything,
            "resources": fields(
                {
                    "limits": _AMOUNTS,
                    "requests": _AMOUNTS,
                    "claims": items(one_of(*used_claims)),
                }
            ),
            "volumeMounts": unique("mountPath", items(MOUNT)),
            "securityContext": security(root=root, other_users=True),
            "restartPolicy": only("Always"),
            "terminationMessagePath": text,
            "terminationMessagePolicy": text,
            **PROBES,
        },
        required=("name", "image", "securityContext"),
    )


def _variable(value: Json, path: str) -> Iterator[Violation]:
    yield from fields({"name": text, "value": text, "valueFrom": anything})(value, path)
    yield from no_devices(value, path)


def no_devices(value: Json, path: str) -> Iterator[Violation]:
    """Check that a variable does not make the container runtime hand out devices."""
    if (
        isinstance(value, dict)
        and value.get("name") in _DEVICE_VARIABLES
        and ("valueFrom" in value or value.get("value", "") not in _NO_DEVICES)
    ):
        yield Violation(path, f"hands out devices past the claim: {value['name']}")


def port(value: Json, path: str) -> Iterator[Violation]:
    """Check that *value* is a port, by number or name."""
    yield from (text if isinstance(value, str) else whole(1, _LAST_PORT))(value, path)


def _target(value: Json, path: str) -> Iterator[Violation]:
    """Check where a declared mount lies."""
    if not isinstance(value, str) or not value.startswith("/") or ".." in value.split("/"):
        yield Violation(path, "is no absolute path without ..")
        return
    folder = "/" + "/".join(part for part in value.split("/") if part not in {"", "."})
    if folder in _SYSTEM or any(f"{folder}/".startswith(f"{each}/") for each in _UNTOUCHED):
        yield Violation(path, f"would hide {folder}")


def _within(value: Json, path: str) -> Iterator[Violation]:
    if not isinstance(value, str) or value.startswith("/") or ".." in value.split("/"):
        yield Violation(path, "is no relative path without ..")


PLAIN_VARIABLE: Final = fields({"name": text, "value": text}, required=("name",))
PORTS: Final = unique(
    "name",
    items(
        fields(
            {
                "name": text,
                "containerPort": whole(1, _LAST_PORT),
                "protocol": text,
                "hostPort": only(0),
            }
        )
    ),
)
_AMOUNTS: Final = fields({"cpu": anything, "memory": anything, "ephemeral-storage": anything})
_COMMAND: Final = fields({"command": items(text)})
#: Without `host`: the kubelet would call any address for whoever sets it.
_HTTP: Final = fields(
    {
        "path": text,
        "port": port,
        "scheme": text,
        "httpHeaders": items(fields({"name": text, "value": text})),
    }
)
_TCP: Final = fields({"port": port})
_SECONDS: Final = at_least(0)
_PROBE: Final = fields(
    {
        "exec": _COMMAND,
        "httpGet": _HTTP,
        "tcpSocket": _TCP,
        "grpc": fields({"port": _SECONDS, "service": text}),
        "initialDelaySeconds": _SECONDS,
        "periodSeconds": _SECONDS,
        "timeoutSeconds": _SECONDS,
        "successThreshold": _SECONDS,
        "failureThreshold": _SECONDS,
        "terminationGracePeriodSeconds": whole(0, GRACE_SECONDS),
    }
)
_HANDLER: Final = fields(
    {"exec": _COMMAND, "httpGet": _HTTP, "tcpSocket": _TCP, "sleep": fields({"seconds": _SECONDS})}
)
PROBES: Final[Mapping[str, Rule]] = {
    "readinessProbe": _PROBE,
    "livenessProbe": _PROBE,
    "startupProbe": _PROBE,
    "lifecycle": fields({"postStart": _HANDLER, "preStop": _HANDLER, "stopSignal": text}),
}
MOUNT: Final = fields(
    {
        "name": text,
        "mountPath": _target,
        "readOnly": flag,
        "subPath": _within,
        "subPathExpr": _within,
        "mountPropagation": only("None"),
    },
    required=("name", "mountPath"),
)
#: Kinds that live with the workspace. Of a projection's sources only those without credentials
#: that Kubernetes makes: no token, no certificate.
VOLUME: Final = fields(
    {
        "name": text,
        "configMap": anything,
        "downwardAPI": anything,
        "emptyDir": anything,
        "persistentVolumeClaim": anything,
        "projected": fields(
            {
                "sources": items(
                    fields({"configMap": anything, "downwardAPI": anything, "secret": anything})
                ),
                "defaultMode": anything,
            }
        ),
        "secret": anything,
    },
    required=("name",),
)
