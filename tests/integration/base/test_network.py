"""
The network rule of workspaces: hub and proxy may enter, at the notebook port.

The embedded cluster enforces no NetworkPolicies, so this checks what the object says, and that
KubeSpawner really uses the label and the port name that it goes by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kubespawner import KubeSpawner
from kubespawner.objects import make_pod

if TYPE_CHECKING:
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster


def test_only_hub_and_proxy_may_enter_a_workspace(base: Prepared) -> None:
    spec = base.admin.get(
        f"/apis/networking.k8s.io/v1/namespaces/{base.namespace}"
        "/networkpolicies/eugo-workspaces-ingress"
    ).body["spec"]
    assert spec["podSelector"] == {"matchLabels": {"component": "singleuser-server"}}
    assert spec["policyTypes"] == ["Ingress"]
    (rule,) = spec["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "notebook-port"}]
    (source,) = rule["from"]
    assert source == {
        "podSelector": {
            "matchExpressions": [{"key": "component", "operator": "In", "values": ["hub", "proxy"]}]
        }
    }


def test_kubespawner_goes_by_the_same_label_and_port_name() -> None:
    assert KubeSpawner.component_label.default_value == "singleuser-server"
    pod = make_pod(name="jupyter-alice", cmd=["x"], port=8888, image="x")
    assert [port.name for port in pod.spec.containers[0].ports] == ["notebook-port"]
