"""Values for tests of the development cluster: Pods whose containers are one line of shell."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

SHELL = "registry.example/eugo/sh:1"
WEB = "registry.example/eugo/web:1"
FOREVER = "exec sleep 1000"


def a_container(script: str = FOREVER, *, name: str = "main", **fields: Any) -> Json:
    return {"name": name, "image": SHELL, "command": ["sh", "-c", script], **fields}


def a_pod(name: str = "p", *containers: Json, **spec: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": list(containers) or [a_container()],
            **spec,
        },
    }


def an_object(kind: str, name: str, *, api: str = "v1", **fields: Any) -> Json:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **fields}


def a_volume_claim(name: str = "data", size: str = "1Gi", **spec: Any) -> Json:
    return an_object(
        "PersistentVolumeClaim",
        name,
        spec={
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            **spec,
        },
    )


def with_volume(container: Json, path: str, *, name: str = "data") -> Json:
    return {**container, "volumeMounts": [{"name": name, "mountPath": path}]}


def from_claim(claim: str = "data") -> Json:
    return {"name": "data", "persistentVolumeClaim": {"claimName": claim}}


def a_template(name: str, request: Json, **devices: Any) -> Json:
    """A ResourceClaimTemplate with one request called `gpu`."""
    return an_object(
        "ResourceClaimTemplate",
        name,
        api="resource.k8s.io/v1",
        spec={"spec": {"devices": {"requests": [{"name": "gpu", "exactly": request}], **devices}}},
    )


def a_share(percent: int, *, product: str, memory: str = "1Gi", **request: Any) -> Json:
    """A request for a share of one GPU of the model *product*."""
    attribute = 'device.attributes["gpu.devcluster.test"].productName'
    return {
        "deviceClassName": "gpu.devcluster.test",
        "selectors": [{"cel": {"expression": f'{attribute} == "{product}"'}}],
        "capacity": {"requests": {"cores": str(percent), "memory": memory}},
        **request,
    }


def with_claim(pod: Json, template: str) -> Json:
    """*pod* with a claim from *template* in its first container."""
    first, *others = pod["spec"]["containers"]
    first = {**first, "resources": {"claims": [{"name": "gpu"}]}}
    spec = {
        **pod["spec"],
        "containers": [first, *others],
        "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": template}],
    }
    return {**pod, "spec": spec}
