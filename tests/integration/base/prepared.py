"""
A namespace that the base prepared, and how a test gets one.

Everything is real: the manifests as an admin applies them, the API server's own admission, and the
hub's own token. `prepare()` returns once the policies are in force: the API server looks for new ones
once a second (upstream), and a test that asked earlier would see no policy at all. Other suites that
want the hub's true permissions use it too.

No test deletes a policy or a binding: the API server would stop reading the list of images until its
restart (kubernetes/kubernetes#130887). On a cluster of your own where somebody did, `prepare()` fails
with `no params found`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol
from uuid import uuid4

from tests import patience
from tests.integration.base import pods
from tests.integration.base.overlay import base_overlay, reader_binding

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.base.caller import Answer, Caller
    from tests.integration.base.pods import Json

#: Far above the second it takes, for a machine that is busy.
IN_FORCE_WITHIN_SECONDS: Final = 60

#: Twice the API server's interval.
REREAD_AFTER_SECONDS: Final = 2


class Kubectl(Protocol):
    """kubectl with the cluster's admin kubeconfig; raises when it fails."""

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]: ...


def until(holds: Callable[[], bool], otherwise: str) -> None:
    """Return once *holds* does; fail with *otherwise* when it never does."""
    patience.eventually(holds, otherwise, seconds=IN_FORCE_WITHIN_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A namespace under the base's policies, its admin and (if the base made it) its hub."""

    namespace: str
    admin: Caller
    hub: Caller

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    @property
    def pods(self) -> str:
        return f"{self.path}/pods"

    def attempt(self, pod: Json) -> Answer:
        """Ask for *pod* as the hub does; all of admission runs, nothing is stored."""
        return self.hub.create(self.pods, pod, dryRun="All")

    def write_images(self, text: str) -> None:
        """Write the ConfigMap of images with *text* as its list."""
        path = f"{self.path}/configmaps"
        body = {"metadata": {"name": "eugo-images"}, "data": {"images": text}}
        answer = self.admin.create(path, body)
        if answer.status == HTTPStatus.CONFLICT:
            answer = self.admin.request("PUT", f"{path}/eugo-images", body=body)
        assert answer.status in {HTTPStatus.OK, HTTPStatus.CREATED}, answer.message

    def allow_images(self, *images: str) -> None:
        """Make *images* the list, and return once the API server goes by it."""
        # Only this version of the list holds this reference.
        marker = f"registry.example/marker:{uuid4().hex}"
        self.write_images("\n".join((*images, marker)))
        marked = pods.a_workspace("marked", spec={"containers": [pods.a_container(image=marker)]})
        until(
            lambda: self.attempt(marked).status == HTTPStatus.CREATED,
            f"the list of images is not in force: {self.attempt(marked).message}",
        )

    def run(self, pod: Json) -> Answer:
        """Create *pod* as the hub does."""
        answer = self.hub.create(self.pods, pod)
        assert answer.status == HTTPStatus.CREATED, answer.message
        return answer


def prepare(namespace: str, *, folder: Path, kubectl: Kubectl, admin: Caller) -> Prepared:
    """Apply the base as *namespace*, sign in as its hub and allow the images of the tests."""
    applied = kubectl("apply", "-k", str(base_overlay(folder, namespace)))
    if " configured" in applied.stdout:
        # A policy of a cluster in use was changed: for a moment the old one still answers.
        time.sleep(REREAD_AFTER_SECONDS)
    token = admin.create(
        f"/api/v1/namespaces/{namespace}/serviceaccounts/hub/token",
        {"spec": {"expirationSeconds": 3600}},
    ).body["status"]["token"]
    prepared = Prepared(namespace=namespace, admin=admin, hub=admin.with_token(token))
    try:
        put_in_force(prepared)
        until(
            lambda: prepared.hub.get("/api/v1/nodes").status == HTTPStatus.OK,
            "the hub's ClusterRole is not in force",
        )
    except BaseException:
        remove(prepared)
        raise
    return prepared


def put_in_force(prepared: Prepared) -> None:
    """
    Allow the images of the tests in *prepared*, and return once all policies hold there.

    kubectl writes them in order and the API server sees them in order, so the last one stands for
    all: when it refuses, the others are known too.
    """
    prepared.write_images("\n".join(pods.ALLOWED))
    astray = pods.a_workspace("astray", spec={"nodeName": "somewhere"})
    until(
        lambda: "'eugo-scheduling'" in prepared.attempt(astray).message,
        f"the policies are not in force: {prepared.attempt(astray).message}",
    )
    prepared.allow_images(*pods.ALLOWED)


def remove(prepared: Prepared) -> None:
    """Delete what `prepare()` made and no other namespace shares."""
    prepared.admin.delete(f"/api/v1/namespaces/{prepared.namespace}")
    prepared.admin.delete(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/"
        + reader_binding(prepared.namespace)
    )
    prepared.hub.close()
