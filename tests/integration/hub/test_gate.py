"""
A hub whose configuration has a hook that adds to some people's Pods: they start nothing (design §9).

The demo of this module is a checkout like this one, with a few lines more in its
`jupyterhub_config.py`. The hub would give up after three failures in a row: a refusal is none.
"""

import shutil

import pytest

from tests.integration.demo import demos
from tests.integration.hub.hubs import Hub

pytestmark = pytest.mark.cluster

HOOK = """

def spoil(spawner, pod):
    if spawner.name == "spoiled":
        pod.spec.host_network = True
        pod.spec.containers[0].security_context["privileged"] = True
    return pod


c.EugoSpawner.modify_pod_hook = spoil
c.EugoSpawner.consecutive_failure_limit = 3
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout whose configuration ends with `HOOK`; all else is this one's."""
    folder = tmp_path_factory.mktemp("checkout")
    for each in demos.ROOT.iterdir():
        if each.name not in {"scripts", "jupyterhub_config.py", ".git", ".eugo"}:
            (folder / each.name).symlink_to(each)
    shutil.copytree(demos.ROOT / "scripts", folder / "scripts")
    configuration = (demos.ROOT / "jupyterhub_config.py").read_text("utf-8")
    (folder / "jupyterhub_config.py").write_text(configuration + HOOK, "utf-8")
    return folder


@pytest.fixture(scope="module")
def hub(checkout, kubeconfig, kubectl, tmp_path_factory):
    data = tmp_path_factory.mktemp("hub") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demos, "ROOT", checkout)
        with demos.started("--kubeconfig", kubeconfig, data=data, cwd=data.parent) as started:
            yield Hub(started, kubectl)


def test_a_spoiled_pod_is_answered_in_words_and_leaves_nothing(hub, user):
    answer = hub.start_light(user, "spoiled", profile="nb-gpu-l4", sm_percent=25)
    assert answer.status == 409
    assert "its Pod would hold more than was granted (" in answer.message
    assert "and 1 more). Tell an admin" in answer.message
    assert answer.message.endswith("[manifest-refused]")
    assert hub.objects("pods,resourceclaims,persistentvolumeclaims", user) == []
    assert hub.server(user, "spoiled") == {}, "a refused start leaves no server row"
    assert hub.sessions(user) == [(None, "start-failed")]


def test_the_log_names_every_place(hub, user):
    hub.start_light(user, "spoiled", profile="nb-cpu-2")
    log = demos.log_of(hub.demo.data)
    assert "spec.hostNetwork is not false" in log
    assert "spec.containers[0].securityContext.privileged is not false" in log


def test_refusals_in_a_row_do_not_count_as_failures_of_the_hub(hub, user):
    for _ in range(5):
        assert hub.start_light(user, "spoiled", profile="nb-cpu-2").status == 409
    assert hub.ask("GET", "/").status == 200


def test_the_other_workspaces_of_the_same_person_start(hub, user):
    hub.start_light(user, profile="nb-cpu-2")
    hub.until_ready(user)
    (pod,) = hub.objects("pods", user)
    assert "hostNetwork" not in pod["spec"]
