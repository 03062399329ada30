"""The namespace enforces Pod Security *restricted*, of the version that knows user namespaces (F46)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from tests.integration.base.judged import assert_admitted
from tests.integration.base.pods import a_container, a_root_shell, a_workspace

if TYPE_CHECKING:
    from tests.integration.base.pods import Json
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(
            a_workspace(spec={"containers": [a_container(securityContext=None)]}),
            id="capabilities are kept",
        ),
        pytest.param(
            a_workspace(
                spec={
                    "containers": [
                        a_container(
                            securityContext={"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}
                        )
                    ]
                }
            ),
            id="a capability is added",
        ),
        pytest.param(
            a_workspace(
                spec={
                    "containers": [a_container(securityContext={"allowPrivilegeEscalation": True})]
                }
            ),
            id="privilege escalation",
        ),
        pytest.param(
            a_workspace(spec={"securityContext": {"seccompProfile": None}}), id="no seccomp profile"
        ),
        pytest.param(
            a_workspace(spec={"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            id="seccomp switched off",
        ),
        pytest.param(
            a_workspace(spec={"securityContext": {"runAsUser": 0, "runAsNonRoot": False}}),
            id="root without a user namespace",
        ),
        pytest.param(
            a_root_shell(
                containers=[a_container(securityContext={"allowPrivilegeEscalation": True})]
            ),
            id="root shell with privilege escalation",
        ),
        pytest.param(
            a_root_shell(
                containers=[
                    a_container(
                        securityContext={"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}
                    )
                ]
            ),
            id="root shell with a capability",
        ),
    ],
)
def test_what_restricted_forbids_is_refused(base: Prepared, pod: Json) -> None:
    answer = base.attempt(pod)
    assert answer.status == HTTPStatus.FORBIDDEN
    assert 'violates PodSecurity "restricted:v1.35"' in answer.message


def test_the_root_shell_passes_restricted(base: Prepared) -> None:
    assert_admitted(base.attempt(a_root_shell()))


def test_the_namespace_carries_the_pinned_version_in_all_three_modes(base: Prepared) -> None:
    labels = base.admin.get(base.path).body["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert labels[f"pod-security.kubernetes.io/{mode}-version"] == "v1.35"
