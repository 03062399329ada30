"""What the programs are told: loopback, identities, and nothing that needs the machine's help."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devcluster import components, inventory
from devcluster.addresses import Addresses
from devcluster.layout import Layout


def a_plan(root: str = "/data", **changes: object) -> components.Plan:
    values = {
        "layout": Layout(root=Path(root)),
        "addresses": Addresses(api_port=1, kubelet_port=2, network=77),
        "inventory": inventory.load(inventory.DEFAULT),
        "kube": Path("/bin/kube"),
        "runtime": Path("/bin/runtime"),
    }
    return components.Plan(**{**values, **changes})  # type: ignore[arg-type]


def test_sockets_of_the_machine_are_named_relative_to_the_data() -> None:
    long = "/" + "long/" * 40
    for program in (components.etcd(a_plan(long)), components.api_server(a_plan(long))):
        sockets = [word for word in program.command if "unix:" in word]
        assert sockets
        assert all("long" not in word for word in sockets)


def test_sockets_of_the_node_are_short_whatever_the_data_folder() -> None:
    plan = a_plan("/" + "long/" * 40)
    assert plan.runtime_endpoint == "unix:///var/lib/kubelet/runtime.sock"
    assert plan.kubelet_root == "/var/lib/kubelet"


def test_two_clusters_have_two_places_for_the_runtimes_state() -> None:
    assert a_plan("/one").runtime_state != a_plan("/two").runtime_state


@pytest.mark.parametrize(
    "program",
    [
        components.etcd, components.api_server, components.controller_manager,
        components.scheduler, components.runtime, components.kubelet, components.gpu_driver,
        components.provisioner, components.nodes,
    ],
)  # fmt: skip
def test_no_program_listens_on_every_interface(program: object) -> None:
    command = " ".join(program(a_plan()).command)  # type: ignore[operator]
    assert "0.0.0.0" not in command  # noqa: S104
    assert "AlwaysAllow" not in command


def test_the_kubelet_authenticates_and_authorizes() -> None:
    configuration = components.kubelet_configuration(a_plan())
    assert configuration["authentication"]["anonymous"] == {"enabled": False}
    assert configuration["authorization"] == {"mode": "Webhook"}
    assert configuration["address"] == "127.0.0.1"


def test_a_user_namespace_is_told_to_the_kubelet() -> None:
    assert components.kubelet_configuration(a_plan(in_user_namespace=True))["featureGates"] == {
        "KubeletInUserNamespace": True
    }


def test_with_another_runtime_the_node_shares_the_machines_mounts() -> None:
    plan = a_plan(foreign_runtime="unix:///run/containerd/containerd.sock")
    assert not components.kubelet(plan).enclosed
    assert plan.kubelet_root == "/data/node/kubelet"
    assert plan.runtime_endpoint.endswith("containerd.sock")


def test_images_are_written_in_the_words_of_the_runtime() -> None:
    image = inventory.Image.model_validate(
        {"command": ["sh"], "workingDir": "/home/user", "show": ["/opt"]}
    )
    plan = a_plan(inventory=inventory.Inventory(images={"a:1": image}))
    content = json.loads(components.files(plan)[Path("/data/config/images.yaml")])
    assert content == {"a:1": {"command": ["sh"], "workingDir": "/home/user", "show": ["/opt"]}}
