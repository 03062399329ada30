"""eugo-root-needs-user-namespace: root exists only inside a user namespace of its Pod (F26, F46)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.base.judged import assert_admitted, assert_refused
from tests.integration.base.pods import a_container, a_root_shell, a_workspace

if TYPE_CHECKING:
    from tests.integration.base.pods import Json
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster

POLICY = "eugo-root-needs-user-namespace"

UNSAID = {"securityContext": {"runAsNonRoot": None, "runAsUser": None}}
ROOT_IN_THE_POD = {"securityContext": {"runAsUser": 0, "runAsNonRoot": False}}


def an_unconfined(**security: object) -> Json:
    return a_container(securityContext=security)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(a_workspace(), id="a user above 0"),
        pytest.param(a_root_shell(), id="root with hostUsers false"),
        pytest.param(
            a_workspace(spec={"securityContext": {"runAsUser": None}}), id="runAsNonRoot alone"
        ),
        pytest.param(
            a_workspace(
                spec={
                    "securityContext": {"runAsUser": None, "runAsNonRoot": None},
                    "containers": [
                        a_container(securityContext={"runAsUser": 1000, "runAsNonRoot": True})
                    ],
                }
            ),
            id="the container says what the Pod leaves open",
        ),
    ],
)
def test_a_workspace_without_power_over_the_node_is_admitted(base: Prepared, pod: Json) -> None:
    assert_admitted(base.attempt(pod))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(ROOT_IN_THE_POD, id="the Pod asks for user 0"),
        pytest.param(UNSAID, id="nobody names a user"),
        pytest.param(
            {"containers": [a_container(securityContext={"runAsUser": 0, "runAsNonRoot": False})]},
            id="one container asks for user 0",
        ),
        pytest.param(
            {
                "initContainers": [
                    a_container(name="setup", securityContext={"runAsUser": 0}),
                ],
                "securityContext": {"runAsNonRoot": None},
            },
            id="an init container asks for user 0",
        ),
        pytest.param({**ROOT_IN_THE_POD, "hostUsers": True}, id="hostUsers is true"),
    ],
)
def test_root_of_the_node_is_refused_even_without_pod_security(
    relaxed: Prepared, spec: Json
) -> None:
    assert_refused(
        relaxed.attempt(a_workspace(spec=spec)),
        policy=POLICY,
        saying="Set spec.hostUsers to false, so that root exists only inside the Pod",
    )


def test_the_refusal_names_the_containers(relaxed: Prepared) -> None:
    spec = {
        "initContainers": [a_container(name="setup", securityContext={"runAsUser": 0})],
        "containers": [a_container(), a_container(name="helper", securityContext={"runAsUser": 0})],
    }
    answer = relaxed.attempt(a_workspace(spec=spec))
    assert "may run as root: helper, setup." in answer.message


def test_an_ephemeral_container_as_root_is_refused(relaxed: Prepared) -> None:
    relaxed.run(a_workspace("debugged-as-root"))
    shell = a_container(name="shell", ports=None, resources=None, securityContext={"runAsUser": 0})
    answer = relaxed.admin.patch(
        f"{relaxed.pods}/debugged-as-root/ephemeralcontainers",
        {"spec": {"ephemeralContainers": [shell]}},
    )
    assert_refused(answer, policy=POLICY, saying="may run as root: shell.")
