"""The demo as a user without privileges: its own cluster, and a workspace with a share of a GPU."""

from pathlib import Path

import pytest

from tests.integration.demo import demos
from tests.integration.devcluster.clusters import kubectl_of
from tests.integration.hub.hubs import Hub

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("embedded")]


def test_a_user_without_privileges_works_on_a_quarter_of_an_h100():
    """In a browser, cell by cell, it is tried at night (tests/browser/test_first_workspace.py)."""
    with demos.started_by_plain_user() as demo:
        hub = Hub(demo, kubectl_of(Path(demo.ready["kubeconfig"])))
        user = hub.new_user()
        hub.start(user, profile="nb-gpu-h100", sm_percent=25)
        hub.until_ready(user)
        hub.until(lambda: hub.opens(user), "JupyterLab does not answer")
        hub.run_inside(user, "sh", "-c", "echo $CUDA_DEVICE_SM_LIMIT_0 > /home/user/kept.txt")
        assert hub.run_inside(user, "cat", "/home/user/kept.txt") == "25\n"
        (claim,) = hub.objects("resourceclaims", user)
        (device,) = claim["status"]["allocation"]["devices"]["results"]
        assert device["consumedCapacity"]["cores"] == "25"
        hub.stop(user)
        hub.until(lambda: not hub.objects("pods,resourceclaims", user), "something is left")
