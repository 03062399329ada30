"""
A second opinion on a Pod, written without looking at the gate's code.

Two questions. *Standard*: does it keep Pod Security restricted, by a walk that looks at every
object wherever it stands? *Difference*: is every leaf in which it differs from the Pod that the
spawner made harmless? Leaves are compared as text under names, so neither the order of lists nor
a kind of object that nobody thought of plays a part. Shares no code and no constant with
eugospawner.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = Any
Leaves = dict[str, Json]


def complaints(manifest: Json, made: Json, *, root: bool) -> list[str]:
    """Return what is wrong with *manifest*, which comes from the Pod that the spawner *made*."""
    said = without_null(manifest)
    return [*standard(said.get("spec"), root=root), *difference(said, made)]


def without_null(value: Json) -> Json:
    """Return *value* as Kubernetes reads it: a field that is null is none."""
    if isinstance(value, dict):
        return {key: without_null(each) for key, each in value.items() if each is not None}
    return [without_null(each) for each in value] if isinstance(value, list) else value


# Pod Security restricted, and what belongs to nobody but the Node


FORBIDDEN = {
    "hostPath", "nfs", "csi", "iscsi", "fc", "flexVolume", "rbd", "cephfs", "glusterfs", "gitRepo",
    "ephemeral", "azureFile", "serviceAccountToken", "clusterTrustBundle",
    "podCertificate", "volumeDevices", "sysctls", "seLinuxOptions", "windowsOptions",
    "ephemeralContainers", "hostIP", "hostAliases", "nodeName", "runtimeClassName", "hostname",
    "subdomain", "dnsConfig", "overhead",
}  # fmt: skip


SWITCHES = {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "privileged"}


def standard(spec: Json, *, root: bool) -> Iterator[str]:
    if not isinstance(spec, dict):
        yield "there is no spec"
        return
    for where, key, value in walk(spec, "spec"):
        if key in FORBIDDEN:
            yield f"{where} has {key}"
        if key in SWITCHES and value is not False:
            yield f"{where}.{key}"
        if key == "hostPort" and value != 0:
            yield f"{where}.{key}"
        if key == "host":
            yield f"{where} calls a host"
        if key == "mountPropagation" and value != "None":
            yield f"{where}.{key}"
        if key == "procMount" and value != "Default":
            yield f"{where}.{key}"
        if key in {"seccompProfile", "appArmorProfile"} and value != {"type": "RuntimeDefault"}:
            yield f"{where}.{key}"
        if key == "runAsUser" and (type(value) is not int or (value == 0 and not root)):
            yield f"{where}.{key}"
        if key == "runAsNonRoot" and value is not True and not root:
            yield f"{where}.{key}"
        if key in {"limits", "requests"} and isinstance(value, dict):
            for name in value:
                if "/" in name or name.startswith("hugepages"):
                    yield f"{where} asks for {name}"
    security = spec.get("securityContext")
    security = security if isinstance(security, dict) else {}
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "the Pod has no seccomp profile"
    if not root and security.get("runAsNonRoot") is not True:
        yield "the Pod may be root"
    if root and spec.get("hostUsers") is not False:
        yield "root of the Node"
    if spec.get("automountServiceAccountToken") is not False:
        yield "a token"
    for each in containers(spec):
        own = each.get("securityContext")
        own = own if isinstance(own, dict) else {}
        capabilities = own.get("capabilities")
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{each.get('name')} may escalate"
        if not isinstance(capabilities, dict) or capabilities.get("drop") != ["ALL"]:
            yield f"{each.get('name')} keeps capabilities"
        elif capabilities.get("add"):
            yield f"{each.get('name')} has capabilities"


def walk(value: Json, where: str) -> Iterator[tuple[str, str, Json]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield where, key, each
            yield from walk(each, f"{where}.{key}")
    elif isinstance(value, list):
        for each in value:
            yield from walk(each, where)


def containers(spec: Json) -> Iterator[Json]:
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        listed = spec.get(kind) or []
        if not isinstance(listed, list):
            continue
        yield from (each for each in listed if isinstance(each, dict))


# What differs from the Pod as the spawner made it


NB = r"spec\.containers\.notebook\."
PROBE = NB + r"(readinessProbe|livenessProbe|startupProbe|lifecycle)\b"
#: Leaves that may be new or other, and what they may say; nobody has more by them.
HARMLESS: list[tuple[str, Any]] = [
    (r"metadata\.namespace", lambda v: v == "eugo"),
    (NB + r"(args|command)(\[\d+\])?", lambda v: isinstance(v, str) or v == []),
    (NB + r"workingDir", lambda v: isinstance(v, str)),
    (NB + r"env", lambda v: v == []),
    (NB + r"env\.(?!.*\.valueFrom\.).*\.name", lambda v: isinstance(v, str)),
    (NB + r"env\..*VISIBLE_DEVICES(#\d+)?\.value", lambda v: v in ("", "none", "void")),
    (NB + r"env\.(?!.*(VISIBLE_DEVICES|\.valueFrom\.)).*\.value", lambda v: isinstance(v, str)),
    (NB + r"ports", lambda v: v == []),
    (NB + r"ports\.[^.]+", lambda v: v == {}),
    (NB + r"ports\..*\.containerPort", lambda v: type(v) is int and 0 < v < 65536),
    (NB + r"ports\..*\.(name|protocol)", lambda v: isinstance(v, str)),
    (NB + r"ports\..*\.hostPort", lambda v: v == 0),
    (
        PROBE + r"(?!.*\.host$).*(command\[\d+\]|path|port|scheme|service|name|value|stopSignal)",
        lambda v: isinstance(v, str | int),
    ),
    (
        PROBE + r"(?!.*GracePeriod).*(Seconds|seconds|Threshold)",
        lambda v: type(v) is int and v >= 0,
    ),
    (PROBE + r".*terminationGracePeriodSeconds", lambda v: type(v) is int and 0 <= v <= 300),
    (PROBE + r".*", lambda v: v in ([], {})),
    (NB + r"volumeMounts", lambda v: v == []),
    (NB + r"volumeMounts\.(home|extra-\d)@[^@]*\.readOnly", lambda v: isinstance(v, bool)),
    (
        r"spec\.volumes\.(home|extra-\d)\.persistentVolumeClaim\.readOnly",
        lambda v: isinstance(v, bool),
    ),
    (NB + r"resources\.(requests|limits\.ephemeral-storage)", lambda v: v == {}),
    (NB + r"resources\.claims", lambda v: v == []),
    (NB + r"securityContext\.privileged", lambda v: v is False),
    (NB + r"securityContext\.readOnlyRootFilesystem", lambda v: isinstance(v, bool)),
    (
        NB + r"securityContext\.(seccompProfile|appArmorProfile)\.type",
        lambda v: v == "RuntimeDefault",
    ),
    (NB + r"securityContext\.procMount", lambda v: v == "Default"),
    (NB + r"securityContext\.capabilities\.add", lambda v: v == []),
    (r"spec\.terminationGracePeriodSeconds", lambda v: type(v) is int and 0 <= v <= 300),
    (r"spec\.restartPolicy", lambda v: v in ("OnFailure", "Never")),
    (r"spec\.schedulerName", lambda v: v == "default-scheduler"),
    (r"spec\.(hostNetwork|hostPID|hostIPC|shareProcessNamespace)", lambda v: v is False),
    (
        r"spec\.(resourceClaims|tolerations|imagePullSecrets|volumes|initContainers)",
        lambda v: v == [],
    ),
    (r"spec\.(nodeSelector|affinity)", lambda v: v == {}),
    (r"metadata\.annotations", lambda v: v == {}),
]
#: Where saying the same twice says nothing new.
TWICE = re.compile(rf"spec\.(tolerations|imagePullSecrets)\b|{NB}env\.")
#: Leaves that may go by themselves: by their absence nobody has more.
MAY_GO = re.compile(
    rf"apiVersion|kind|metadata\.annotations.*|spec\.schedulerName|{PROBE}.*|"
    rf"{NB}(args|command|workingDir|imagePullPolicy|ports|env|volumeMounts|resources\.requests)"
    r"(\b.*)?|"
    rf"{NB}securityContext\.(privileged|runAs\w+|readOnly\w+)|"
    r"spec\.(imagePullSecrets|tolerations|volumes|initContainers)\b(\[.*)?|"
    r"spec\.securityContext\.(fsGroup|supplementalGroups.*)|"
    rf"{NB}resources\.limits\.ephemeral-storage"
)
#: Objects that may go as a whole, and only so.
WHOLE = re.compile(
    r"(spec\.(?:volumes|initContainers|imagePullSecrets)\.[^.]+|"
    r"spec\.containers\.(?!notebook\b)[^.]+|"
    rf"{NB}volumeMounts\.[^@]+@.*(?=\.(?:name|mountPath|readOnly|subPath)$))"
)


def difference(manifest: Json, made: Json) -> Iterator[str]:
    now, before = leaves(manifest), leaves(made)
    claim = re.compile(r"spec\.volumes\.(home|extra-\d)\.persistentVolumeClaim\.claimName")
    granted = [value for path, value in before.items() if claim.fullmatch(path)]
    for path, value in now.items():
        if path in before and text(before[path]) == text(value):
            continue
        if is_amount(path, value, before):
            continue
        once = re.sub(r"#\d+", "", path)
        if TWICE.match(path) and text(before.get(once)) == text(value):
            continue
        if "#" in path.replace("env.", "") and ".env." not in path:
            yield f"{path} stands here twice"
        elif not any(re.fullmatch(shape, path) and fine(value) for shape, fine in HARMLESS):
            renamed = re.fullmatch(
                r"(spec\.volumes\..+)\.(name|persistentVolumeClaim\.claimName)", path
            )
            if renamed and now.get(f"{renamed[1]}.persistentVolumeClaim.claimName") in granted:
                continue
            # Same user as the whole Pod has: says nothing new.
            same = re.fullmatch(NB + r"securityContext\.(runAs\w+)", path)
            pods = same and before.get(f"spec.securityContext.{same[1]}")
            if not same or text(pods) != text(value):
                yield f"{path} is new or other"
    for path in before:
        if path in now or is_empty(before[path]):
            continue
        whole = WHOLE.match(path)
        if whole and not any(each.startswith(f"{whole[1]}.") for each in now):
            continue
        if whole is None and MAY_GO.fullmatch(path):
            continue
        yield f"{path} is gone"


def leaves(value: Json, path: str = "") -> Leaves:
    found: Leaves = {}
    if isinstance(value, dict) and value:
        for key, each in value.items():
            found.update(leaves(each, f"{path}.{key}" if path else str(key)))
        return found
    if isinstance(value, list) and value:
        seen: dict[str, int] = {}
        for index, each in enumerate(value):
            name = name_of(each, index, path)
            seen[name] = seen.get(name, 0) + 1
            twice = f"#{seen[name]}" if seen[name] > 1 else ""
            found.update(leaves(each, f"{path}{name}{twice}"))
        return found
    return {path: value}


def name_of(value: Json, index: int, path: str) -> str:
    if path.endswith("tolerations"):
        return f"[{text(value)}]"
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        mount = f"@{value.get('mountPath')}" if path.endswith("volumeMounts") else ""
        return f".{value['name']}{mount}"
    return f".{index}" if path.endswith("ports") else f"[{index}]"


def text(value: Json) -> str:
    return json.dumps(value, sort_keys=True, default=repr)


def is_empty(value: Json) -> bool:
    return value in ({}, [])


SUFFIX = {"": 1, "m": Decimal("0.001"), "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
          "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}  # fmt: skip


def is_amount(path: str, value: Json, before: Leaves) -> bool:
    """Whether it is an amount that is the same, written otherwise, or less set aside."""
    found = re.fullmatch(NB + r"resources\.(limits|requests)\.(cpu|memory)", path)
    if not found or isinstance(value, bool):
        return False
    number = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)", str(value))
    limit = Decimal(str(before[f"spec.containers.notebook.resources.limits.{found[2]}"]))
    if not number or number[2] not in SUFFIX:
        return False
    amount = Decimal(number[1]) * SUFFIX[number[2]]
    return amount == limit if found[1] == "limits" else amount <= limit
