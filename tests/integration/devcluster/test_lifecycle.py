"""A cluster is started, killed in parts, started again, and misused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from devcluster import components, supervisor
from devcluster.layout import Layout
from tests.integration.devcluster.clusters import (
    Cluster,
    kubectl_command,
    kubectl_of,
    launch,
    processes_of,
    running,
)
from tests.integration.devcluster.places import Place, eventually
from tests.integration.devcluster.pods import (
    a_container,
    a_pod,
    a_volume_claim,
    from_claim,
    with_volume,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def own(
    tmp_path_factory: pytest.TempPathFactory,
    embedded: Cluster,  # noqa: ARG001  # beside the run's
) -> Iterator[Cluster]:
    """A cluster beside the run's, whose parts may be killed; its folder has a very long path."""
    folder = tmp_path_factory.mktemp("own")
    data = folder.joinpath(*["long" * 15] * 2)
    with running(folder, data=data) as cluster:
        yield cluster


def place_in(cluster: Cluster, folder: Path, namespace: str = "default") -> Place:
    command = (*kubectl_command(cluster.kubeconfig), f"--namespace={namespace}")
    return Place(namespace, kubectl_of(cluster.kubeconfig), command, folder)


def is_back_since(cluster: Cluster, name: str, before: int) -> None:
    """Wait until the program *name* has another process than *before*."""
    eventually(lambda: cluster.pid(name) not in {None, before}, f"{name} is started again")


def test_two_clusters_run_side_by_side(own: Cluster, embedded: Cluster, tmp_path: Path) -> None:
    networks = []
    for cluster in (own, embedded):
        place = place_in(cluster, tmp_path)
        place.runs(a_pod("beside"))
        networks.append(place.get("pod", "beside")["status"]["podIP"].rsplit(".", 2)[0])
        place.run("delete", "pod", "beside")
    assert networks[0] != networks[1]


@pytest.mark.parametrize("name", [*components.ALL[:-1], supervisor.ENCLOSURE])
def test_the_cluster_recovers_from_kill_9_of(name: str, own: Cluster, tmp_path: Path) -> None:
    place = place_in(own, tmp_path)
    before = own.pid(name)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    is_back_since(own, name, before)

    def works() -> bool:
        try:
            pod = a_pod(f"after-{name}", a_container("echo fine"), restartPolicy="Never")
            return place.finishes(pod) == "fine\n"
        except AssertionError as refused:  # while it comes back
            print(refused)  # noqa: T201
            return False

    eventually(works, "a Pod runs again", within=120)
    assert f"{name} ended (SIGKILL)" in own.said() or name == supervisor.ENCLOSURE
    place.run("delete", "pod", f"after-{name}", "--wait=false")


def test_containers_survive_the_end_of_kubelet_and_runtime(own: Cluster, tmp_path: Path) -> None:
    place = place_in(own, tmp_path)
    place.runs(a_pod("survivor", a_container("date +%s%N > /tmp/born; exec sleep 1000")))
    born = place.shell("survivor", "cat /tmp/born")
    for name in (components.KUBELET, components.RUNTIME):
        before = own.pid(name)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        is_back_since(own, name, before)

    def seen() -> str | None:
        try:
            return place.shell("survivor", "cat /tmp/born")
        except AssertionError:
            return None

    assert eventually(seen, "the container answers") == born
    assert place.status_of("survivor")["restartCount"] == 0
    place.run("delete", "pod", "survivor", "--wait=false")


def test_a_node_that_was_deleted_comes_back_with_its_kubelet(own: Cluster, tmp_path: Path) -> None:
    place = place_in(own, tmp_path)
    place.run("delete", "node", "devnode")
    kubelet = own.pid(components.KUBELET)
    assert kubelet is not None
    os.kill(kubelet, signal.SIGTERM)
    eventually(lambda: place.run("get", "nodes", "-o", "name"), "the Node")
    place.wait("node/devnode", "condition=Ready")
    eventually(lambda: "taints" not in place.get("node", "devnode")["spec"], "it takes Pods")


