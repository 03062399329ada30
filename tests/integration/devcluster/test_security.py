"""Who may talk to the cluster: its own authority's clients, over verified TLS, each as itself."""

from __future__ import annotations

import json
import os
import ssl
import stat
import subprocess
from http.client import HTTPSConnection
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.integration.devcluster.clusters import kubectl_command
from tests.integration.devcluster.pods import SHELL, a_container, a_pod

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.devcluster.clusters import Cluster, Kubectl
    from tests.integration.devcluster.places import Place

pytestmark = pytest.mark.cluster


def asking(port: int, tls: ssl.SSLContext, path: str = "/api") -> int:
    """Return the status with which a server of ours answers."""
    connection = HTTPSConnection("127.0.0.1", port, context=tls, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def ports(cluster: Cluster) -> tuple[int, int]:
    """Return the API server's and the kubelet's."""
    kept = json.loads(cluster.layout.addresses.read_text())
    return kept["api_port"], kept["kubelet_port"]


def trusting(cluster: Cluster) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cluster.layout.pki / "ca.crt")


def test_a_client_that_does_not_know_the_authority_refuses_the_server(embedded: Cluster) -> None:
    for port in ports(embedded):
        with pytest.raises(ssl.SSLCertVerificationError):
            asking(port, ssl.create_default_context())


def test_nobody_is_anonymous(embedded: Cluster) -> None:
    api, kubelet = ports(embedded)
    assert asking(api, trusting(embedded)) == 401
    assert asking(kubelet, trusting(embedded), "/pods") == 401


def test_the_kubelet_asks_the_api_server_what_a_user_may(embedded: Cluster) -> None:
    _, kubelet = ports(embedded)
    pki = embedded.layout.pki
    for name, status in (("kube-scheduler", 403), ("apiserver-kubelet-client", 200)):
        client = trusting(embedded)
        client.load_cert_chain(pki / f"{name}.crt", pki / f"{name}.key")
        assert asking(kubelet, client, "/pods") == status


def test_everything_listens_on_loopback_only(embedded: Cluster) -> None:
    pids = {str(embedded.pid(name)) for name in ("kube-apiserver", "etcd", "kubelet", "runtime")}
    listing = subprocess.run(["ss", "-lntpH"], capture_output=True, text=True, check=True).stdout
    own = [line for line in listing.splitlines() if any(f"pid={pid}," in line for pid in pids)]
    assert own, listing
    addresses = {line.split()[3].rpartition(":")[0] for line in own}
    assert all(address.startswith("127.") for address in addresses)


def test_what_identifies_somebody_is_for_its_owner_alone(embedded: Cluster) -> None:
    files = [embedded.kubeconfig, *embedded.layout.pki.iterdir()]
    assert {stat.filemode(file.stat().st_mode) for file in files} == {"-rw-------"}
    assert {file.stat().st_uid for file in files} == {os.getuid()}
    assert stat.filemode(embedded.layout.root.stat().st_mode) == "drwx------"


def test_a_service_account_may_do_nothing_that_it_was_not_granted(
    place: Place, kubeconfig: Path
) -> None:
    place.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "guest"}})
    token = place.run("create", "token", "guest").strip()
    admin = yaml.safe_load(kubeconfig.read_text())
    admin["users"] = [{"name": admin["users"][0]["name"], "user": {"token": token}}]
    guest = place.folder / "guest.kubeconfig"
    guest.write_text(yaml.safe_dump(admin))
    command = [*place.command[:-2], f"--kubeconfig={guest}", place.command[-1]]
    done = subprocess.run([*command, "get", "pods"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Forbidden" in done.stderr
    place.run("create", "role", "look", "--verb=get,list", "--resource=pods")
    place.run(
        "create", "rolebinding", "look", "--role=look", f"--serviceaccount={place.name}:guest"
    )
    subprocess.run([*command, "get", "pods"], capture_output=True, text=True, check=True)


def test_a_restricted_namespace_refuses_what_the_standard_forbids(
    place: Place, kubectl: Kubectl
) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    kubectl("label", "namespace", place.name, label)
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        place.create(a_pod())
    restricted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    script = "grep -E 'NoNewPrivs|CapEff' /proc/self/status"
    pod = a_pod("good", a_container(script, securityContext=restricted), restartPolicy="Never")
    assert place.finishes(pod).split() == ["CapEff:", "0" * 16, "NoNewPrivs:", "1"]


def test_a_node_is_told_of_no_other_node(embedded: Cluster) -> None:
    command = kubectl_command(embedded.layout.kubeconfig("kubelet"))
    done = subprocess.run(
        [*command, "label", "node", "extra-0", "mine=true"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "only its own Node object" in done.stderr


def test_the_sample_image_needs_no_privileges(place: Place) -> None:
    assert (
        place.finishes(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "p"},
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "main", "image": SHELL, "args": ["-c", "echo fine"]}],
                },
            }
        )
        == "fine\n"
    )
