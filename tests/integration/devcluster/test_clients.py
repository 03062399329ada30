"""Clients that were written for any cluster, on this one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import helm_python
import pytest
from kubernetes import client, config, watch
from kubernetes_asyncio.client import CoreV1Api, ResourceV1Api
from kubernetes_asyncio.config import load_kube_config
from kubernetes_asyncio.watch import Watch
from kubespawner.reflector import NamespacedResourceReflector

from tests.integration.devcluster.places import eventually
from tests.integration.devcluster.pods import a_container, a_pod, a_share, a_template

if TYPE_CHECKING:
    from pathlib import Path

    from kubernetes_asyncio.client import ApiClient

    from tests.integration.devcluster.places import Place

pytestmark = pytest.mark.cluster


async def test_kubernetes_asyncio_creates_watches_and_deletes(api: ApiClient, place: Place) -> None:
    core = CoreV1Api(api)
    await core.create_namespaced_pod(place.name, a_pod())  # type: ignore[arg-type]  # a dict is fine
    phases = []
    async with Watch() as watching, asyncio.timeout(60):
        async for event in watching.stream(core.list_namespaced_pod, place.name):
            phases.append(event["object"].status.phase)
            if phases[-1] == "Running":
                break
    assert phases[0] == "Pending"
    assert await core.read_namespaced_pod_log("p", place.name) == ""
    await core.delete_namespaced_pod("p", place.name)


async def test_kubernetes_asyncio_reads_back_the_capacity_of_a_claim(
    api: ApiClient, place: Place
) -> None:
    place.create(a_template("quarter", a_share(25, product="NVIDIA L4", memory="6Gi")))
    template = await ResourceV1Api(api).read_namespaced_resource_claim_template(
        "quarter", place.name
    )
    (request,) = template.spec.spec.devices.requests
    assert request.exactly.capacity.requests == {"cores": "25", "memory": "6Gi"}


def test_the_synchronous_client_runs_a_pod_and_reads_its_log(
    kubeconfig: Path, place: Place
) -> None:
    with config.new_client_from_config(str(kubeconfig)) as api:
        core = client.CoreV1Api(api)
        pod = a_pod("p", a_container("echo from python"), restartPolicy="Never")
        core.create_namespaced_pod(place.name, pod)
        watching = watch.Watch()
        for event in watching.stream(core.list_namespaced_pod, place.name, timeout_seconds=60):
            if event["object"].status.phase == "Succeeded":
                watching.stop()
        # Unread: this version of the client returns the text of a bytes literal otherwise.
        log = core.read_namespaced_pod_log("p", place.name, _preload_content=False)
        assert log.data == b"from python\n"


class Pods(NamespacedResourceReflector):  # type: ignore[misc]  # untyped upstream
    kind = "pods"


async def test_a_reflector_of_kubespawner_follows_pods(kubeconfig: Path, place: Place) -> None:
    await load_kube_config(str(kubeconfig))  # of all clients without one of their own
    pods = Pods(namespace=place.name)
    await pods.start()
    try:
        await asyncio.to_thread(place.runs, a_pod())
        await asyncio.to_thread(
            eventually,
            lambda: [pod for pod in pods.resources.values() if pod["status"]["phase"] == "Running"],
            "it is seen",
        )
        await asyncio.to_thread(place.run, "delete", "pod", "p")
        await asyncio.to_thread(eventually, lambda: not pods.resources, "it is seen no more")
    finally:
        await pods.stop()


CHART = """\
apiVersion: v2
name: tiny
version: 0.1.0
kubeVersion: ">=1.34.0-0"
"""

TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {word: "{{ .Values.word }}", revision: "{{ .Release.Revision }}"}
"""


def test_helm_installs_upgrades_and_uninstalls(kubeconfig: Path, place: Place) -> None:
    chart = place.folder / "tiny"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(CHART)
    (chart / "values.yaml").write_text("word: none\n")
    (chart / "templates" / "configmap.yaml").write_text(TEMPLATE)
    helm = helm_python.Config(kubeconfig_path=str(kubeconfig), namespace=place.name)
    helm.install(str(chart), "release", {"word": "one"})
    assert place.get("configmap", "release")["data"] == {"word": "one", "revision": "1"}
    helm.upgrade(str(chart), "release", {"word": "two"})
    assert place.get("configmap", "release")["data"] == {"word": "two", "revision": "2"}
    helm.uninstall("release")
    eventually(lambda: "release" not in place.run("get", "configmaps", "-o", "name"), "it is gone")