def test_a_restart_keeps_objects_volumes_and_addresses(tmp_path: Path) -> None:
    with running(tmp_path) as cluster:
        place = place_in(cluster, tmp_path)
        place.create(a_volume_claim())
        container = with_volume(a_container("echo life >> /data/lives; exec sleep 1000"), "/data")
        place.runs(a_pod("kept", container, volumes=[from_claim()]))
        kubeconfig = cluster.kubeconfig.read_text()
        copy = tmp_path / "copy"
        copy.write_text(kubeconfig)
        assert cluster.stop() == 0
    assert processes_of(cluster.layout) == []
    with running(tmp_path) as cluster:
        subprocess.run(
            [*kubectl_command(copy), "get", "pod", "kept"], check=True, capture_output=True
        )
        place = place_in(cluster, tmp_path)
        eventually(lambda: place.status_of("kept", "main").get("restartCount"), "it runs anew")
        place.wait("pod/kept", "condition=Ready")
        assert place.shell("kept", "cat /data/lives") == "life\nlife\n"

        # And now without any farewell.
        cluster.process.kill()
        cluster.process.wait()
        eventually(lambda: not processes_of(cluster.layout), "nothing outlives the supervisor")
    with running(tmp_path) as cluster:
        place = place_in(cluster, tmp_path)
        eventually(lambda: place.status_of("kept", "main").get("restartCount") == 2, "again")
        place.wait("pod/kept", "condition=Ready")
        assert place.shell("kept", "cat /data/lives") == "life\n" * 3
        assert cluster.stop(with_signal=signal.SIGINT) == 0
    assert processes_of(cluster.layout) == []


def test_status_says_what_runs(embedded: Cluster, tmp_path: Path) -> None:
    output = tmp_path / "said"
    process = launch("status", f"--data={embedded.layout.root}", output=output)
    assert process.wait(60) == 0
    said = output.read_text()
    assert f"kubelet                  process {embedded.pid('kubelet')}" in said
    assert said.endswith(": ok\n")


def ended(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Return how a start that cannot succeed ends, and its last line."""
    output = tmp_path / "said"
    process = launch(f"--kubeconfig={tmp_path / 'k'}", *arguments, output=output)
    code = process.wait(60)
    return code, output.read_text()


def test_a_folder_in_use_is_said_so(embedded: Cluster, tmp_path: Path) -> None:
    code, said = ended(tmp_path, f"--data={embedded.layout.root}")
    assert code == 3
    assert f"in use by another devcluster (process {embedded.process.pid})" in said
    assert said.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = ended(tmp_path, f"--data={tmp_path / 'file' / 'data'}")
    assert (code, said.count("\n")) == (3, 1)
    assert "Give a folder that you may write" in said


def test_a_mistake_in_the_inventory_is_said_with_its_line(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("node:\n  name: n\n  colour: blue\n")
    code, said = ended(tmp_path, f"--data={tmp_path / 'd'}", f"--inventory={inventory}")
    assert (code, said.count("\n")) == (2, 1)
    assert "line 3, node.colour: there is no such field" in said


def test_the_mapping_of_users_is_kept_with_the_data_of_who_needs_one(own: Cluster) -> None:
    kept = own.layout.root / "identities.json"
    if os.geteuid() == 0:
        assert not kept.exists()
    else:
        assert set(json.loads(kept.read_text())) == {"users", "groups"}


def test_asked_to_end_while_it_starts_it_ends_at_once(tmp_path: Path) -> None:
    output = tmp_path / "said"
    layout = Layout(root=tmp_path / "data")
    process = launch(f"--kubeconfig={tmp_path / 'k'}", f"--data={layout.root}", output=output)
    eventually(lambda: layout.pid(components.API_SERVER).exists(), "it has begun")
    began = time.monotonic()
    process.terminate()
    assert process.wait(30) == 0
    assert time.monotonic() - began < 10
    eventually(lambda: not processes_of(layout), "nothing is left")
    shutil.rmtree(layout.root)
