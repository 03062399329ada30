"""eugo-no-host-access: nothing of the Node inside a Pod, whatever the Pod Security labels say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.base.judged import assert_admitted, assert_refused
from tests.integration.base.pods import a_container, a_workspace

if TYPE_CHECKING:
    from tests.integration.base.pods import Json
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster

POLICY = "eugo-no-host-access"


def with_container(**changes: object) -> Json:
    return {"containers": [a_container(**changes)]}


def with_init_container(**changes: object) -> Json:
    return {"initContainers": [a_container(name="setup", ports=None, **changes)]}


@pytest.mark.parametrize(
    ("spec", "saying"),
    [
        pytest.param(
            with_container(securityContext={"privileged": True, "allowPrivilegeEscalation": True}),
            "Privileged containers are never allowed here",
            id="privileged",
        ),
        pytest.param(
            with_init_container(
                securityContext={"privileged": True, "allowPrivilegeEscalation": True}
            ),
            "Privileged containers are never allowed here",
            id="privileged init container",
        ),
        pytest.param(
            {"hostUsers": False, **with_container(securityContext={"procMount": "Unmasked"})},
            "An unmasked /proc is never allowed here",
            id="unmasked proc",
        ),
        pytest.param({"hostNetwork": True}, "Remove spec.hostNetwork", id="network of the Node"),
        pytest.param({"hostPID": True}, "Remove spec.hostNetwork", id="processes of the Node"),
        pytest.param({"hostIPC": True}, "Remove spec.hostNetwork", id="IPC of the Node"),
        pytest.param(
            {"volumes": [{"name": "node-root", "hostPath": {"path": "/"}}]},
            "by PersistentVolumeClaims: node-root.",
            id="folder of the Node",
        ),
        pytest.param(
            with_container(ports=[{"containerPort": 8888, "hostPort": 8888}]),
            "Remove hostPort",
            id="port of the Node",
        ),
        pytest.param(
            with_init_container() | with_container(ports=[{"containerPort": 1, "hostPort": 1}]),
            "Remove hostPort",
            id="port of the Node beside an init container without ports",
        ),
    ],
)
def test_what_belongs_to_the_node_is_refused_even_without_pod_security(
    relaxed: Prepared, spec: Json, saying: str
) -> None:
    assert_refused(relaxed.attempt(a_workspace(spec=spec)), policy=POLICY, saying=saying)


def test_a_privileged_ephemeral_container_is_refused(relaxed: Prepared) -> None:
    relaxed.run(a_workspace("debugged-with-privilege"))
    security = {"privileged": True, "allowPrivilegeEscalation": True}
    shell = a_container(name="shell", ports=None, resources=None, securityContext=security)
    answer = relaxed.admin.patch(
        f"{relaxed.pods}/debugged-with-privilege/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [shell]}},
    )
    assert_refused(answer, policy=POLICY, saying="Privileged containers are never allowed here")


def test_volumes_that_live_with_the_workspace_are_admitted(base: Prepared) -> None:
    volumes = [
        {"name": "home", "persistentVolumeClaim": {"claimName": "home-alice"}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "about", "downwardAPI": {"items": []}},
        {"name": "shm", "emptyDir": {"medium": "Memory"}},
    ]
    assert_admitted(base.attempt(a_workspace(spec={"volumes": volumes})))
