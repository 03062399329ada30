"""Pods and claims as the Kubernetes API shows them."""

from collections.abc import Mapping
from typing import Any

from eugospawner.manifests import labels
from tests.factories.decisions import some_gpus


def a_pod(
    *,
    gpu_labels: Mapping[str, str] | None = None,
    claimed: bool = True,
    claim_name: str | None = "pod-gpu-x7k2f",
) -> dict[str, Any]:
    """A Pod with a GPU: labels, resourceClaims, and the claim that Kubernetes made for it."""
    pod: dict[str, Any] = {
        "metadata": {
            "name": "jupyter-alice",
            "labels": dict(
                labels.make_gpu_labels(some_gpus()) if gpu_labels is None else gpu_labels
            ),
        },
        "spec": {"containers": [{"name": "notebook"}]},
        "status": {"phase": "Pending"},
    }
    if claimed:
        pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "gpu-1"}]
    if claim_name is not None:
        pod["status"]["resourceClaimStatuses"] = [
            {"name": "other", "resourceClaimName": "not-this-one"},
            {"name": "gpu", "resourceClaimName": claim_name},
        ]
    return pod


def a_claim(*consumed: Mapping[str, str] | None, **changes: Any) -> dict[str, Any]:
    """
    A claim allocated one device for each of *consumed*; without any, not allocated yet.

    Args:
        changes: Further fields of every device's result, for example `adminAccess=True`.
    """
    claim: dict[str, Any] = {"metadata": {"name": "pod-gpu-x7k2f"}, "spec": {}, "status": {}}
    if consumed:
        results = [
            {
                "request": "gpu",
                "driver": "gpu.example.test",
                "pool": "n1",
                "device": f"gpu-{number}",
            }
            | ({} if each is None else {"consumedCapacity": dict(each), "shareID": f"s{number}"})
            | changes
            for number, each in enumerate(consumed)
        ]
        claim["status"]["allocation"] = {"devices": {"results": results}}
    return claim
