"""
Kueue decides who starts next (`defaults.engine: kueue`), the real one on the real API server (F57, F58).

Its queues are those of `helm-values/kueue`; the cluster's two H100 are all there is to share.
"""

import json
import os
import subprocess
import sys

import pytest
import yaml

from tests.conftest import make_inventory
from tests.deploy import kueues
from tests.deploy.charts import VALUES
from tests.integration.base.pods import a_workspace
from tests.integration.demo import demos
from tests.integration.devcluster.clusters import kubectl_of
from tests.integration.devcluster.clusters import running as cluster_running
from tests.integration.hub.hubs import Hub

pytestmark = [pytest.mark.cluster, pytest.mark.nightly, pytest.mark.timeout(1800)]

STOPPED = '{"spec": {"stopPolicy": "Hold"}}'
GOING = '{"spec": {"stopPolicy": "None"}}'
EXCLUSIVE = {"profile": "nb-gpu-h100", "sm_percent": 100}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub on a cluster with Kueue; each test says what the queues have of their own (`share`)."""
    folder = tmp_path_factory.mktemp("kueue")
    catalog = yaml.safe_load(demos.open_catalog(folder).read_text("utf-8"))
    catalog["defaults"]["engine"] = "kueue"
    path = folder / "kueue-catalog.yaml"
    path.write_text(yaml.safe_dump(catalog, sort_keys=False), "utf-8")
    with cluster_running(folder, inventory=make_inventory(folder)) as cluster:
        kubectl = kubectl_of(cluster.kubeconfig)
        # The namespace and the hub's role are the base's, which the demo applies.
        kubectl("apply", "-k", str(VALUES / "base"))
        with kueues.running(folder, kubeconfig=cluster.kubeconfig, kubectl=kubectl):
            kubectl("apply", "-k", str(VALUES / "kueue"))
            options = ("--kubeconfig", cluster.kubeconfig, "--catalog", path)
            with demos.started(*options, data=folder / "demo", cwd=folder) as started:
                yield Hub(started, kubectl)


def share(kubectl, **quotas):
    """Give each ClusterQueue so much of its own, in GPU percent."""
    for name, percent in quotas.items():
        kubectl(
            "patch", "clusterqueue", f"eugo-{name.replace('_', '-')}", "--type=json",
            "-p", json.dumps([{
                "op": "replace",
                "path": "/spec/resourceGroups/0/flavors/0/resources/0/nominalQuota",
                "value": percent,
            }]),
        )  # fmt: skip


def pod_of(hub, user, server=""):
    found = [each for each in hub.objects("pods", user) if server in each["metadata"]["name"]]
    return found[0] if found else None


def test_a_workspace_waits_in_its_queue_and_starts_when_that_has_room(hub):
    share(hub.kubectl, default=50, research_high=0, research_batch=0, teaching=0)
    first, second = hub.new_user(), hub.new_user()
    shared = {"profile": "nb-gpu-h100", "sm_percent": 50}
    try:
        assert hub.start_light(first, **shared).status in {201, 202}
        hub.until_ready(first)
        pod = pod_of(hub, first)
        assert pod["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "eugo-default"
        assert hub.start_light(second, **shared).status in {201, 202}
        hub.until(lambda: pod_of(hub, second), "no Pod")
        gates = {each["name"] for each in pod_of(hub, second)["spec"]["schedulingGates"]}
        assert gates >= {"kueue.x-k8s.io/admission"}
        told = hub.until_told(second, "insufficient unused quota for gpu-percent")
        assert told.startswith("Waiting in the queue Default queue until it has room.")
        hub.stop(first)
        hub.until_ready(second)
        assert hub.sessions(second)[0] == (50, None)
    finally:
        hub.stop(first)
        hub.stop(second)


def test_who_runs_on_borrowed_gpus_is_displaced_and_told_by_whom_and_nobody_else_is(hub):
    share(hub.kubectl, default=100, research_high=100, research_batch=0, teaching=0)
    somebody = hub.new_user()
    everybody = [(somebody, ""), ("alice", "batch"), ("alice", "high")]
    try:
        assert hub.start_light(somebody, **EXCLUSIVE).status in {201, 202}
        hub.until_ready(somebody)
        words = {**EXCLUSIVE, "project": "vision"}
        assert hub.start_light("alice", "batch", **words, queue="research-batch").status in {
            201,
            202,
        }
        hub.until_ready("alice", "batch")
        assert hub.start_light("alice", "high", **words, queue="research-high").status in {201, 202}
        hub.until_ready("alice", "high")
        hub.until(
            lambda: hub.workspace("alice", "batch").state == "stopped",
            "the displaced one still runs",
        )
        displaced = hub.workspace("alice", "batch")
        assert (displaced.because, displaced.actor) == ("preemption", "kueue")
        assert displaced.said == (
            "Displaced by a workspace of the queue Research, first (priority 1000). "
            "Files are kept; start it again."
        )
        assert hub.server(somebody)["ready"]
        assert hub.objects("pvc", "alice")
    finally:
        for each in everybody:
            hub.stop(*each)


def asked_as_hub(hub):
    """Return the LocalQueues that a hub finds before it begins, in a process as it is."""
    script = (
        "import asyncio, json; from eugospawner.policy.catalog import Engine; "
        "from hub_services.prepare import Kubernetes; "
        "print(json.dumps(asyncio.run(Kubernetes('eugo').offer(Engine.KUEUE)).local_queues))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KUBECONFIG": str(hub.demo.data / "hub.kubeconfig")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_before_it_begins_the_hub_sees_which_queues_are_there_and_which_admit_nothing(hub):
    names = {"eugo-default", "eugo-research-high", "eugo-research-batch", "eugo-teaching"}
    hub.until(lambda: asked_as_hub(hub) == dict.fromkeys(names, ""), "they are not active")
    hub.kubectl("patch", "localqueue", "eugo-teaching", "-n", "eugo", "--type=merge", "-p", STOPPED)
    try:
        hub.until(lambda: asked_as_hub(hub)["eugo-teaching"], "nothing is said of it")
        told = asked_as_hub(hub)
        assert "stopped" in told.pop("eugo-teaching").lower()
        assert told == dict.fromkeys(names - {"eugo-teaching"}, "")
    finally:
        hub.kubectl(
            "patch", "localqueue", "eugo-teaching", "-n", "eugo", "--type=merge", "-p", GOING
        )


def test_a_queue_that_an_admin_stops_ends_its_workspaces_with_that_reason(hub):
    share(hub.kubectl, default=200, research_high=0, research_batch=0, teaching=0)
    user = hub.new_user()
    try:
        assert hub.start_light(user, **EXCLUSIVE).status in {201, 202}
        hub.until_ready(user)
        stop = STOPPED.replace("Hold", "HoldAndDrain")
        hub.kubectl("patch", "localqueue", "eugo-default", "-n", "eugo", "--type=merge", "-p", stop)
        hub.until(lambda: hub.workspace(user).state == "stopped", "it still runs")
        ended = hub.workspace(user)
        assert (ended.because, ended.actor) == ("queue", "kueue")
        assert ended.said.startswith("Kueue says: ")
    finally:
        hub.kubectl(
            "patch", "localqueue", "eugo-default", "-n", "eugo", "--type=merge", "-p", GOING
        )
        hub.stop(user)


def test_a_pod_that_names_no_queue_is_none_of_its_business(hub):
    """Hub, proxy and exports: a LocalQueue that is called `default` would take them all."""
    pod = a_workspace("somebody", spec={"schedulerName": "default-scheduler"})
    pod["metadata"]["labels"] = {"component": "hub"}
    said = hub.kubectl(
        "create", "-f", "-", "-n", "eugo", "--dry-run=server", "-o", "json", stdin=json.dumps(pod)
    ).stdout
    made = json.loads(said)
    assert not made["spec"].get("schedulingGates")
    assert set(made["metadata"]["labels"]) == {"component"}
