"""What Kubernetes' documentation says a Pod does, on the real kubelet: "Pod Lifecycle" and its kin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.devcluster.places import eventually
from tests.integration.devcluster.pods import FOREVER, WEB, a_container, a_pod, an_object

if TYPE_CHECKING:
    from tests.integration.devcluster.places import Place
    from tests.integration.devcluster.pods import Json

pytestmark = pytest.mark.cluster

_SHARED = {"name": "shared", "emptyDir": {}}
_MOUNTED: Json = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}


def test_init_containers_run_to_completion_one_after_the_other_before_the_others(
    place: Place,
) -> None:
    steps = [
        a_container(f"echo {word} >> /shared/steps", name=word, **_MOUNTED)
        for word in ("one", "two")
    ]
    pod = a_pod(
        "p",
        a_container("cat /shared/steps", **_MOUNTED),
        initContainers=steps,
        volumes=[_SHARED],
        restartPolicy="Never",
    )
    assert place.finishes(pod) == "one\ntwo\n"


def test_an_init_container_that_fails_keeps_the_pod_from_starting(place: Place) -> None:
    place.create(
        a_pod("p", initContainers=[a_container("exit 3", name="first")], restartPolicy="Never")
    )
    place.wait("pod/p", "jsonpath={.status.phase}=Failed")
    status = place.get("pod", "p")["status"]
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert "waiting" in status["containerStatuses"][0]["state"]


def test_a_sidecar_starts_before_and_ends_after_the_containers(place: Place) -> None:
    sidecar = a_container(
        "echo up > /shared/sidecar; trap 'exit 0' TERM; while :; do sleep 0.1; done",
        name="sidecar",
        restartPolicy="Always",
        startupProbe={
            "exec": {"command": ["test", "-e", "/shared/sidecar"]},
            "periodSeconds": 1,
        },
        **_MOUNTED,
    )
    pod = a_pod(
        "p",
        a_container("cat /shared/sidecar", **_MOUNTED),
        initContainers=[sidecar],
        volumes=[_SHARED],
        restartPolicy="Never",
    )
    place.create(pod)
    # A Pod whose sidecar still runs has succeeded when its containers have.
    place.wait("pod/p", "jsonpath={.status.phase}=Succeeded")
    assert place.run("logs", "p", "-c", "main") == "up\n"


def test_readiness_follows_the_probe_over_http(place: Place) -> None:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    server = {"name": "main", "image": WEB, "readinessProbe": probe}
    place.runs(a_pod("p", server))
    assert "host" not in place.reasons("p").get("Unhealthy", "")


def test_a_container_that_fails_its_liveness_probe_is_restarted(place: Place) -> None:
    alive = {"exec": {"command": ["test", "-e", "/shared/alive"]}, "periodSeconds": 1}
    container = a_container(
        f"touch /shared/alive; {FOREVER}",
        livenessProbe={**alive, "failureThreshold": 1},
        **_MOUNTED,
    )
    place.runs(a_pod("p", container, volumes=[_SHARED]))
    place.shell("p", "rm /shared/alive")
    eventually(lambda: place.status_of("p")["restartCount"] >= 1, "a restart")
    assert "Unhealthy" in place.reasons("p")


def test_a_container_that_keeps_ending_backs_off(place: Place) -> None:
    place.create(a_pod("p", a_container("exit 1")))
    message = eventually(lambda: place.reasons("p").get("BackOff"), "an event")
    assert "Back-off restarting failed container main" in message
    assert place.status_of("p")["restartCount"] >= 1


def test_restart_on_failure_restarts_until_it_succeeds(place: Place) -> None:
    script = "test -e /shared/again || { touch /shared/again; exit 1; }; echo done"
    pod = a_pod("p", a_container(script, **_MOUNTED), volumes=[_SHARED], restartPolicy="OnFailure")
    assert place.finishes(pod) == "done\n"
    assert place.status_of("p")["restartCount"] == 1


def test_a_container_has_its_grace_period_to_end(place: Place) -> None:
    place.create(an_object("ConfigMap", "farewell"))
    script = "trap 'sleep 1; echo farewell; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    place.runs(a_pod("p", a_container(script), terminationGracePeriodSeconds=30))
    eventually(lambda: "up" in place.run("logs", "p"), "it has begun")
    place.run("delete", "pod", "p", "--wait=false")
    followed = place.run("logs", "-f", "p")
    assert followed.endswith("farewell\n")
    place.wait("pod/p", "delete")


def test_a_container_that_does_not_end_is_killed_when_its_grace_is_over(place: Place) -> None:
    stubborn = a_container("trap '' TERM; while :; do sleep 0.1; done")
    place.runs(a_pod("p", stubborn, terminationGracePeriodSeconds=1))
    place.run("delete", "pod", "p", "--timeout=30s")
    assert place.all("pods") == []


def test_configuration_secrets_and_the_downward_api_arrive_as_files_and_variables(
    place: Place,
) -> None:
    place.create(
        an_object("ConfigMap", "settings", data={"colour": "blue"}),
        an_object("Secret", "secrets", stringData={"word": "sesame"}),
    )
    script = (
        "cat /all/colour; echo; cat /all/word; echo; cat /all/name; echo; "
        'echo "$COLOUR $WORD $NAME"; test -s /all/token && echo token'
    )
    sources = [
        {"configMap": {"name": "settings"}},
        {"secret": {"name": "secrets"}},
        {"downwardAPI": {"items": [
            {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"serviceAccountToken": {"path": "token"}},
    ]  # fmt: skip
    environment = [
        {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
        {"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "secrets", "key": "word"}}},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    container = a_container(
        script, env=environment, volumeMounts=[{"name": "all", "mountPath": "/all"}]
    )
    pod = a_pod(
        "p",
        container,
        volumes=[{"name": "all", "projected": {"sources": sources}}],
        restartPolicy="Never",
    )
    assert place.finishes(pod).split() == ["blue", "sesame", "p", "blue", "sesame", "p", "token"]


def test_an_image_that_nobody_knows_is_a_genuine_image_pull_back_off(place: Place) -> None:
    place.create(a_pod("p", a_container(image="registry.example/nobody/knows:1")))
    eventually(
        lambda: (
            place.status_of("p").get("state", {}).get("waiting", {}).get("reason")
            == "ImagePullBackOff"
        ),
        "ImagePullBackOff",
    )
    assert "registry.example/nobody/knows:1" in place.reasons("p")["BackOff"]


def test_a_command_that_does_not_exist_is_said_so(place: Place) -> None:
    place.create(a_pod("p", a_container(command=["no-such-program"]), restartPolicy="Never"))
    eventually(lambda: "Failed" in place.reasons("p"), "an event")
    assert "no-such-program" in place.reasons("p")["Failed"]


def test_standard_tools_see_what_happened(place: Place) -> None:
    place.runs(a_pod("p"))
    assert "Started" in place.run("describe", "pod", "p")
    assert "Started" in place.run("events", "--for", "pod/p")
    assert "terminationGracePeriodSeconds" in place.run("explain", "pod.spec")
    assert "devnode" in place.run("get", "pod", "p", "-o", "wide")


def test_a_deployment_keeps_its_pods_and_rolls_out(place: Place) -> None:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": a_pod()["spec"]}
    deployment = an_object(
        "Deployment",
        "web",
        api="apps/v1",
        spec={"replicas": 2, "selector": {"matchLabels": labels}, "template": template},
    )
    place.create(deployment)
    place.run("rollout", "status", "deployment/web", "--timeout=60s")
    place.run("set", "env", "deployment/web", "CHANGED=yes")
    place.run("rollout", "status", "deployment/web", "--timeout=60s")
    running = [pod for pod in place.all("pods") if "deletionTimestamp" not in pod["metadata"]]
    assert {json.dumps(pod["spec"]["containers"][0]["env"]) for pod in running} == {
        '[{"name": "CHANGED", "value": "yes"}]'
    }
